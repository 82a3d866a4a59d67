"""Read a pointing model from a TOML file: a shipped one by its name, or any other by its path."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from string import Formatter
from typing import Any

from point2act.core import config_files
from point2act.core.errors import ModelError
from point2act.vlm.clients.client import PointingModel
from point2act.vlm.parsers import DIALECTS

_FIELDS = {field.name: field for field in fields(PointingModel)}
_REQUIRED = [
    name for name, field in _FIELDS.items() if field.default is MISSING and field.default_factory is MISSING
]


def load_model(name_or_path: str | Path) -> PointingModel:
    """Load and check a pointing model.

    Raises ``ModelError``, which names the file, the key and what to write there.
    """
    path, table = config_files.load("models", name_or_path, ModelError)
    unknown = sorted(set(table) - set(_FIELDS))
    if unknown:
        raise ModelError(f"{path} has unknown keys {', '.join(unknown)}: use {', '.join(sorted(_FIELDS))}")
    missing = [key for key in _REQUIRED if key not in table]
    if missing:
        raise ModelError(f"{path} says nothing of {', '.join(missing)}: see the other files of models")
    model = PointingModel(**{key: _READERS[key](path, table, key) for key in table})
    _check_prompt(path, model.prompt)
    return model


def _text(path: Path, table: dict[str, Any], key: str) -> str:
    return config_files.text(path, table, key, ModelError)


def _dialect(path: Path, table: dict[str, Any], key: str) -> str:
    if table[key] not in DIALECTS:
        raise ModelError(f"{path}: '{key}' is {table[key]!r}: use one of {', '.join(DIALECTS)}")
    return table[key]


def _address(path: Path, table: dict[str, Any], key: str) -> str:
    value = _text(path, table, key)
    if not re.fullmatch(r"https?://[^\s/]\S*", value):
        raise ModelError(f"{path}: '{key}' is {value!r}: write an address such as http://localhost:8000/v1")
    return value


def _variable(path: Path, table: dict[str, Any], key: str) -> str:
    # What stands there is not repeated: it may be the key itself.
    value = table[key]
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z][A-Z0-9_]*", value):
        raise ModelError(
            f"{path}: '{key}' is not the name of an environment variable, such as OPENAI_API_KEY: write the "
            "name there, and the key itself only into the environment"
        )
    return value


def _count(path: Path, table: dict[str, Any], key: str) -> int:
    value = table[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelError(f"{path}: '{key}' is {value!r}: write a whole number, 1 or more")
    return value


def _switch(path: Path, table: dict[str, Any], key: str) -> bool:
    if not isinstance(table[key], bool):
        raise ModelError(f"{path}: '{key}' is {table[key]!r}: write true or false")
    return table[key]


def _price(path: Path, table: dict[str, Any], key: str) -> tuple[float, float]:
    value = table[key]
    numbers = [v for v in value if _is_price(v)] if isinstance(value, list) else []
    if len(numbers) != 2 or len(numbers) != len(value):
        raise ModelError(f"{path}: '{key}' is {value!r}: write two prices [read, written], US dollars")
    return float(numbers[0]), float(numbers[1])


def _is_price(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


def _table(path: Path, table: dict[str, Any], key: str) -> dict[str, Any]:
    if not isinstance(table[key], dict):
        raise ModelError(f"{path}: '{key}' is {table[key]!r}: write a table, [{key}]")
    return table[key]


_READERS: dict[str, Callable[[Path, dict[str, Any], str], Any]] = {
    "name": _text,
    "model": _text,
    "dialect": _dialect,
    "prompt": _text,
    "memory": _text,
    "source": _text,
    "server": _address,
    "key_variable": _variable,
    "max_tokens": _count,
    "image_side": _count,
    "local": _switch,
    "structured": _switch,
    "price": _price,
    "extra": _table,
}


def _check_prompt(path: Path, prompt: str) -> None:
    """The words' place, and no other: braces of JSON have to be doubled."""
    try:
        places = [place for _, *place in Formatter().parse(prompt) if place[0] is not None]
    except ValueError as err:
        places = [[str(err)]]
    if not places or any(place != ["query", "", None] for place in places):
        raise ModelError(
            f"{path}: 'prompt' needs {{query}} where the words go, and no other braces: write {{{{ and }}}} "
            "for those that the model is to see"
        )
