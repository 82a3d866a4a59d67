"""Depth laid on the colours and poses laid on the pictures, and by how much both were off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.calibration.checks.depth_extrinsics import DepthExtrinsics, estimate_depth_extrinsics
from point2act.calibration.checks.registration import best_registration, lies_on_colours
from point2act.calibration.poses import PoseRefinementConfig, Refined, refine_poses
from point2act.calibration.poses.pose_prior import pose_differences, stack_poses
from point2act.core.geometry import invert
from point2act.core.types import ProgressCallback, View

_SAME = 0.5
"""Cameras moved alike, each in its own frame, where what is left differs by less than this share of how far
they moved. Chosen."""


@dataclass(frozen=True, eq=False)
class Repaired:
    """What ``mend`` returns."""

    views: tuple[View, ...]
    depth_extrinsics: DepthExtrinsics | None
    """The depth camera that was found; None where depth was left as it is."""
    depth: str
    """What was done to the depth, or why nothing was: a sentence without its full stop."""
    poses: str
    """The same of the poses."""
    poses_changed: bool
    """Whether the poses are others."""


def repair(
    views: Sequence[View],
    *,
    metric: bool,
    config: PoseRefinementConfig = PoseRefinementConfig(),
    progress: ProgressCallback | None = None,
) -> Repaired:
    """Register the depth of undistorted views to their colours, then refine their poses.

    Each is left as it is where the pictures do not ask for another clearly. Poses are only touched where
    lengths are ``metric``: how far a robot's may be off is known in millimetres.
    """
    depth_extrinsics, depth = _depth_camera(views)
    if depth_extrinsics is not None:
        views = [depth_extrinsics.registered(view) for view in views]
    if not metric:
        why = (
            'poses left as they were: lengths are not known to be metres ("metric": true says that they are)'
        )
        return Repaired(tuple(views), depth_extrinsics, depth, why, False)
    refined: Refined = refine_poses(views, config=config, progress=progress)
    return Repaired(refined.views, depth_extrinsics, depth, refined.detail, refined.changed)


def pose_corrections(
    before: Sequence[View], after: Sequence[View], T_base_world: Float[np.ndarray, "4 4"] | None
) -> list[dict[str, Any]]:
    """How far each camera moved (mm) and turned (degrees, a rotation vector), along the robot's base's axes.

    Along the world's where ``T_base_world`` is None. For JSON.
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
    """What all cameras did alike, in their own frames: metres, and degrees about their own axes.

    A camera that is mounted otherwise than its calibration says is off by the same in every view. None where
    the views do not have that in common.
    """
    steps = [invert(old.T_world_cam) @ new.T_world_cam for old, new in zip(before, after, strict=True)]
    shifts = np.array([step[:3, 3] for step in steps])
    turns = np.degrees(Rotation.from_matrix([step[:3, :3] for step in steps]).as_rotvec())
    shift, turn = np.median(shifts, axis=0), np.median(turns, axis=0)
    if _spread(shifts, shift) < _SAME * _spread(shifts, 0 * shift) or (
        _spread(turns, turn) < _SAME * _spread(turns, 0 * turn)
    ):
        return shift, turn
    return None


def _spread(values: Float[np.ndarray, "n 3"], middle: Float[np.ndarray, " 3"]) -> float:
    return float(np.median(np.linalg.norm(values - middle, axis=1)))


def _depth_camera(views: Sequence[View]) -> tuple[DepthExtrinsics | None, str]:
    seen = [view for view in views if view.depth is not None]
    left = "depth left as it is"
    if len(seen) < 4 or len({view.rgb.shape for view in seen}) > 1:
        return None, f"{left}: that takes depth in four or more views of one size"
    start = best_registration(seen)
    if not start.sure:
        return None, f"{left}: its borders lie on the pictures' edges nowhere clearly"
    if lies_on_colours(start, seen[0]):
        return None, f"{left}: it lies on the colours"
    found = estimate_depth_extrinsics(seen, start)
    if found is None:
        return None, f"{left}: one half of the views asks for another depth camera than the other half"
    return found, _told(found)


def _told(found: DepthExtrinsics) -> str:
    beside = np.array(found.offset) * 1000
    right, down = ("right" if beside[0] > 0 else "left"), ("below" if beside[1] > 0 else "above")
    degrees = np.degrees(np.arctan(found.axis_shift))
    return (
        f"depth registered to the colours: its camera has {1 / found.zoom:.3f} times the focal length, its "
        f"axis meets the picture {degrees[0]:+.2f}° to the right and {degrees[1]:+.2f}° down, and it is "
        f"{abs(beside[0]):.0f} mm to the {right} of the colour camera and {abs(beside[1]):.0f} mm {down} it; "
        f"its borders lie on edges of {found.after:.2f} standard deviations instead of {found.before:.2f}"
    )
