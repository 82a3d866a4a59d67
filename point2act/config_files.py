"""Where the shipped data files (grippers, scenes) lie: in the checkout, or in the installed prefix."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from point2act.errors import Point2ActError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDERS = (
    Path(__file__).resolve().parent.parent / "configs",
    Path(sys.prefix) / "share" / "point2act" / "configs",
)


def available(kind: str) -> list[str]:
    """Names of the shipped files of one kind (``"grippers"``, ``"scenes"``), sorted."""
    return sorted({path.stem for folder in _FOLDERS for path in (folder / kind).glob("*.toml")})


def text(path: Path, table: dict[str, Any], key: str, error: type[Point2ActError]) -> str:
    """A key's text. Raises ``error`` where there is none."""
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise error(f"{path}: '{key}' is {value!r}: write some text there")
    return value


def load(kind: str, name: str | Path, error: type[Point2ActError]) -> tuple[Path, dict[str, Any]]:
    """Read a TOML file given by its shipped name or by a path ending in ``.toml``.

    Returns the path and the parsed table. Raises ``error``, which lists the shipped names.
    """
    path = Path(name)
    if path.suffix != ".toml":
        candidates = [folder / kind / f"{name}.toml" for folder in _FOLDERS]
        path = next((candidate for candidate in candidates if candidate.is_file()), candidates[0])
    known = ", ".join(available(kind))
    if not path.is_file():
        raise error(f"no {kind[:-1]} named '{name}': use one of {known}, or the path of a .toml file")
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
        raise error(f"{path} cannot be read as TOML ({err}): mend it, or use one of {known}") from err
