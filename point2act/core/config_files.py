"""Shipped and user TOML files (grippers, models, scenes, arms), found by name or path."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from point2act.core.errors import Point2ActError
from point2act.core.files import check_nesting, levels, read_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Bytes. The longest shipped file has 5 kB. Chosen.
_MAX_BYTES = 2**20

_FOLDERS = (
    Path(__file__).resolve().parents[2] / "configs",
    Path(sys.prefix) / "share" / "point2act" / "configs",
)


def available(kind: str) -> list[str]:
    """Return the names of the shipped files of one kind (``"grippers"``, ``"scenes"``), sorted."""
    return sorted({path.stem for folder in _FOLDERS for path in (folder / kind).glob("*.toml")})


def load(kind: str, name: str | Path, error: type[Point2ActError]) -> tuple[Path, dict[str, Any]]:
    """Read a TOML file given by its shipped name or by a path ending in ``.toml``; return its path and table.

    Raises ``error``, which lists the shipped names, if there is no such file or it is not valid TOML.
    """
    path = Path(name)
    if path.suffix != ".toml":
        candidates = [folder / kind / f"{name}.toml" for folder in _FOLDERS]
        path = next((candidate for candidate in candidates if os.path.isfile(candidate)), candidates[0])
    known = ", ".join(available(kind))
    if not os.path.isfile(path):
        raise error(f"no {kind[:-1]} named '{name}': use one of {known}, or the path of a .toml file")
    data = read_bytes(path, error, max_bytes=_MAX_BYTES)
    try:
        table = tomllib.loads(data.decode())
        check_nesting(table)
        _check_numbers(table)
        return path, table
    except (ValueError, RecursionError) as err:
        why = "nested too deeply" if isinstance(err, RecursionError) else err
        raise error(f"{path} cannot be read as TOML ({why}): fix it, or use one of {known}") from err


def _check_numbers(table: dict[str, Any]) -> None:
    """Raise a ``ValueError`` for an integer beyond 64 bits, which TOML does not allow."""
    for level in levels(table):
        for value in level:
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise ValueError("a whole number beyond 64 bits")
