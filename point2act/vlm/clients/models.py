"""Reading a pointing model from a TOML file: a shipped one by its name, or any other by its path."""

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
from point2act.core.files import brief
from point2act.vlm.clients.client import PointingModel
from point2act.vlm.parsers import DIALECTS

_FIELDS = {field.name: field for field in fields(PointingModel)}
_REQUIRED = [
    name for name, field in _FIELDS.items() if field.default is MISSING and field.default_factory is MISSING
]


def load_model(name_or_path: str | Path) -> PointingModel:
    """Load and validate the description of a pointing model.

    Args:
        name_or_path: Name of a shipped model, or the path of a ``.toml`` file.

    Raises:
        ModelError: There is no such file, or a key of it is wrong; the message says what to write there.
    """
    path, table = config_files.load("models", name_or_path, ModelError)
    unknown = sorted(set(table) - set(_FIELDS))
    if unknown:
        raise ModelError(f"{path} has unknown keys {', '.join(unknown)}: use {', '.join(sorted(_FIELDS))}")
    missing = [key for key in _REQUIRED if key not in table]
    if missing:
        raise ModelError(f"{path} has no {', '.join(missing)}: compare with the other model files")
    for key, value in table.items():
        _check_value(path, key, value)
    if not _is_prompt(table["prompt"]):
        raise ModelError(
            f"{path}: 'prompt' needs {{query}} where the query goes, and no other braces: write {{{{ and "
            "}}}} for those that the model is to see"
        )
    if "price" in table:
        table["price"] = tuple(map(float, table["price"]))
    return PointingModel(**table)


def _check_value(path: Path, key: str, value: Any) -> None:
    """Raise ``ModelError`` if the value of a key has the wrong type or form."""
    is_valid, advice = _RULES.get(key, (_is_text, "write some text there"))
    if is_valid(value):
        return
    if key == "key_variable":  # The value is not repeated: it may be the key itself.
        raise ModelError(f"{path}: 'key_variable' is not the name of an environment variable, {advice}")
    raise ModelError(f"{path}: '{key}' is {brief(value)}: {advice}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"https?://[^\s/]\S*", value) is not None


def _is_variable(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Z][A-Z0-9_]*", value) is not None


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_price(value: Any) -> bool:
    def valid(number: Any) -> bool:
        return type(number) in (int, float) and 0 <= number < math.inf

    return isinstance(value, list) and len(value) == 2 and all(map(valid, value))


def _is_prompt(prompt: str) -> bool:
    """Return whether ``{query}`` is the only field of a format string; braces of JSON have to be doubled."""
    try:
        found = [field for _, *field in Formatter().parse(prompt) if field[0] is not None]
    except ValueError:
        return False
    return bool(found) and all(field == ["query", "", None] for field in found)


_COUNT = (_is_count, "write a whole number, 1 or more")
_BOOL = (_is_bool, "write true or false")
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "dialect": (lambda value: value in DIALECTS, f"use one of {', '.join(DIALECTS)}"),
    "server": (_is_address, "write an address such as http://localhost:8000/v1"),
    "key_variable": (
        _is_variable,
        "such as OPENAI_API_KEY: write the name there, and the key itself only into the environment",
    ),
    "max_tokens": _COUNT,
    "image_side": _COUNT,
    "local": _BOOL,
    "structured": _BOOL,
    "price": (_is_price, "write two prices [read, written], US dollars"),
    "extra": (lambda value: isinstance(value, dict), "write a table, [extra]"),
}
"""For each key that is not plain text: the test of its value, and what to write there."""
