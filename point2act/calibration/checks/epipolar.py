"""Check of poses and intrinsics: distances of feature matches from the epipolar lines of the given poses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from point2act.calibration.checks.findings import Evidence, Finding
from point2act.calibration.checks.matches import Matched, Pair, sampson
from point2act.calibration.poses.pose_prior import stack_poses
from point2act.core.geometry import fundamental_matrix, invert
from point2act.core.types import View

_MIN_PAIRS = 3
"""Smallest number of pairs to check all poses by. Chosen."""
_CLEARLY = 1.4
"""Ratio of epipolar errors of the poses to those of free motions, above which poses are wrong. Measured: 0.8
to 1.0 on simulated tables and photographs with COLMAP's poses, 2.3 with poses off by 1 mm and 0.2°."""
_NOTICED = 0.45
"""Epipolar error, pixels, above the noise of features. Measured: 0.15 to 0.3 with right poses."""
_MUCH = 0.0025, 0.02
"""Epipolar errors over the longer side for a warning and an error. Chosen: on simulated tables, 1 pixel of
320 is 3 mm and 0.4°, and 6.5 are 10 mm and 2°, where grasps fail."""
_VIEW_PAIRS = 2
"""Smallest number of pairs of a view to check its pose by. Chosen: in one pair, the other may be wrong."""
_STANDS_OUT = 4.0
"""Ratio of a view's epipolar error to that of all, above which its pose alone is wrong. Chosen: up to 2 if
all poses have random errors."""
_FITTING = 0.3
"""Fraction of fitting matches below which a view's pose is wrong. Chosen: below one half, as repeated texture
makes whole pairs match wrongly, and above 0, as some matches along epipolar lines fit by chance."""
_FOCAL = np.arange(0.8, 1.2501, 0.01)
"""Focal lengths that are tried, over the given one."""
_FOCAL_STEP = 0.015
"""Smallest relative deviation of the focal length that is reported. Chosen."""
_FOCAL_GAIN = 0.8
"""Largest ratio of the epipolar error with another focal length to that with the given one. Measured: 0.5 to
0.65 if it is 5 % off, 0.85 at best with random errors of the poses."""
_EXPLAINED = 1.4
"""Largest ratio of the epipolar error with another focal length to that of free motions. Chosen."""
_READING_GAIN = 0.4
"""Largest ratio of the epipolar error under another pose convention to that as given. Measured: 0.01 to 0.25
with the right convention, in simulated and real captures; above 1 with poses off by 10 mm and 2°."""
_STATIC_FRACTION = 0.05
"""Fraction of matches that move with the camera, above which there is a warning. Chosen."""
_CAMERA_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def check_poses(views: Sequence[View], matched: Matched) -> Evidence:
    """Check the distances of matches from the poses' epipolar lines against those of free motions.

    Only matches that fit one rigid motion count, so that moving people and repeated texture raise no alarm.
    If the poses fit badly, the common mistakes are tried: camera axes, world-to-camera, and the focal length.
    """
    static = _static(matched)
    if len(matched.pairs) < _MIN_PAIRS:
        finding = Finding(
            "remark",
            "few_matches",
            f"only {len(matched.pairs)} of {matched.tried} pairs of near views share enough features to "
            "check the poses: add textured objects to the scene, or record more views closer together",
            value=float(len(matched.pairs)),
        )
        return Evidence((finding, *static), {"epipolar_px": None})
    K = np.array([view.camera.K for view in views])
    off = _overall(matched.pairs, stack_poses(views), K)
    counts = [len(pair.pixels_i) for pair in matched.pairs]
    free = float(np.median(np.repeat([pair.free for pair in matched.pairs], counts)))
    figures = {"epipolar_px": off, "epipolar_free_px": free, "epipolar_pairs": float(len(matched.pairs))}
    figures["matches_carried"] = matched.static
    found = _wrong_convention(matched.pairs, stack_poses(views), K, off, free) or _all_off(views, off, free)
    alone = () if found else _alone(views, matched, K, off)
    fine = None if found or alone else f"poses fit the images to {off:.1f} px"
    return Evidence((*found, *alone, *static), figures, fine)


def _static(matched: Matched) -> tuple[Finding, ...]:
    if matched.static < _STATIC_FRACTION:
        return ()
    message = (
        f"{100 * matched.static:.0f} % of the matched features move with the camera, like the robot's own "
        "gripper: mask them (mask_path)"
    )
    return (Finding("warning", "carried_along", message, value=matched.static),)


def _wrong_convention(
    pairs: Sequence[Pair],
    T: Float[np.ndarray, "n 4 4"],
    K: Float[np.ndarray, "n 3 3"],
    off: float,
    free: float,
) -> tuple[Finding, ...]:
    """Report another convention of poses or another focal length that fits where the given one does not."""
    for words, convert in _CONVENTIONS.items():
        there = _overall(pairs, convert(T), K)
        if off > _NOTICED and there < _READING_GAIN * off:
            message = (
                f"poses are {off:.1f} px off the images as given but {there:.1f} px when {words}: "
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
    # Of K only the focal lengths change.
    zooms = [np.array([[share, 1, 1], [1, share, 1], [1, 1, 1]]) for share in _FOCAL]
    fits = np.array([_overall(pairs, T, K * zoom) for zoom in zooms])
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


def _flipped(T: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    """Convert poses that were written with OpenCV's camera axes."""
    return T @ _CAMERA_FLIP


def _inverted(T: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    """Convert poses that were written as world-to-camera with OpenCV's axes."""
    return np.array([invert(pose @ _CAMERA_FLIP) for pose in T])


_CONVENTIONS: Mapping[str, Callable[[Float[np.ndarray, "n 4 4"]], Float[np.ndarray, "n 4 4"]]] = {
    "read with OpenCV's camera axes": _flipped,
    "read as world-to-camera with OpenCV's axes": _inverted,
    "read as world-to-camera with OpenGL's axes": lambda T: _flipped(_inverted(T)),
}


def _all_off(views: Sequence[View], off: float, free: float) -> tuple[Finding, ...]:
    if off < max(_NOTICED, _CLEARLY * free):
        return ()
    share = off / max(max(view.rgb.shape[:2]) for view in views)
    what = f"poses disagree with the images by {off:.1f} px in the median, where {free:.1f} px is possible"
    if share < _MUCH[0]:
        message = f"{what}: point2act run corrects this by pose refinement"
        return (Finding("remark", "poses_off", message, value=off),)
    if share < _MUCH[1]:
        message = f"{what}: repeat the hand-eye calibration; point2act run corrects some millimetres"
        return (Finding("warning", "poses_off", message, value=off),)
    message = f"{what}: repeat the hand-eye calibration, and check that images and poses belong together"
    return (Finding("error", "poses_off", message, value=off),)


def _alone(
    views: Sequence[View], matched: Matched, K: Float[np.ndarray, "n 3 3"], off: float
) -> tuple[Finding, ...]:
    """Report views whose matches do not fit their pose while those of other views fit."""
    T = stack_poses(views)
    bound = max(_STANDS_OUT * off, _CLEARLY * _NOTICED)
    found = {}
    for index, view in enumerate(views):
        pairs = matched.of(index)
        errors = np.concatenate([np.zeros(0), *(_errors(pair, T, K) for pair in pairs)])
        if len(pairs) >= _VIEW_PAIRS and (errors < bound).mean() < _FITTING:
            found[view.name] = float(np.median(errors))
    if not found:
        return ()
    worst = max(found.values())
    message = (
        f"the pose of {'this view' if len(found) == 1 else 'these views'} disagrees with the images by up "
        f"to {worst:.1f} px, the others by {off:.1f}: remove the images, or record their poses again"
    )
    return (Finding("error", "pose_off_alone", message, tuple(found), worst),)


def epipolar_distances(pair: Pair, a: View, b: View) -> Float[np.ndarray, " m"]:
    """Return the Sampson distances of matches from the epipolar lines of two views' poses, pixels."""
    return _of_poses(pair, (a.T_world_cam, b.T_world_cam), (a.camera.K, b.camera.K))


def _errors(
    pair: Pair, T: Float[np.ndarray, "n 4 4"], K: Float[np.ndarray, "n 3 3"]
) -> Float[np.ndarray, " m"]:
    return _of_poses(pair, (T[pair.i], T[pair.j]), (K[pair.i], K[pair.j]))


def _of_poses(
    pair: Pair, T: tuple[np.ndarray, np.ndarray], K: tuple[np.ndarray, np.ndarray]
) -> Float[np.ndarray, " m"]:
    F_j_i = fundamental_matrix(invert(T[1]) @ T[0], *K)
    return sampson(F_j_i / max(np.abs(F_j_i).max(), 1e-12), pair.pixels_i, pair.pixels_j)


def _overall(pairs: Sequence[Pair], T: Float[np.ndarray, "n 4 4"], K: Float[np.ndarray, "n 3 3"]) -> float:
    """Return the median epipolar error of all matches, pixels."""
    return float(np.median(np.concatenate([_errors(pair, T, K) for pair in pairs])))
