"""Files written whole or not at all, JSON read strictly, and the JSON Schemas that ship with the package."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from point2act.errors import Point2ActError

_SCHEMAS = Path(__file__).resolve().parent / "schemas"


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a file atomically: readers see the old file or the new one, never half of one.

    Makes missing folders. Raises :class:`Point2ActError` where the file cannot be written.
    """
    path = Path(path)
    # A draft of its own for each writer, also for two threads that write the same file.
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(data)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as err:
        raise Point2ActError(f"{path} cannot be written ({err}): choose another place for it") from err


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path | str, document: Any) -> None:
    """Write strict JSON (no NaN, no infinity) atomically."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path | str, error: type[Point2ActError]) -> Any:
    """Read strict JSON. Raises ``error``, naming the line, where it is not."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_no_constant)
    except FileNotFoundError as err:
        raise error(f"{path} does not exist: check the path") from err
    except OSError as err:
        raise error(f"{path} cannot be read ({err.strerror}): check the path and its permissions") from err
    except (ValueError, RecursionError) as err:
        raise error(f"{path} is not valid JSON ({err}): mend it or write it again") from err


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a file format: ``"points"`` or ``"grasps"``."""
    return json.loads((_SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


def schema_problem(document: Any, name: str) -> str | None:
    """What keeps a document from following a schema, in words, or None.

    The words name the place, what is there, and what belongs there (the ``description`` in the schema).
    """
    with _without_grammar_of_addresses():
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match

    problem = best_match(Draft202012Validator(schema(name)).iter_errors(document))
    if problem is None:
        return None
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem.absolute_path)
    belongs = problem.schema.get("description") if isinstance(problem.schema, dict) else None
    message = (
        problem.message
        if len(problem.message) <= 160
        else f"{problem.message[:80]} … {problem.message[-70:]}"
    )
    return f"at {place.lstrip('.') or 'the top level'}, {message}: {belongs or 'mend it'}"


@contextmanager
def _without_grammar_of_addresses() -> Iterator[None]:
    """Import jsonschema without what it would check international addresses by, which no schema of ours has.

    Where that is installed (notebooks bring it), it builds 38 parsers on import: a second for nothing.
    """
    name = "rfc3987_syntax"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say: not there
    try:
        yield
    finally:
        del sys.modules[name]


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
