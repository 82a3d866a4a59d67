"""run.json: the record of a run, from which its scene is reopened for new queries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import RunError
from point2act.core.files import read_json, write_json
from point2act.core.types import View

NAME = "run.json"

Poses = Mapping[str, Float[np.ndarray, "4 4"]]
"""``T_world_cam`` by the name of the frame."""


@dataclass(frozen=True, eq=False)
class RunManifest:
    """The inputs, settings and results of a run that are needed to reopen it."""

    capture: Path
    """Folder of the capture."""
    scene: Path
    """PLY file of the Gaussians, in the folder of run.json."""
    max_side: int
    """Longer side of the images in pixels."""
    metric: bool
    """Whether lengths are metres."""
    psnr: float | None = None
    """Mean PSNR of the held-out views, dB."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds per stage."""
    poses: Poses | None = None
    """Refined camera poses; None if the capture's poses were used."""
    allow_outside: bool = False
    """Whether the capture may name files outside its folder."""
    fingerprint: str | None = None
    """Hash of the capture's files and the settings, see ``resume.fingerprint``."""
    views: tuple[str, ...] | None = None
    """Names of the frames that were used; None for all."""
    geometry: Path | None = None
    """PLY file of the Gaussians before the fit, beside that of the scene; None if queries are localized on
    the scene."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Details of how the scene was made, by the fields of a Reconstruction."""


def with_poses(views: Sequence[View], poses: Poses | None) -> tuple[View, ...]:
    """Return views with the refined poses of a run; a view that has none keeps its own."""
    known = poses or {}
    return tuple(replace(view, T_world_cam=known.get(view.name, view.T_world_cam)) for view in views)


def write_run(folder: Path, run: RunManifest) -> None:
    """Write run.json atomically into the folder that already holds the scene."""
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
    if run.geometry is not None:
        document |= {"geometry": run.geometry.name, "geometry_sha256": _sha256(run.geometry)}
    if run.allow_outside:
        document["allow_outside"] = True
    if run.fingerprint is not None:
        document |= {"fingerprint": run.fingerprint, "notes": dict(run.notes)}
    if run.views is not None:
        document["views"] = list(run.views)
    if run.poses is not None:
        document["T_world_cam"] = {name: T.tolist() for name, T in run.poses.items()}
    write_json(folder / NAME, document)


def read_run(path: Path | str) -> RunManifest:
    """Read a run.json, given by its path or its folder.

    Raises ``RunError`` if it is missing, invalid or of a newer version, if the capture or the scene are not
    where it says, or if the scene file was changed.
    """
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    from point2act.core.documents import check
    from point2act.data.documents import RunDocument

    found = check(RunDocument, read_json(path, RunError), RunError, place=f"{path} is not a run.json")
    capture, scene = Path(found.capture), path.parent / found.scene
    if not capture.is_dir():
        raise RunError(
            f'the capture of {path} is no longer at {capture}: move it back, or correct "capture" in the file'
        )
    geometry = None if found.geometry is None else path.parent / found.geometry
    for file, digest in ((scene, found.scene_sha256), (geometry, found.geometry_sha256)):
        if file is None:
            continue
        if not file.is_file():
            raise RunError(f"{file} is missing beside {path}: run point2act run again")
        if digest not in (None, _sha256(file)):
            raise RunError(
                f"{file} does not match {path}, it was changed or a run was interrupted: "
                "run point2act run again, with --resume"
            )
    poses = found.T_world_cam
    return RunManifest(
        capture=capture,
        scene=scene,
        geometry=geometry,
        max_side=found.max_side,
        metric=found.metric,
        psnr=found.psnr,
        timings=found.timings,
        poses=None if poses is None else {name: np.array(T, dtype=float) for name, T in poses.items()},
        allow_outside=found.allow_outside,
        fingerprint=found.fingerprint,
        views=None if found.views is None else tuple(found.views),
        notes=found.notes,
    )


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as err:
        raise RunError(f"{path} cannot be read ({err.strerror}): check its permissions") from err
