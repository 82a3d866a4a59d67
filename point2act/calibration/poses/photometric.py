"""Photometric and geometric alignment of RGB-D views (direct method), to a fraction of a millimetre.

Features leave a small rotation with an opposite shift undetermined, most over plain or streaky tables; all
pixels with their depths do not. For a point X of view i, seen in view j at the pixel u = K p / z, p = R_j^T
(X - c_j), the residuals are I_j(u) - I_i and D_j(u) - z. Their gradients with respect to X are grad I_j .
du/dX and grad D_j . du/dX - dz/dX; Gauss-Newton steps of all poses minimise the sum of their Cauchy losses
over all pairs plus the pose prior (Steinbrücker et al. 2011, Kerl et al. 2013).
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
    """Comparison of images. Values were chosen on simulated tables."""

    blur_stds: tuple[float, ...] = (3.0, 1.0)
    """Standard deviations of the image smoothing, pixels, from coarse to fine."""
    samples: int = 3000
    """Number of evenly spaced pixels of each view at a smoothing of one pixel; fewer at coarser ones."""
    max_iterations: int = 8
    """Maximum number of iterations for each smoothing."""
    max_depth_step: float = 0.03
    """Largest relative difference of depths of one surface; beyond it there is an edge or an occlusion."""
    min_pixels: int = 50
    """Smallest number of common pixels of two views that are compared."""


_HIGH_PASS = 10.0
"""Smoothing of the subtracted background over the fine one, against changes of exposure. Chosen."""
_DEPTH_BLUR = 2.0
"""Smoothing of depth, pixels, so that its gradient is not that of noise. Chosen."""
_MIN_NOISE = 1.0, 0.0005
"""Smallest standard deviations of grey values (of 255) and depths (metres) between two views. Chosen."""
_INITIAL_NOISE = 10.0, 0.005
"""Standard deviations before the first iteration. Chosen."""
_CONVERGED = 0.02
"""Step over the prior's standard deviations below which the iterations end. Chosen."""


@dataclass(frozen=True, eq=False)
class _Image:
    """Smoothed image and depth of one view, with its sample points."""

    maps: Float32[np.ndarray, "h w 6"]
    """Intensity and its x and y gradients, depth and its x and y gradients; NaN where depth is not smooth."""
    points: Float[np.ndarray, "n 3"]
    """Sampled pixels in the camera frame, metres."""
    intensities: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class _Overlap:
    """Points of one view in another, with their residuals of intensity and depth."""

    points: Float[np.ndarray, "n 3"]
    """Points in the world."""
    residuals: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]
    """Residuals of intensity and depth."""
    gradients: tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]
    """Gradients of the residuals with respect to the points in the world."""


def refine_photometric(
    views: Sequence[View],
    T_world_cam: Float[np.ndarray, "n 4 4"],
    pairs: Sequence[tuple[int, int]],
    prior: Prior,
    config: PhotometricConfig,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Float[np.ndarray, "n 4 4"]:
    """Return refined poses with which the views of each pair agree in intensity and depth.

    Args:
        views: Undistorted views, all with depth.
        T_world_cam: Initial poses, near the solution.
        pairs: Indices of the views to compare.
        prior: Given poses with their standard deviations.
        config: Comparison of images.
        advance: Called after each iteration.
    """
    both_ways = [*pairs, *((j, i) for i, j in pairs)]
    for blur in config.blur_stds:
        images = [_image(view, blur, config) for view in views]
        noise = _INITIAL_NOISE
        for _ in range(config.max_iterations):
            step, noise = _iterate(views, images, T_world_cam, both_ways, prior, config, noise)
            T_world_cam = apply_steps(T_world_cam, step)
            advance()
            if np.abs(step / prior.unit).max() < _CONVERGED:
                break
    return T_world_cam


def _image(view: View, blur: float, config: PhotometricConfig) -> _Image:
    # Imported here, as the configs are needed without OpenCV.
    import cv2

    grey = cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    intensity = _smooth(grey, blur) - _smooth(grey, _HIGH_PASS * blur)
    depth = _smooth_depth(view, config.max_depth_step)
    layers = [intensity, *np.gradient(intensity)[::-1], depth, *np.gradient(depth)[::-1]]
    maps = np.stack(layers, axis=-1).astype(np.float32)
    maps[~np.isfinite(maps).all(axis=-1)] = np.nan
    s = max(1, round(blur * math.sqrt(grey.size / config.samples)))
    rows, columns = np.mgrid[s // 2 : view.camera.height : s, s // 2 : view.camera.width : s].reshape(2, -1)
    usable = np.isfinite(maps[rows, columns, 0])
    rows, columns = rows[usable], columns[usable]
    rays = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], axis=1) @ np.linalg.inv(view.camera.K).T
    return _Image(maps, rays * depth[rows, columns, None], intensity[rows, columns].astype(float))


def _smooth(image: Float32[np.ndarray, "h w"], blur: float) -> Float32[np.ndarray, "h w"]:
    import cv2

    return cv2.GaussianBlur(image, (0, 0), blur)


def _smooth_depth(view: View, max_step: float) -> Float[np.ndarray, "h w"]:
    """Return smoothed depth, NaN near edges and where a reading is missing."""
    import cv2

    assert view.depth is not None
    usable = np.isfinite(view.depth) & (view.depth > 0)
    usable &= True if view.mask is None else view.mask
    raw = np.where(usable, view.depth, 0.0).astype(np.float32)
    weight = np.maximum(_smooth(usable.astype(np.float32), _DEPTH_BLUR), 1e-6)
    depth = _smooth(raw, _DEPTH_BLUR) / weight
    near = np.ones((7, 7), np.uint8)
    median = cv2.medianBlur(raw, 5)  # so that single outliers are no edge
    low, high = cv2.erode(median, near), cv2.dilate(median, near)
    # Three times the step, as a slanted table differs by more across the window.
    flat = (low > 0) & (high - low < 3 * max_step * depth) & (weight > 0.9)
    return np.where(flat, depth, np.nan)


def _iterate(
    views: Sequence[View],
    images: Sequence[_Image],
    T_world_cam: Float[np.ndarray, "n 4 4"],
    pairs: Sequence[tuple[int, int]],
    prior: Prior,
    config: PhotometricConfig,
    noise: tuple[float, float],
) -> tuple[Float[np.ndarray, "n 6"], tuple[float, float]]:
    """Return a Gauss-Newton step of all poses, and the noise estimated from the residuals before it."""
    n = len(views)
    matrix = np.zeros((n, 6, n, 6))
    matrix[range(n), :, range(n)] = np.diag(prior.unit**-2)
    gradient = prior.offsets(T_world_cam) / prior.unit
    residuals = []
    for i, j in pairs:
        poses = T_world_cam[i], T_world_cam[j]
        overlap = _overlap(images[i], images[j], views[j], *poses, config.max_depth_step)
        if len(overlap.points) < config.min_pixels:
            continue
        residuals.append(overlap.residuals)
        h, g = _normal_equations(overlap, T_world_cam[j, :3, 3], noise)
        # The points move with camera i: its rotation about its own centre, in place of j's, also shifts them.
        about_i = np.eye(6)
        about_i[:3, 3:] = -cross_matrix(T_world_cam[i, :3, 3] - T_world_cam[j, :3, 3])
        matrix[i, :, i] += about_i @ h @ about_i.T
        matrix[j, :, j] += h
        matrix[i, :, j] -= about_i @ h
        matrix[j, :, i] -= h @ about_i.T
        gradient[i] += about_i @ g
        gradient[j] -= g
    step = -np.linalg.solve(matrix.reshape(6 * n, 6 * n), gradient.ravel()).reshape(n, 6)
    if residuals:
        intensity, depth = (robust_std(np.concatenate(each)) for each in zip(*residuals, strict=True))
        noise = max(_MIN_NOISE[0], intensity), max(_MIN_NOISE[1], depth)
    return step, noise


def _normal_equations(
    overlap: _Overlap, center: Float[np.ndarray, " 3"], noise: tuple[float, float]
) -> tuple[Float[np.ndarray, "6 6"], Float[np.ndarray, " 6"]]:
    """Return J^T W J and J^T W r of a motion of the points: a rotation about a centre, and a shift."""
    h, g = np.zeros((6, 6)), np.zeros(6)
    for r, gradient, sigma in zip(overlap.residuals, overlap.gradients, noise, strict=True):
        J = np.hstack([np.cross(overlap.points - center, gradient), gradient])
        weighted = J * (cauchy_weights((r / sigma) ** 2) / sigma**2)[:, None]
        h += weighted.T @ J
        g += weighted.T @ r
    return h, g


def _overlap(
    image_i: _Image,
    image_j: _Image,
    view_j: View,
    T_world_i: Float[np.ndarray, "4 4"],
    T_world_j: Float[np.ndarray, "4 4"],
    max_step: float,
) -> _Overlap:
    """Project view i's points into view j, and keep those where both show the same surface."""
    points = transform_points(T_world_i, image_i.points)
    p = transform_points(invert(T_world_j), points)
    c, z = view_j.camera, np.maximum(p[:, 2], 1e-3)
    x, y = c.fx * p[:, 0] / z + c.cx, c.fy * p[:, 1] / z + c.cy
    found = _sampled(image_j.maps, x - 0.5, y - 0.5)
    same = np.abs(found[:, 3] - p[:, 2]) < max_step * z  # False for NaN
    points, p, z, found = points[same], p[same], z[same], found[same].astype(float)
    zero = np.zeros_like(z)
    dx = np.stack([c.fx / z, zero, -c.fx * p[:, 0] / z**2], axis=1)
    dy = np.stack([zero, c.fy / z, -c.fy * p[:, 1] / z**2], axis=1)
    d_intensity = found[:, 1:2] * dx + found[:, 2:3] * dy
    d_depth = found[:, 4:5] * dx + found[:, 5:6] * dy - [0.0, 0.0, 1.0]
    R = T_world_j[:3, :3].T
    residuals = found[:, 0] - image_i.intensities[same], found[:, 3] - p[:, 2]
    return _Overlap(points, residuals, (d_intensity @ R, d_depth @ R))


def _sampled(
    maps: Float32[np.ndarray, "h w c"], x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]
) -> Float32[np.ndarray, "n c"]:
    """Sample maps bilinearly, with the centre of the first pixel at zero; NaN outside."""
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
