"""Poses of RGB-D views to a fraction of a millimetre: near views show the same picture at the same depth.

Features leave a camera free to turn a little and shift a little the other way, most so over plain or
streaky tables. All the pixels with their depths do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from point2act.calibration.poses.pose_prior import Prior, apply_steps, cauchy_weights, robust_std
from point2act.core.geometry import cross_matrix, invert, transform_points
from point2act.core.types import View


@dataclass(frozen=True)
class PhotometricConfig:
    """How pictures are compared. Chosen on simulated tables."""

    blurs: tuple[float, ...] = (3.0, 1.0)
    """Standard deviations of the smoothing, pixels: the first reaches far, the last is exact."""
    samples: int = 3000
    """Pixels of each view, evenly spread, that are carried to the others where pictures are smoothed by one
    pixel; of smoother ones fewer."""
    rounds: int = 8
    """At most, for each smoothing."""
    jump: float = 0.03
    """Depths that differ by more than this share show something else: an edge, or what hides a point."""
    enough: int = 50
    """Fewer pixels that two views share say nothing."""


_LEVEL = 10.0
"""Smoothing that is taken away from the picture, in units of the finer one, so that exposure does not
count. Chosen."""

_DEPTH_BLUR = 2.0
"""Smoothing of depth, pixels, so that its slope is not that of its noise. Chosen."""

_NOISE = 1.0, 0.0005
"""Least standard deviations of grey values (of 255) and of depths (metres) between two views. Chosen."""

_START = 10.0, 0.005
"""The same before the first round. Chosen."""

_STILL = 0.02
"""Steps shorter than this share of the prior's standard deviations end the rounds. Chosen."""


@dataclass(frozen=True, eq=False)
class _Look:
    """What one view has to compare."""

    maps: Float32[np.ndarray, "h w 6"]
    """Shade, its slopes along x and y; depth, its slopes along x and y. All NaN where no depth is smooth."""
    points: Float[np.ndarray, "n 3"]
    """Some of its pixels, in its camera's frame, metres."""
    shades: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class _Overlap:
    """Points of one view in another: where they are and how far shade and depth are off."""

    points: Float[np.ndarray, "n 3"]
    """In the world."""
    misses: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]
    """Shade, depth."""
    slopes: tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]
    """Of the misses, with respect to the points in the world."""


def refine_photometric(
    views: Sequence[View],
    T_world_cam: Float[np.ndarray, "n 4 4"],
    pairs: Sequence[tuple[int, int]],
    prior: Prior,
    config: PhotometricConfig,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Float[np.ndarray, "n 4 4"]:
    """Poses, from near ones, with which the views of each pair agree in shade and in depth.

    Every view has depth. All pairs are solved at once by Gauss and Newton's steps; Cauchy's loss, with
    scales from the residuals' medians. Direct alignment of two RGB-D images is Steinbrücker et al. 2011,
    Kerl et al. 2013. ``advance`` is called at most ``rounds`` times for each blur.
    """
    both_ways = [*pairs, *((j, i) for i, j in pairs)]
    for blur in config.blurs:
        looks = [_look(view, blur, config) for view in views]
        noise = _START
        for _ in range(config.rounds):
            step, noise = _round(views, looks, T_world_cam, both_ways, prior, config, noise)
            T_world_cam = apply_steps(T_world_cam, step)
            advance()
            if np.abs(step / prior.unit).max() < _STILL:
                break
    return T_world_cam


def _look(view: View, blur: float, config: PhotometricConfig) -> _Look:
    # Late: the configs above are read where nothing else of this is needed.
    import cv2

    grey = cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    shade = _smooth(grey, blur) - _smooth(grey, _LEVEL * blur)
    depth = _smooth_depth(view, config.jump)
    layers = [shade, *np.gradient(shade)[::-1], depth, *np.gradient(depth)[::-1]]
    maps = np.stack(layers, axis=-1).astype(np.float32)
    maps[~np.isfinite(maps).all(axis=-1)] = np.nan
    s = max(1, round(blur * math.sqrt(grey.size / config.samples)))
    rows, columns = np.mgrid[s // 2 : view.camera.height : s, s // 2 : view.camera.width : s].reshape(2, -1)
    usable = np.isfinite(maps[rows, columns, 0])
    rows, columns = rows[usable], columns[usable]
    rays = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], axis=1) @ np.linalg.inv(view.camera.K).T
    return _Look(maps, rays * depth[rows, columns, None], shade[rows, columns].astype(float))


def _smooth(image: Float32[np.ndarray, "h w"], blur: float) -> Float32[np.ndarray, "h w"]:
    import cv2

    return cv2.GaussianBlur(image, (0, 0), blur)


def _smooth_depth(view: View, jump: float) -> Float[np.ndarray, "h w"]:
    """Depth without noise on surfaces, NaN near their edges and where there is no reading."""
    import cv2

    assert view.depth is not None
    usable = np.isfinite(view.depth) & (view.depth > 0)
    usable &= True if view.mask is None else view.mask
    raw = np.where(usable, view.depth, 0.0).astype(np.float32)
    weight = np.maximum(_smooth(usable.astype(np.float32), _DEPTH_BLUR), 1e-6)
    depth = _smooth(raw, _DEPTH_BLUR) / weight
    near = np.ones((7, 7), np.uint8)
    calm = cv2.medianBlur(raw, 5)  # single wild readings are no edge
    low, high = cv2.erode(calm, near), cv2.dilate(calm, near)
    # Three times the jump: across the window a table seen at a slant differs by more.
    flat = (low > 0) & (high - low < 3 * jump * depth) & (weight > 0.9)
    return np.where(flat, depth, np.nan)


def _round(
    views: Sequence[View],
    looks: Sequence[_Look],
    T_world_cam: Float[np.ndarray, "n 4 4"],
    pairs: Sequence[tuple[int, int]],
    prior: Prior,
    config: PhotometricConfig,
    noise: tuple[float, float],
) -> tuple[Float[np.ndarray, "n 6"], tuple[float, float]]:
    """One step of all cameras, and the noise that the residuals before it show."""
    n = len(views)
    matrix = np.zeros((n, 6, n, 6))
    matrix[range(n), :, range(n)] = np.diag(prior.unit**-2)
    slope = prior.offsets(T_world_cam) / prior.unit
    seen = []
    for i, j in pairs:
        overlap = _overlap(looks[i], looks[j], views[j], T_world_cam[i], T_world_cam[j], config.jump)
        if len(overlap.points) < config.enough:
            continue
        seen.append(overlap.misses)
        h, g = _normal(overlap, T_world_cam[j, :3, 3], noise)
        # The points hang on camera i: to turn it about its own centre instead of j's shifts them, too.
        about_i = np.eye(6)
        about_i[:3, 3:] = -cross_matrix(T_world_cam[i, :3, 3] - T_world_cam[j, :3, 3])
        matrix[i, :, i] += about_i @ h @ about_i.T
        matrix[j, :, j] += h
        matrix[i, :, j] -= about_i @ h
        matrix[j, :, i] -= h @ about_i.T
        slope[i] += about_i @ g
        slope[j] -= g
    step = -np.linalg.solve(matrix.reshape(6 * n, 6 * n), slope.ravel()).reshape(n, 6)
    if seen:
        shade, depth = (robust_std(np.concatenate(misses)) for misses in zip(*seen, strict=True))
        noise = max(_NOISE[0], shade), max(_NOISE[1], depth)
    return step, noise


def _normal(
    overlap: _Overlap, center: Float[np.ndarray, " 3"], noise: tuple[float, float]
) -> tuple[Float[np.ndarray, "6 6"], Float[np.ndarray, " 6"]]:
    """Normal equations of moving the points: turned about a centre, shifted."""
    h, g = np.zeros((6, 6)), np.zeros(6)
    for miss, slope, sigma in zip(overlap.misses, overlap.slopes, noise, strict=True):
        J = np.hstack([np.cross(overlap.points - center, slope), slope])
        weighted = J * (cauchy_weights((miss / sigma) ** 2) / sigma**2)[:, None]
        h += weighted.T @ J
        g += weighted.T @ miss
    return h, g


def _overlap(
    look_i: _Look,
    look_j: _Look,
    view_j: View,
    T_world_i: Float[np.ndarray, "4 4"],
    T_world_j: Float[np.ndarray, "4 4"],
    jump: float,
) -> _Overlap:
    """View i's points in view j, where both show the same surface."""
    points = transform_points(T_world_i, look_i.points)
    p = transform_points(invert(T_world_j), points)
    c, z = view_j.camera, np.maximum(p[:, 2], 1e-3)
    x, y = c.fx * p[:, 0] / z + c.cx, c.fy * p[:, 1] / z + c.cy
    found = _sampled(look_j.maps, x - 0.5, y - 0.5)
    same = np.abs(found[:, 3] - p[:, 2]) < jump * z  # False for NaN
    points, p, z, found = points[same], p[same], z[same], found[same].astype(float)
    zero = np.zeros_like(z)
    dx = np.stack([c.fx / z, zero, -c.fx * p[:, 0] / z**2], axis=1)
    dy = np.stack([zero, c.fy / z, -c.fy * p[:, 1] / z**2], axis=1)
    of_shade = found[:, 1:2] * dx + found[:, 2:3] * dy
    of_depth = found[:, 4:5] * dx + found[:, 5:6] * dy - [0.0, 0.0, 1.0]
    R = T_world_j[:3, :3].T
    misses = found[:, 0] - look_i.shades[same], found[:, 3] - p[:, 2]
    return _Overlap(points, misses, (of_shade @ R, of_depth @ R))


def _sampled(
    maps: Float32[np.ndarray, "h w c"], x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]
) -> Float32[np.ndarray, "n c"]:
    """Bilinear, with the centre of the first pixel at zero; NaN outside."""
    height, width, layers = maps.shape
    inside = (x >= 0) & (y >= 0) & (x < width - 1) & (y < height - 1)
    x, y = x[inside], y[inside]
    column, row = x.astype(int), y.astype(int)
    a, b = (part[:, None].astype(np.float32) for part in (x - column, y - row))
    flat, at = maps.reshape(-1, layers), row * width + column
    top = flat[at] * (1 - a) + flat[at + 1] * a
    bottom = flat[at + width] * (1 - a) + flat[at + width + 1] * a
    found = np.full((len(inside), layers), np.nan, dtype=np.float32)
    found[inside] = top * (1 - b) + bottom * b
    return found
