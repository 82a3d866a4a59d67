"""``point2act check --refine``: a copy of a capture with registered depth and refined poses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from point2act.calibration.checks import CheckConfig, Report, run_checks
from point2act.calibration.checks.repair import Repaired, common_correction, pose_corrections, repair
from point2act.calibration.poses import PoseRefinementConfig
from point2act.core.progress import Stages
from point2act.core.types import Capture, View
from point2act.data.capture import load_view, load_views, read_capture
from point2act.data.capture.rewrite import depth_on_disk, rewrite_capture
from point2act.data.capture.write import write_png
from point2act.data.importers.write import new_capture
from point2act.visualization.drawing.borders import registration_picture

PICTURE = "registration.png"
"""Image in the copy that shows the registration of the depth."""

_NAMED = 3
"""Number of views whose correction is printed."""

_AXES = ("right", "down", "forward")


@dataclass(frozen=True, eq=False)
class RefinedCopy:
    """A refined copy of a capture, and its own check."""

    document: dict[str, Any]
    """Corrections as JSON."""
    words: str
    """Corrections as text."""
    report: Report
    """Findings of the copy."""


def refined_copy(
    capture: Capture,
    views: Sequence[View],
    output: Path,
    *,
    config: CheckConfig,
    poses: PoseRefinementConfig,
    stages: Stages,
) -> RefinedCopy:
    """Refine a capture whose views are loaded, write the copy into a new folder and check it."""
    with stages.stage("refine the capture") as bar:
        refined = repair(views, metric=capture.metric, config=poses, progress=bar)
    with stages.stage("write the copy") as bar, new_capture(output) as folder:
        rewrite_capture(
            capture.folder,
            folder,
            poses={view.name: view.T_world_cam for view in refined.views} if refined.poses_changed else {},
            depth=_depth(capture, refined),
            progress=bar,
        )
        if refined.depth_extrinsics is not None:
            write_png(folder / PICTURE, registration_picture(views, refined.views))
    with stages.stage("check the copy") as bar:
        copied = load_views(read_capture(output), max_side=config.max_side)
        report = run_checks(copied, metric=capture.metric, progress=bar)
    document = _document(capture, views, refined, output)
    return RefinedCopy(document, _words(document), report)


def _depth(capture: Capture, refined: Repaired) -> Callable[[str], np.ndarray | None] | None:
    """Return a function from a frame's name to its registered depth, in the pixels of its image on disk."""
    alignment = refined.depth_extrinsics
    if alignment is None:
        return None
    frames = {frame.name: frame for frame in capture.frames}

    def registered(name: str) -> np.ndarray | None:
        view = alignment.registered(load_view(capture, frames[name]))
        return None if view.depth is None else depth_on_disk(frames[name], view)

    return registered


def _document(capture: Capture, views: Sequence[View], refined: Repaired, output: Path) -> dict[str, Any]:
    common = common_correction(views, refined.views) if refined.poses_changed else None
    alignment = refined.depth_extrinsics
    return {
        "capture": str(output),
        "depth": refined.depth,
        "depth_camera": None
        if alignment is None
        else {
            "focal_ratio": 1 / alignment.zoom,
            "axis_deg": np.degrees(np.arctan(alignment.axis_shift)).tolist(),
            "beside_mm": [1000 * metres for metres in alignment.offset],
        },
        "poses": refined.poses,
        "frame": "base" if capture.T_base_world is not None else "world",
        "moves": pose_corrections(views, refined.views, capture.T_base_world)
        if refined.poses_changed
        else [],
        "mount": None
        if common is None
        else {"shift_mm": (1000 * common[0]).tolist(), "turn_deg": common[1].tolist()},
    }


def _words(document: dict[str, Any]) -> str:
    lines = [f"REFINED, in {document['capture']}", f"  {document['depth']}"]
    if document["depth_camera"] is not None:
        lines.append(f"  image: {Path(document['capture']) / PICTURE}")
    lines.append(f"  {document['poses']}")
    if document["moves"]:
        rows = sorted(document["moves"], key=lambda row: -float(np.linalg.norm(row["shift_mm"])))
        frame = "robot's base" if document["frame"] == "base" else "capture's world"
        lines.append(f"  largest corrections, in the {frame} frame (--json lists every view):")
        lines += [f"    {_move(row)}" for row in rows[:_NAMED]]
    if document["mount"] is not None:
        lines.append(f"  {_mount(**document['mount'])}")
    return "\n".join(lines)


def _move(row: dict[str, Any]) -> str:
    """Return the correction of one view as text."""
    shift = ", ".join(f"{axis} {mm:+.1f}" for axis, mm in zip("xyz", row["shift_mm"], strict=True))
    return f"{row['image']}: {shift} mm, rotated by {np.linalg.norm(row['turn_deg']):.2f}°"


def _mount(shift_mm: Sequence[float], turn_deg: Sequence[float]) -> str:
    """Return the correction that all views share, as text."""
    shift = ", ".join(f"{mm:+.1f} mm {axis}" for mm, axis in zip(shift_mm, _AXES, strict=True))
    about = ", ".join(f"{degrees:+.2f}°" for degrees in turn_deg)
    return (
        f"shared by all views, in the camera frame: {shift}, rotated by {about} about these axes: "
        "the hand-eye calibration may be off by this much"
    )
