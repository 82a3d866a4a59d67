"""Files as pydantic models: the base of a model per format, and their errors in words for people.

pydantic takes 0.2 s to import, half of what ``--help`` takes: import models in the functions that read files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError

from point2act.core.errors import Point2ActError
from point2act.core.files import brief, read_json_lines

M = TypeVar("M", bound=BaseModel)

Version = Annotated[
    int,
    Field(ge=1, le=1, description="write 1; a file of a higher version needs a newer release of point2act"),
]
Words = Annotated[str, Field(pattern=r"\S")]
"""Text that is not blank."""
AnyText = InstanceOf[str]
"""Text that may have lone surrogates, as of file names that are not UTF-8, which pydantic's own refuses."""

Text = Annotated[Words, Field(description="write some text there")]
Length = Annotated[float, Field(gt=0, description="write one positive number, metres")]
Vector = Annotated[
    tuple[float, float, float], Field(strict=False, description="write a list of 3 numbers in metres")
]


class Document(BaseModel):
    """A JSON object without conversion of types; unknown keys are ignored, a newer release may add some."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class TomlTable(Document):
    """A TOML table; unknown keys are errors, so that a misspelt key is not a default."""

    model_config = ConfigDict(extra="forbid")


def check(model: type[M], document: Any, error: type[Exception], *, place: str = "") -> M:
    """Return a parsed JSON or TOML document as a model.

    Args:
        model: Model of the format. The descriptions of its fields say what to write there.
        document: The parsed document.
        error: Class of the exception to raise.
        place: Start of its message, such as the file; empty for none.

    Raises:
        error: The document does not follow the model; names the key, the value and what belongs there.
    """
    try:
        return model.model_validate(document)
    except ValidationError as err:
        raise error(f"{place}: {_problem(err, model)}" if place else _problem(err, model)) from None


def check_lines(model: type[M], path: Path, error: type[Point2ActError]) -> Iterator[tuple[str, M]]:
    """Yield the lines of a JSON-lines file as models, each after its place, as ``FILE, line 3``.

    Args:
        model: Model of a line.
        path: File to read.
        error: Raised if the file cannot be read, or a line is not JSON or does not follow the model.
    """
    for place, value in read_json_lines(path, error):
        yield place, check(model, value, error, place=place)


def _problem(err: ValidationError, model: type[BaseModel]) -> str:
    """Say in one sentence what the outermost error of a document is and what to write there."""
    errors = err.errors(include_url=False)
    # An unknown key may be the missing one, misspelt.
    first = min(errors, key=lambda found: (len(found["loc"]), found["type"] != "extra_forbidden"))
    place, kind = _place(first["loc"], model), first["type"]
    if kind == "value_error":  # Of a validator, which says all of it.
        return f"{place} {first['ctx']['error']}".lstrip()
    if kind == "extra_forbidden":
        holder = first["loc"][:-1]
        keys = [str(e["loc"][-1]) for e in errors if e["type"] == kind and e["loc"][:-1] == holder]
        within = f" in {_place(holder, model)}" if holder else ""
        known = ", ".join(sorted(_part(model, holder)["properties"]))
        return f"unknown keys {brief(', '.join(keys))[1:-1]}{within}: use {known}"
    part = _part(model, first["loc"])
    fix = part.get("description") or first["msg"].replace("Input", "it", 1)
    fix = fix[:1].lower() + fix[1:].rstrip(".")  # Of a model it is the docstring.
    if kind == "missing":
        return f"'{place}' is missing: {fix}"
    value = "wrong" if part.get("writeOnly") else brief(first["input"])
    return f"'{place}' is {value}: {fix}" if place else f"it is {value}: {fix}"


def _place(steps: Sequence[int | str], model: type[BaseModel]) -> str:
    """Return a path in a document as people write it: ``answers[0].image``."""
    # pydantic adds the kind to the path of an object that is one of several kinds.
    keys = [step for at, step in enumerate(steps) if step not in _kinds(_part(model, steps[:at]))]
    return "".join(
        f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{brief(step)}]" for step in keys
    ).lstrip(".")


def _kinds(part: dict[str, Any]) -> dict[str, str]:
    """Return references to the schemas of each kind of an object that is one of several."""
    return part.get("discriminator", {}).get("mapping", {})


def _part(model: type[BaseModel], steps: Sequence[int | str]) -> dict[str, Any]:
    """Return the schema of the innermost part on a path that says what to write there."""
    schema = _schema(model)
    part = found = schema
    for step in steps:
        own = part.get("properties", {}).get(step)
        if step in _kinds(part):
            own = {"$ref": _kinds(part)[str(step)]}
        items = part.get("prefixItems", ())
        inner = items[step] if isinstance(step, int) and step < len(items) else part.get("items")
        part = _resolved(own or inner or part.get("additionalProperties") or {}, schema.get("$defs", {}))
        found = part if own or "description" in part else found
    return found


def _resolved(part: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a part with what it or its first alternative refers to; its own description wins."""
    inner = part.get("anyOf", [part])[0]
    return {**definitions.get(inner.get("$ref", "").rpartition("/")[2], inner), **part}


@lru_cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()
