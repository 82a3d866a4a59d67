"""Repair of a capture: registration of depth to colour and pose refinement, with the corrections found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.calibration.checks.depth_extrinsics import DepthExtrinsics, estimate_depth_extrinsics
from point2act.calibration.checks.registration import best_registration, is_registered
from point2act.calibration.poses import PoseRefinementConfig, Refined, refine_poses
from point2act.calibration.poses.pose_prior import pose_differences, stack_poses
from point2act.core.geometry import invert
from point2act.core.types import ProgressCallback, View

_COMMON = 0.5
"""Spread of the corrections in camera frames over their size, below which they are common. Chosen."""


@dataclass(frozen=True, eq=False)
class Repaired:
    """Result of ``repair``."""

    views: tuple[View, ...]
    depth_extrinsics: DepthExtrinsics | None
    """Depth camera that was found; None if depth was not changed."""
    depth: str
    """What was done to the depth and why, in words, without a full stop."""
    poses: str
    """What was done to the poses and why, in words, without a full stop."""
    poses_changed: bool
    """Whether the poses were refined."""


def repair(
    views: Sequence[View],
    *,
    metric: bool,
    config: PoseRefinementConfig = PoseRefinementConfig(),
    progress: ProgressCallback | None = None,
) -> Repaired:
    """Register depth to colour, then refine the poses, each only if the images clearly support it.

    Args:
        views: Undistorted views.
        metric: Whether lengths are metres; poses are refined only then, as their prior is in metres.
        config: Expected errors of the poses, and criteria to accept refined ones.
        progress: Called with the steps done and the steps in all.
    """
    depth_extrinsics, depth = _depth_camera(views)
    if depth_extrinsics is not None:
        views = [depth_extrinsics.registered(view) for view in views]
    if not metric:
        why = 'poses kept: lengths are not known to be metres (declare it with "metric": true)'
        return Repaired(tuple(views), depth_extrinsics, depth, why, False)
    refined: Refined = refine_poses(views, config=config, progress=progress)
    return Repaired(refined.views, depth_extrinsics, depth, refined.detail, refined.changed)


def pose_corrections(
    before: Sequence[View], after: Sequence[View], T_base_world: Float[np.ndarray, "4 4"] | None
) -> list[dict[str, Any]]:
    """Return each camera's translation (mm) and rotation vector (degrees) for JSON.

    Both are along the axes of the robot's base, or of the world if ``T_base_world`` is None.
    """
    R = np.eye(3) if T_base_world is None else T_base_world[:3, :3]
    steps = pose_differences(stack_poses(before), stack_poses(after))
    return [
        {
            "image": view.name,
            "shift_mm": (1000 * R @ step[3:]).round(3).tolist(),
            "turn_deg": np.degrees(R @ step[:3]).round(4).tolist(),
        }
        for view, step in zip(after, steps, strict=True)
    ]


def common_correction(
    before: Sequence[View], after: Sequence[View]
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]] | None:
    """Return the common correction of all cameras in their own frames, metres and degrees; None without any.

    A wrong hand-eye calibration gives the same correction in every view.
    """
    steps = [invert(old.T_world_cam) @ new.T_world_cam for old, new in zip(before, after, strict=True)]
    shifts = np.array([step[:3, 3] for step in steps])
    turns = np.degrees(Rotation.from_matrix([step[:3, :3] for step in steps]).as_rotvec())
    shift, turn = np.median(shifts, axis=0), np.median(turns, axis=0)
    if _spread(shifts, shift) < _COMMON * _spread(shifts, 0 * shift) or (
        _spread(turns, turn) < _COMMON * _spread(turns, 0 * turn)
    ):
        return shift, turn
    return None


def _spread(values: Float[np.ndarray, "n 3"], center: Float[np.ndarray, " 3"]) -> float:
    return float(np.median(np.linalg.norm(values - center, axis=1)))


def _depth_camera(views: Sequence[View]) -> tuple[DepthExtrinsics | None, str]:
    seen = [view for view in views if view.depth is not None]
    left = "depth kept as it is"
    if len(seen) < 4 or len({view.rgb.shape for view in seen}) > 1:
        return None, f"{left}: its registration needs depth in four or more views of one size"
    start = best_registration(seen)
    if not start.sure:
        return None, f"{left}: its borders match the image edges nowhere clearly"
    if is_registered(start, seen[0]):
        return None, f"{left}: it is registered to the colours"
    found = estimate_depth_extrinsics(seen, start)
    if found is None:
        return None, f"{left}: the two halves of the views suggest different depth cameras"
    return found, _description(found)


def _description(found: DepthExtrinsics) -> str:
    offset = np.array(found.offset) * 1000
    right, down = ("right" if offset[0] > 0 else "left"), ("below" if offset[1] > 0 else "above")
    ahead = "before" if offset[2] > 0 else "behind"
    degrees = np.degrees(np.arctan(found.axis_shift))
    return (
        f"depth registered to the colours: its camera has {1 / found.zoom:.3f} times the focal length, its "
        f"axis is {degrees[0]:+.2f}° to the right and {degrees[1]:+.2f}° down, and it is "
        f"{abs(offset[0]):.0f} mm to the {right} of the colour camera, {abs(offset[1]):.0f} mm {down} and "
        f"{abs(offset[2]):.0f} mm {ahead} it; "
        f"edges at its borders have {found.after:.2f} standard deviations instead of {found.before:.2f}"
    )
