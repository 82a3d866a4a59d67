"""run.json: how a finished run is found again, to ask its scene something new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from point2act.errors import RunError
from point2act.files import read_json, schema_problem, write_json

NAME = "run.json"


@dataclass(frozen=True)
class SavedRun:
    """What a run leaves beside its scene."""

    capture: Path
    """The capture's folder."""
    scene: Path
    """The Gaussians' PLY file; in the same folder as run.json."""
    max_side: int
    """Pixels that the longer side of an image was reduced to."""
    metric: bool
    """Whether lengths are metres."""
    psnr: float | None = None
    """Of held-out views, dB."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds per stage."""


def write_run(folder: Path, run: SavedRun) -> None:
    """Write run.json into the folder that the scene lies in, atomically."""
    document = {
        "version": 1,
        "capture": run.capture.resolve().as_posix(),
        "scene": run.scene.name,
        "max_side": run.max_side,
        "metric": run.metric,
        "psnr": run.psnr,
        "timings": {name: round(seconds, 3) for name, seconds in run.timings.items()},
    }
    write_json(folder / NAME, document)


def read_run(path: Path | str) -> SavedRun:
    """Read a run.json, or the one in a folder.

    Raises :class:`RunError` where it is missing, broken or newer than this program, or where the
    capture or the scene are no longer in their places.
    """
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    document = read_json(path, RunError)
    version = document.get("version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > 1:
        raise RunError(f"{path} is of version {version}, this point2act knows only 1: install a newer one")
    problem = schema_problem(document, "run")
    if problem is not None:
        raise RunError(f"{path} is not a run.json: {problem}")
    capture, scene = Path(document["capture"]), path.parent / document["scene"]
    if not capture.is_dir():
        raise RunError(
            f'the capture of {path} is no longer at {capture}: move it back, or mend "capture" in the file'
        )
    if not scene.is_file():
        raise RunError(f"{scene} is missing beside {path}: run point2act run again")
    return SavedRun(
        capture, scene, document["max_side"], document["metric"], document["psnr"], document["timings"]
    )
