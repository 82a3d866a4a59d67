"""run.json: how a finished run is found again, to ask its scene something new."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import RunError
from point2act.core.files import read_json, schema_problem, write_json
from point2act.core.types import View

NAME = "run.json"

Poses = Mapping[str, Float[np.ndarray, "4 4"]]
"""``T_world_cam`` by the frame's name."""


@dataclass(frozen=True, eq=False)
class RunManifest:
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
    poses: Poses | None = None
    """What the run made of the capture's poses; None where it left them as they were."""
    allow_outside: bool = False
    """Whether the capture was allowed files outside its folder."""
    made: str | None = None
    """What the scene was made from and how, as ``fingerprint`` has it."""
    views: tuple[str, ...] | None = None
    """The capture's frames that were used, by name; None where all were."""
    told: Mapping[str, str] = field(default_factory=dict)
    """What is told of how the scene was made, by the fields of a Reconstruction."""


def with_poses(views: Sequence[View], poses: Poses | None) -> tuple[View, ...]:
    """Views as a run had them, when they are loaded from its capture again.

    A view whose name is not among the poses keeps its own.
    """
    known = poses or {}
    return tuple(replace(view, T_world_cam=known.get(view.name, view.T_world_cam)) for view in views)


def write_run(folder: Path, run: RunManifest) -> None:
    """Write run.json into the folder that the scene lies in already, atomically."""
    document: dict[str, Any] = {
        "version": 1,
        "capture": run.capture.resolve().as_posix(),
        "scene": run.scene.name,
        "scene_sha256": _sha256(run.scene),
        "max_side": run.max_side,
        "metric": run.metric,
        "psnr": run.psnr,
        "timings": {name: round(seconds, 3) for name, seconds in run.timings.items()},
    }
    if run.allow_outside:
        document["allow_outside"] = True
    if run.made is not None:
        document |= {"made": run.made, "told": dict(run.told)}
    if run.views is not None:
        document["views"] = list(run.views)
    if run.poses is not None:
        document["T_world_cam"] = {name: T.tolist() for name, T in run.poses.items()}
    write_json(folder / NAME, document)


def read_run(path: Path | str) -> RunManifest:
    """Read a run.json, or the one in a folder.

    Raises ``RunError`` where it is missing, broken or newer than this program, or where the
    capture or the scene are no longer in their places, or the scene is another.
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
    if "scene_sha256" in document and document["scene_sha256"] != _sha256(scene):
        raise RunError(
            f"{scene} is not the scene that {path} was written for, it was changed or a run was cut off: "
            "run point2act run again, with --resume"
        )
    poses = document.get("T_world_cam")
    return RunManifest(
        capture=capture,
        scene=scene,
        max_side=document["max_side"],
        metric=document["metric"],
        psnr=document["psnr"],
        timings=document["timings"],
        poses=None if poses is None else {name: np.array(T, dtype=float) for name, T in poses.items()},
        allow_outside=document.get("allow_outside", False),
        made=document.get("made"),
        views=tuple(document["views"]) if "views" in document else None,
        told=document.get("told", {}),
    )


def _sha256(path: Path) -> str:
    """Of a file's contents."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as err:
        raise RunError(f"{path} cannot be read ({err.strerror}): check its permissions") from err
