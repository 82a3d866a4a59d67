"""Do the poses fit the pictures? Matched features against the given poses' epipolar lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from point2act.calibration.checks.findings import Evidence, Finding
from point2act.calibration.checks.matches import Matched, Pair, sampson
from point2act.calibration.poses.pose_prior import stack_poses
from point2act.core.geometry import fundamental, invert
from point2act.core.types import View

_FEWEST_PAIRS = 3
"""Of fewer pairs nothing is said about all poses. Chosen."""

_CLEARLY = 1.4
"""By how much further off than a free motion of each pair the matches must be. Measured: 0.8 to 1.0 on
simulated tables and on a phone's photographs with COLMAP's poses, 2.3 with poses off by 1 mm and 0.2°."""

_NOTICED = 0.45
"""Pixels; less is the features' own noise. Measured: 0.15 to 0.3 with right poses."""

_MUCH = 0.0025, 0.02
"""Shares of the longer side from which poses off are a warning and an error. Chosen: on simulated tables
1 pixel of 320 is 3 mm and 0.4°, and 6.5 are 10 mm and 2°, which no grasp survives."""

_LONELY_PAIRS = 2
"""Pairs that must hold a view for its own pose to be judged. Chosen: in one, the other may be to blame."""

_STANDS_OUT = 4.0
"""A view whose matches are so many times as far off as all is wrong alone. Chosen: up to 2 with poses that
are all off at random."""

_FITTING = 0.3
"""Less than this share of its matches fits the others where a view's pose is wrong. Chosen: not half, since
repeated texture makes whole pairs match wrongly; some fit by chance, as they lie along epipolar lines."""

_FOCAL = np.arange(0.8, 1.2501, 0.01)
"""Focal lengths that are tried, as shares of the given one."""

_FOCAL_STEP = 0.015
"""Deviations of the focal length below are not told. Chosen."""

_FOCAL_GAIN = 0.8
"""How much nearer matches must come with another focal length. Measured: to 0.5 to 0.65 where it is 5 % off,
to 0.85 at best where poses are off at random."""

_EXPLAINED = 1.4
"""Another focal length must bring the matches within this factor of free motions. Chosen."""

_READING_GAIN = 0.4
"""How much nearer matches must come when the poses are read otherwise. Measured: to 0.01 to 0.25 where they
were written so, in simulated and real captures; never nearer at all with poses off by 10 mm and 2°."""

_STILL_SHARE = 0.05
"""Share of matches that move with the camera from which it is told. Chosen."""

_CAMERA_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def check_poses(views: Sequence[View], matched: Matched) -> Evidence:
    """Distances of matches from the given poses' epipolar lines, in pixels, beside those of free motions.

    Only matches that one rigid motion explains count, so that moving people and repeated texture raise no
    alarm. Where the poses fit badly, the usual misunderstandings are tried: camera axes, world to camera,
    and the focal length of all views.
    """
    still = _carried(matched)
    if len(matched.pairs) < _FEWEST_PAIRS:
        finding = Finding(
            "remark",
            "few_matches",
            f"only {len(matched.pairs)} of {matched.tried} pairs of near views share enough features to "
            "check the poses by: put something with texture into the scene, or take more views closer "
            "together",
            value=float(len(matched.pairs)),
        )
        return Evidence((finding, *still), {"epipolar_px": None})
    K = np.array([view.camera.K for view in views])
    off = _overall(matched.pairs, stack_poses(views), K)
    free = float(np.median(np.repeat([pair.free for pair in matched.pairs], _counts(matched.pairs))))
    figures = {"epipolar_px": off, "epipolar_free_px": free, "epipolar_pairs": float(len(matched.pairs))}
    figures["matches_carried"] = matched.still
    found = _misread(matched.pairs, stack_poses(views), K, off, free) or _all_off(views, off, free)
    alone = () if found else _alone(views, matched, K, off)
    fine = None if found or alone else f"poses fit the pictures to {off:.1f} px"
    return Evidence((*found, *alone, *still), figures, fine)


def _carried(matched: Matched) -> tuple[Finding, ...]:
    if matched.still < _STILL_SHARE:
        return ()
    message = (
        f"{100 * matched.still:.0f} % of what is recognised from view to view moves along with the camera, "
        "as a robot's own gripper does: mask it (mask_path)"
    )
    return (Finding("warning", "carried_along", message, value=matched.still),)


def _misread(
    pairs: Sequence[Pair],
    T: Float[np.ndarray, "n 4 4"],
    K: Float[np.ndarray, "n 3 3"],
    off: float,
    free: float,
) -> tuple[Finding, ...]:
    """Another reading of poses or intrinsics, where it fits and the given one does not."""
    for words, read in _READINGS.items():
        there = _overall(pairs, read(T), K)
        if off > _NOTICED and there < _READING_GAIN * off:
            message = (
                f"poses are {off:.1f} px off the pictures as they are but {there:.1f} px when {words}: "
                "convert transform_matrix to camera-to-world with OpenGL's axes (x right, y up, z backwards)"
            )
            return (Finding("error", "pose_convention", message, value=off),)
    return _focal(pairs, T, K, off, free)


def _focal(
    pairs: Sequence[Pair],
    T: Float[np.ndarray, "n 4 4"],
    K: Float[np.ndarray, "n 3 3"],
    off: float,
    free: float,
) -> tuple[Finding, ...]:
    fits = np.array([_overall(pairs, T, _zoomed(K, share)) for share in _FOCAL])
    share, there = float(_FOCAL[fits.argmin()]), float(fits.min())
    if abs(share - 1) < _FOCAL_STEP or there > min(_FOCAL_GAIN * off, _EXPLAINED * free):
        return ()
    message = (
        f"the focal length seems {100 * abs(1 / share - 1):.0f} % too {'short' if share > 1 else 'long'} "
        f"(features fit to {there:.1f} px instead of {off:.1f} with {share:.2f} times fl_x, fl_y): calibrate "
        "the camera at the size of the images"
    )
    severity = "error" if abs(share - 1) > 0.1 else "warning"
    return (Finding(severity, "focal_length", message, value=share),)


def _zoomed(K: Float[np.ndarray, "n 3 3"], share: float) -> Float[np.ndarray, "n 3 3"]:
    zoomed = K.copy()
    zoomed[:, [0, 1], [0, 1]] *= share
    return zoomed


def _flipped(T: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    """What was meant where OpenCV's axes were written."""
    return T @ _CAMERA_FLIP


def _inverted(T: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    """What was meant where world-to-camera with OpenCV's axes was written."""
    return np.array([invert(pose @ _CAMERA_FLIP) for pose in T])


def _inverted_and_flipped(T: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    """What was meant where world-to-camera with OpenGL's axes was written."""
    return _flipped(_inverted(T))


_READINGS: Mapping[str, Callable[[Float[np.ndarray, "n 4 4"]], Float[np.ndarray, "n 4 4"]]] = {
    "read with OpenCV's camera axes": _flipped,
    "read as world-to-camera with OpenCV's axes": _inverted,
    "read as world-to-camera with OpenGL's axes": _inverted_and_flipped,
}


def _all_off(views: Sequence[View], off: float, free: float) -> tuple[Finding, ...]:
    if off < max(_NOTICED, _CLEARLY * free):
        return ()
    share = off / max(max(view.rgb.shape[:2]) for view in views)
    what = f"poses disagree with the pictures by {off:.1f} px in the median, where {free:.1f} px is possible"
    if share < _MUCH[0]:
        message = f"{what}: point2act run mends so little by itself"
        return (Finding("remark", "poses_off", message, value=off),)
    if share < _MUCH[1]:
        message = f"{what}: calibrate the camera to the hand; point2act run mends some millimetres by itself"
        return (Finding("warning", "poses_off", message, value=off),)
    message = (
        f"{what}: calibrate the camera to the hand again, and check that images and poses belong together"
    )
    return (Finding("error", "poses_off", message, value=off),)


def _alone(
    views: Sequence[View], matched: Matched, K: Float[np.ndarray, "n 3 3"], off: float
) -> tuple[Finding, ...]:
    """Views that agree with hardly any of their neighbours while the others agree."""
    T = stack_poses(views)
    bound = max(_STANDS_OUT * off, _CLEARLY * _NOTICED)
    found = {}
    for index, view in enumerate(views):
        pairs = matched.of(index)
        misses = np.concatenate([np.zeros(0), *(_misses(pair, T, K) for pair in pairs)])
        if len(pairs) >= _LONELY_PAIRS and (misses < bound).mean() < _FITTING:
            found[view.name] = float(np.median(misses))
    if not found:
        return ()
    worst = max(found.values())
    message = (
        f"the pose of {'this view' if len(found) == 1 else 'these views'} disagrees with the pictures by up "
        f"to {worst:.1f} px, the others by {off:.1f}: take the images out, or record their poses again"
    )
    return (Finding("error", "pose_off_alone", message, tuple(found), worst),)


def epipolar_distances(pair: Pair, a: View, b: View) -> Float[np.ndarray, " m"]:
    """Pixels between matches of two views and the epipolar lines of their poses (Sampson)."""
    return _of_poses(pair, (a.T_world_cam, b.T_world_cam), (a.camera.K, b.camera.K))


def _misses(
    pair: Pair, T: Float[np.ndarray, "n 4 4"], K: Float[np.ndarray, "n 3 3"]
) -> Float[np.ndarray, " m"]:
    return _of_poses(pair, (T[pair.i], T[pair.j]), (K[pair.i], K[pair.j]))


def _of_poses(
    pair: Pair, T: tuple[np.ndarray, np.ndarray], K: tuple[np.ndarray, np.ndarray]
) -> Float[np.ndarray, " m"]:
    F_j_i = fundamental(invert(T[1]) @ T[0], *K)
    return sampson(F_j_i / max(np.abs(F_j_i).max(), 1e-12), pair.pixels_i, pair.pixels_j)


def _overall(pairs: Sequence[Pair], T: Float[np.ndarray, "n 4 4"], K: Float[np.ndarray, "n 3 3"]) -> float:
    """Median over all matches, pixels."""
    return float(np.median(np.concatenate([_misses(pair, T, K) for pair in pairs])))


def _counts(pairs: Sequence[Pair]) -> list[int]:
    return [len(pair.pixels_i) for pair in pairs]
