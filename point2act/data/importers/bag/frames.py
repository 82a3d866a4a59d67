"""Pairs of colour and depth, the speed of the camera, and images spread over viewpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from point2act.data.capture.view_selection import ViewDistance, farthest_point_sampling, replace_by_better
from point2act.data.importers.bag.transforms import Poses
from point2act.data.importers.pose_text import nearest_times

_MOMENT = 50_000_000
"""Nanoseconds before and after an image over which the motion of the camera is measured. Chosen."""

_REACH = 0.5
"""Distance of the scene in metres, by which angles count as lengths. Chosen."""

STILL = 0.05
"""Speed in m/s below which the camera is at rest. Chosen: in an exposure of 10 ms it moves by 0.5 mm, 0.6
pixels at half a metre and a focal length of 600."""

_APART = 0.01
"""Distance in metres, angles included, below which two images have one viewpoint. Chosen: the second shows
nothing new."""

_ENOUGH = 12
"""Number of viewpoints at rest from which on images from a moving camera are left out. Chosen."""


def pair_times(
    colors: Int[np.ndarray, " n"], depths: Int[np.ndarray, " m"], tolerance: float
) -> Int[np.ndarray, " n"]:
    """Return the index of the depth image nearest in time to each colour image, -1 beyond a tolerance.

    Args:
        colors: Times of the colour images, nanoseconds.
        depths: Times of the depth images, nanoseconds, sorted.
        tolerance: Seconds.
    """
    origin = colors[0] if len(colors) else 0
    # Whole nanoseconds are exact in floating point, for a hundred days.
    found = nearest_times((colors - origin).astype(float), (depths - origin).astype(float), 1e9 * tolerance)
    return np.array([-1 if index is None else index for index in found], dtype=np.int64)


def speeds(
    poses_at: Callable[[Int[np.ndarray, " n"]], Poses], times: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Return how fast the camera moves at times: metres a second, with rotations at half a metre.

    Args:
        poses_at: Poses of the camera at times.
        times: Nanoseconds.
    """
    before, at, after = (poses_at(times + offset) for offset in (-_MOMENT, 0, _MOMENT))
    # At the ends of tf only one side is known.
    start = np.where(before.known[:, None, None], before.matrices, at.matrices)
    end = np.where(after.known[:, None, None], after.matrices, at.matrices)
    seconds = (before.known.astype(float) + after.known) * _MOMENT / 1e9
    return np.divide(_way(start, end), seconds, out=np.full(len(times), np.inf), where=seconds > 0)


def choose_frames(
    T_world_cam: Float[np.ndarray, "n 4 4"], speed: Float[np.ndarray, " n"], count: int | None
) -> list[int]:
    """Choose images that are spread over viewpoints, each at the moment near it when the camera is slowest.

    Farthest point sampling over poses, then the slowest image near each, once for each viewpoint; where the
    camera rests at a dozen of them or more, images in motion are left out.

    Args:
        T_world_cam: Poses of the images.
        speed: Speed of the camera, m/s.
        count: Maximum number of images, None for all.

    Returns:
        Indices in order.
    """
    if count is None or len(speed) <= count:
        return list(range(len(speed)))
    distance = ViewDistance(T_world_cam[:, :3, 3], T_world_cam[:, :3, 2])
    spread = farthest_point_sampling(distance, count, [np.ones(len(speed), dtype=bool)])
    slow = replace_by_better(distance, spread, np.zeros(len(speed), dtype=bool), 1 / (1 + speed))
    distinct = _apart(T_world_cam, sorted(set(slow), key=lambda index: speed[index]))
    resting = [index for index in distinct if speed[index] < STILL]
    return sorted(resting if len(resting) >= _ENOUGH else distinct)


def _apart(T_world_cam: Float[np.ndarray, "n 4 4"], indices: Sequence[int]) -> list[int]:
    """Keep images that are apart from those kept before."""
    kept: list[int] = []
    for index in indices:
        if not kept or _way(T_world_cam[kept], T_world_cam[[index]]).min() > _APART:
            kept.append(index)
    return kept


def _way(start: Float[np.ndarray, "n 4 4"], end: Float[np.ndarray, "m 4 4"]) -> Float[np.ndarray, " n"]:
    """Return how far the camera moves between poses, metres, with rotations at half a metre."""
    shift = np.linalg.norm(end[:, :3, 3] - start[:, :3, 3], axis=1)
    turn = (Rotation.from_matrix(start[:, :3, :3]).inv() * Rotation.from_matrix(end[:, :3, :3])).magnitude()
    return shift + _REACH * turn
