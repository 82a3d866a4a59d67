"""Image quality: blur, uneven exposure, under- and overexposure, duplicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from point2act.calibration.checks.findings import Evidence, Finding, flag
from point2act.calibration.checks.matches import Matched, Pair
from point2act.calibration.poses.tracks import TrackConfig, near_pairs
from point2act.core.geometry import at_pixels
from point2act.core.types import View

_NEIGHBOURS = 8
"""Number of neighbours that a view is compared with. Chosen."""
_SCALES = 1.0, 3.0
"""Smoothings, pixels, whose gradients are compared for sharpness. Chosen: the first is above a camera's own
blur and noise, the second above expected blur."""
_STRONG = 0.98
"""Quantile of the gradients that is compared: the edges, present in every image. Chosen."""
_BLUR = 0.84
"""Sharpness over the neighbours' median below which a view is blurred. Measured: 0.89 and above in real and
simulated captures, 0.70 with a Gaussian of two pixels, 0.75 with nine pixels of motion."""
_EXPOSURE = 1.35
"""Brightness ratio at matched features above which exposure changed. Chosen: 0.4 of a stop; up to 1.1 in
simulated captures, 1.2 and 1.3 with a phone's automatic exposure."""
_ROUNDS = 10
"""Number of reweightings. Chosen: gains converge to a thousandth."""
_PATCH = 2.0
"""Smoothing, pixels, of the brightness at features. Chosen."""
_DARK, _BRIGHT = 30, 225
"""Median grey values, of 255, below and above which images are under- and overexposed. Chosen."""
_THUMBNAIL = 48
"""Longer side, pixels, of the thumbnails that are searched for duplicates, against noise. Chosen."""
_SAME = 0.6
"""Mean difference of thumbnails, grey values of 255, below which images are the same. Measured: 6 and above
between views of a simulated, a robot's and a phone's capture, 0.5 between an image and itself with noise."""
_SAME_POSE = 0.02, 0.03
"""Distance over that between the outermost cameras, and angle, radians, below which poses are the same.
Chosen: such a camera shows almost the same image."""


def check_image_quality(views: Sequence[View], matched: Matched) -> Evidence:
    """Check sharpness and brightness of each view against its neighbours, exposure, and duplicates."""
    around = neighbours(views)
    sharp = np.array([sharpness(view) for view in views])
    relative = np.array([sharp[i] / np.median(sharp[near]) if near else 1.0 for i, near in enumerate(around)])
    jumps = _exposures(views, matched)
    findings = [
        *_blurred(views, relative),
        *_exposure_changes(views, jumps),
        *_badly_exposed(views),
        *_duplicates(views),
    ]
    figures = {"sharpness_least": float(relative.min()), "exposure_most": float(np.exp(np.abs(jumps).max()))}
    return Evidence(tuple(findings), figures, None if findings else "images are sharp and evenly exposed")


def neighbours(views: Sequence[View]) -> list[list[int]]:
    """Return the views near each view that look in a similar direction."""
    found: list[list[int]] = [[] for _ in views]
    for i, j in near_pairs(views, TrackConfig(partner_views=_NEIGHBOURS)):
        found[i].append(j)
        found[j].append(i)
    return found


def sharpness(view: View) -> float:
    """Return the ratio of the strongest gradients in the image to those after smoothing; about 2 if sharp.

    A step edge has the same ratio for any contrast, so that the scene's content matters little. The ratio is
    the mean over four directions, as motion blur has one.
    """
    import cv2

    grey = cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    usable = _usable(view)
    fine, coarse = (_gradients(cv2.GaussianBlur(grey, (0, 0), sigma)) for sigma in _SCALES)
    ratios = [
        np.quantile(a[usable], _STRONG) / max(float(np.quantile(b[usable], _STRONG)), 1e-3)
        for a, b in zip(fine, coarse, strict=True)
    ]
    return max(float(np.mean(ratios)), 1e-3)


def _usable(view: View) -> Bool[np.ndarray, "h w"]:
    """Return the mask; all pixels if it excludes all."""
    if view.mask is None or not view.mask.any():
        return np.ones(view.rgb.shape[:2], dtype=bool)
    return view.mask


def _gradients(image: Float32[np.ndarray, "h w"]) -> list[Float32[np.ndarray, "h w"]]:
    """Return absolute gradients along x, y and both diagonals."""
    import cv2

    step = np.array([[-0.5, 0.0, 0.5]], np.float32)
    dx, dy = (cv2.filter2D(image, -1, k, borderType=cv2.BORDER_REPLICATE) for k in (step, step.T))
    return [np.abs(dx), np.abs(dy), np.abs(dx + dy), np.abs(dx - dy)]


def _blurred(views: Sequence[View], relative: Float[np.ndarray, " n"]) -> list[Finding]:
    message = (
        "blurred compared with neighbouring views: record again with the camera at rest and a short "
        "exposure, or remove"
    )
    return flag(views, relative < _BLUR, "warning", "blur", message, float(relative.min()))


def _exposures(views: Sequence[View], matched: Matched) -> Float[np.ndarray, " n"]:
    """Return the log brightness of each view relative to its neighbours or to all, the smaller; 0 if unknown.

    The comparison with all protects a view that is matched with outliers only; that with neighbours allows
    for slow changes of light.
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
            relative = gain - np.median(gains[partners]), gain - np.median(gains)
            jumps[index] = min(relative, key=abs)
    return jumps


def _gains(
    count: int, ends: Int[np.ndarray, "m 2"], ratios: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " n"]:
    """Return log gains with the given differences: least absolute deviations, by iterative reweighting."""
    differences = np.zeros((len(ends), count))
    rows = np.arange(len(ends))
    differences[rows, ends[:, 0]], differences[rows, ends[:, 1]] = 1.0, -1.0
    gains, weights = np.zeros(count), np.ones(len(ends))
    for _ in range(_ROUNDS):
        weighted = differences.T * weights
        # The regularisation keeps views without matches at zero.
        gains = np.linalg.solve(weighted @ differences + 1e-6 * np.eye(count), weighted @ ratios)
        weights = 1.0 / np.maximum(np.abs(differences @ gains - ratios), 0.01)
    return gains


def _log_ratio(pair: Pair, greys: Sequence[Float32[np.ndarray, "_h _w"]]) -> float:
    brightness = at_pixels(greys[pair.i], pair.pixels_i) / at_pixels(greys[pair.j], pair.pixels_j)
    return float(np.median(np.log(brightness)))


def _exposure_changes(views: Sequence[View], jumps: Float[np.ndarray, " n"]) -> list[Finding]:
    most = float(np.exp(np.abs(jumps).max()))
    message = (
        f"brighter or darker than neighbouring views, by up to {most:.2f} times: fix exposure, gain and "
        "white balance"
    )
    return flag(views, np.abs(jumps) > np.log(_EXPOSURE), "warning", "exposure", message, most)


def _badly_exposed(views: Sequence[View]) -> list[Finding]:
    levels = np.array([np.median(view.rgb[_usable(view)]) for view in views])
    low, high = float(levels.min()), float(levels.max())
    dark = "underexposed: light the scene, or expose longer"
    bright = "overexposed: expose shorter, unless the scene is white"
    return [
        *flag(views, levels < _DARK, "remark", "dark", dark, low),
        *flag(views, levels > _BRIGHT, "remark", "bright", bright, high),
    ]


def _duplicates(views: Sequence[View]) -> list[Finding]:
    """Report pairs of equal images: with the same pose, or with two, of which one is wrong."""
    same_pose, other_pose = [], []
    scale = _extent(views)
    for i, j in _equal_images(views):
        turn = views[i].T_world_cam[:3, :3].T @ views[j].T_world_cam[:3, :3]
        distance = np.linalg.norm(views[i].T_world_cam[:3, 3] - views[j].T_world_cam[:3, 3])
        angle = np.arccos(np.clip((np.trace(turn) - 1) / 2, -1.0, 1.0))
        same = distance <= _SAME_POSE[0] * scale and angle <= _SAME_POSE[1]
        (same_pose if same else other_pose).append((i, j))
    findings = []
    if other_pose:
        message = "the same image with different poses: one pose is wrong, or an image was copied; remove one"
        findings.append(Finding("error", "same_picture_other_pose", message, _names(views, other_pose)))
    if same_pose:
        message = "the same image twice with the same pose: it counts double and adds nothing; remove one"
        findings.append(Finding("warning", "duplicate", message, _names(views, same_pose)))
    return findings


def _equal_images(views: Sequence[View]) -> list[tuple[int, int]]:
    import cv2

    height, width = views[0].rgb.shape[:2]
    factor = _THUMBNAIL / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    greys = [cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) for view in views]
    small = np.array([cv2.resize(grey, size, interpolation=cv2.INTER_AREA).ravel() for grey in greys])
    # Images without contrast are all alike.
    distinctive = small.std(axis=1) > 4 * _SAME
    pairs = []
    for i in range(len(views)):
        off = np.abs(small[i + 1 :] - small[i]).mean(axis=1)
        same = (off < _SAME) & distinctive[i + 1 :] & distinctive[i]
        pairs += [(i, i + 1 + int(step)) for step in np.flatnonzero(same)]
    return pairs


def _extent(views: Sequence[View]) -> float:
    """Return the largest extent of the camera centres along an axis, in the world's unit."""
    eyes = np.array([view.T_world_cam[:3, 3] for view in views])
    return float(np.ptp(eyes, axis=0).max())


def _names(views: Sequence[View], pairs: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(views[index].name for index in sorted({index for pair in pairs for index in pair}))
