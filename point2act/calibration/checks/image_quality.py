"""The pictures themselves: blurred, unevenly exposed, dark, burnt out, or there twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from point2act.calibration.checks.findings import Evidence, Finding
from point2act.calibration.checks.matches import Matched, Pair
from point2act.calibration.poses.tracks import TrackConfig, near_pairs
from point2act.core.geometry import at_pixels
from point2act.core.types import View

_NEIGHBOURS = 8
"""Views that a view is compared with. Chosen."""

_SCALES = 1.0, 3.0
"""Smoothings, pixels, whose slopes are compared for sharpness. Chosen: the first is above a camera's own
blur and the noise, the second above what blur there may be."""

_STRONG = 0.98
"""The slopes of this quantile count: edges, of which there are some in every picture. Chosen."""

_BLUR = 0.84
"""A view whose sharpness is below this share of its neighbours' is blurred. Measured: 0.89 and above in real
and simulated captures, 0.70 with a Gaussian of two pixels, 0.75 with nine pixels of motion."""

_EXPOSURE = 1.35
"""Ratio of brightness at matched spots from which exposure jumps. Chosen: 0.4 of a stop; up to 1.1 in
simulated captures, 1.2 and 1.3 with a phone's automatic exposure."""

_ROUNDS = 10
"""Of reweighting. Chosen: gains settle to a thousandth."""

_PATCH = 2.0
"""Smoothing, pixels, with which brightness is read. Chosen."""

_DARK, _BRIGHT = 30, 225
"""Grey values of 255: pictures whose median is beyond are dark or burnt out. Chosen."""

_THUMBNAIL = 48
"""Longer side, pixels, at which pictures are compared for being the same: noise is averaged away. Chosen."""

_SAME = 0.6
"""Mean difference of thumbnails, grey values of 255, of the same picture. Measured: 6 and above between any
two views of a simulated, a robot's and a phone's capture, 0.5 between a picture and itself with noise."""

_STOOD = 0.02, 0.03
"""Poses that differ by less, as a share of the distance between cameras and in radians, are the same pose.
Chosen: a camera that moves so little shows almost the same picture."""


def check_image_quality(views: Sequence[View], matched: Matched) -> Evidence:
    """Sharpness and brightness of each view beside its neighbours', and pictures that are there twice."""
    around = neighbours(views)
    sharp = np.array([sharpness(view) for view in views])
    relative = np.array([sharp[i] / np.median(sharp[near]) if near else 1.0 for i, near in enumerate(around)])
    jumps = _exposures(views, matched)
    findings = [*_blurred(views, relative), *_jumping(views, jumps), *_extreme(views), *_twice(views)]
    figures = {"sharpness_least": float(relative.min()), "exposure_most": float(np.exp(np.abs(jumps).max()))}
    return Evidence(tuple(findings), figures, None if findings else "pictures are sharp and evenly exposed")


def neighbours(views: Sequence[View]) -> list[list[int]]:
    """The views near each view that look the same way."""
    found: list[list[int]] = [[] for _ in views]
    for i, j in near_pairs(views, TrackConfig(partners=_NEIGHBOURS)):
        found[i].append(j)
        found[j].append(i)
    return found


def sharpness(view: View) -> float:
    """How much steeper the steepest edges are in the picture than in a smoothed one; about 2 when sharp.

    A step edge gives the same ratio whatever its height, so that what is in the picture counts little. The
    mean over four directions, since a moving camera blurs along one.
    """
    import cv2

    grey = cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    usable = _usable(view)
    fine, coarse = (_slopes(cv2.GaussianBlur(grey, (0, 0), sigma)) for sigma in _SCALES)
    ratios = [
        np.quantile(a[usable], _STRONG) / max(float(np.quantile(b[usable], _STRONG)), 1e-3)
        for a, b in zip(fine, coarse, strict=True)
    ]
    return max(float(np.mean(ratios)), 1e-3)


def _usable(view: View) -> Bool[np.ndarray, "h w"]:
    """The pixels that count; all of them where the mask leaves none."""
    if view.mask is None or not view.mask.any():
        return np.ones(view.rgb.shape[:2], dtype=bool)
    return view.mask


def _slopes(image: Float32[np.ndarray, "h w"]) -> list[Float32[np.ndarray, "h w"]]:
    """Across, down, and along both diagonals."""
    import cv2

    step = np.array([[-0.5, 0.0, 0.5]], np.float32)
    dx, dy = (cv2.filter2D(image, -1, k, borderType=cv2.BORDER_REPLICATE) for k in (step, step.T))
    return [np.abs(dx), np.abs(dy), np.abs(dx + dy), np.abs(dx - dy)]


def _blurred(views: Sequence[View], relative: Float[np.ndarray, " n"]) -> list[Finding]:
    found = [view.name for view, share in zip(views, relative, strict=True) if share < _BLUR]
    if not found:
        return []
    message = (
        "blurred beside the views around: take them again with the camera at rest and a short exposure, or "
        "leave them out"
    )
    return [Finding("warning", "blur", message, tuple(found), float(relative.min()))]


def _exposures(views: Sequence[View], matched: Matched) -> Float[np.ndarray, " n"]:
    """Logarithm of each view's brightness beside its neighbours' and beside all; the smaller. 0 if unknown.

    Beside all, so that two odd views do not make a third one odd that is matched with them alone; beside its
    neighbours, so that light may change slowly.
    """
    import cv2

    greys = [
        cv2.GaussianBlur(cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), _PATCH) + 1.0
        for view in views
    ]
    ends = np.array([(pair.i, pair.j) for pair in matched.pairs], dtype=int).reshape(-1, 2)
    ratios = np.array([_log_ratio(pair, greys) for pair in matched.pairs])
    gains = _gains(len(views), ends, ratios)
    jumps = np.zeros(len(views))
    for index, gain in enumerate(gains):
        partners = ends[(ends == index).any(axis=1)].ravel()
        partners = partners[partners != index]
        if len(partners) > 1:
            beside = gain - np.median(gains[partners]), gain - np.median(gains)
            jumps[index] = min(beside, key=abs)
    return jumps


def _gains(
    count: int, ends: Int[np.ndarray, "m 2"], ratios: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " n"]:
    """Logarithms of brightness that differ by the ratios: least absolute deviations, by reweighting."""
    differences = np.zeros((len(ends), count))
    rows = np.arange(len(ends))
    differences[rows, ends[:, 0]], differences[rows, ends[:, 1]] = 1.0, -1.0
    gains, weights = np.zeros(count), np.ones(len(ends))
    for _ in range(_ROUNDS):
        weighted = differences.T * weights
        # The small rest keeps views without matches at zero.
        gains = np.linalg.solve(weighted @ differences + 1e-6 * np.eye(count), weighted @ ratios)
        weights = 1.0 / np.maximum(np.abs(differences @ gains - ratios), 0.01)
    return gains


def _log_ratio(pair: Pair, greys: Sequence[Float32[np.ndarray, "_h _w"]]) -> float:
    brightness = at_pixels(greys[pair.i], pair.pixels_i) / at_pixels(greys[pair.j], pair.pixels_j)
    return float(np.median(np.log(brightness)))


def _jumping(views: Sequence[View], jumps: Float[np.ndarray, " n"]) -> list[Finding]:
    found = [view.name for view, jump in zip(views, jumps, strict=True) if abs(jump) > np.log(_EXPOSURE)]
    if not found:
        return []
    most = float(np.exp(np.abs(jumps).max()))
    message = (
        f"brighter or darker than the views around, by up to {most:.2f} times: fix exposure, gain and white "
        "balance"
    )
    return [Finding("warning", "exposure", message, tuple(found), most)]


def _extreme(views: Sequence[View]) -> list[Finding]:
    levels = [float(np.median(view.rgb[_usable(view)])) for view in views]
    dark = tuple(view.name for view, level in zip(views, levels, strict=True) if level < _DARK)
    bright = tuple(view.name for view, level in zip(views, levels, strict=True) if level > _BRIGHT)
    findings = []
    if dark:
        message = "mostly dark: light the scene, or expose longer"
        findings.append(Finding("remark", "dark", message, dark, min(levels)))
    if bright:
        message = "mostly white: expose shorter unless the scene is white"
        findings.append(Finding("remark", "bright", message, bright, max(levels)))
    return findings


def _twice(views: Sequence[View]) -> list[Finding]:
    """Pairs of pictures that are the same: with one pose, or with two, of which one is wrong."""
    standing, moving = [], []
    scale = _extent(views)
    for i, j in _same_pictures(views):
        turn = views[i].T_world_cam[:3, :3].T @ views[j].T_world_cam[:3, :3]
        apart = np.linalg.norm(views[i].T_world_cam[:3, 3] - views[j].T_world_cam[:3, 3])
        angle = np.arccos(np.clip((np.trace(turn) - 1) / 2, -1.0, 1.0))
        still = apart <= _STOOD[0] * scale and angle <= _STOOD[1]
        (standing if still else moving).append((i, j))
    findings = []
    if moving:
        message = (
            "the same picture with different poses: one pose is wrong, or an image was copied; take one out"
        )
        findings.append(Finding("error", "same_picture_other_pose", message, _names(views, moving)))
    if standing:
        message = (
            "the same picture twice from the same place: it counts double and adds nothing; take one out"
        )
        findings.append(Finding("warning", "duplicate", message, _names(views, standing)))
    return findings


def _same_pictures(views: Sequence[View]) -> list[tuple[int, int]]:
    import cv2

    height, width = views[0].rgb.shape[:2]
    factor = _THUMBNAIL / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    greys = [cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) for view in views]
    small = np.array([cv2.resize(grey, size, interpolation=cv2.INTER_AREA).ravel() for grey in greys])
    # A picture of next to nothing is the same as any other such.
    telling = small.std(axis=1) > 4 * _SAME
    pairs = []
    for i in range(len(views)):
        off = np.abs(small[i + 1 :] - small[i]).mean(axis=1)
        same = (off < _SAME) & telling[i + 1 :] & telling[i]
        pairs += [(i, i + 1 + int(step)) for step in np.flatnonzero(same)]
    return pairs


def _extent(views: Sequence[View]) -> float:
    """Distance between the cameras that are farthest apart along an axis, in the world's unit."""
    eyes = np.array([view.T_world_cam[:3, 3] for view in views])
    return float(np.ptp(eyes, axis=0).max())


def _names(views: Sequence[View], pairs: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(views[index].name for index in sorted({index for pair in pairs for index in pair}))
