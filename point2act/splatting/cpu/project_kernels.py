"""Gaussians in the world to Gaussians on the image plane, and back for gradients. numba.

The mathematics is derived, with these names, in ``splatting.render``. Arithmetic is in double
precision, which costs nothing here; only results are rounded to float32.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from point2act.splatting.cpu.compile_kernels import compiled, compiled_parallel

NEAR = 0.01
"""Metres. Gaussians nearer than this are not drawn (gsplat's default near plane)."""
BLUR = 0.3
"""Pixels squared, added to the 2D covariance as a low-pass filter (Kerbl et al. 2023)."""
MARGIN = 0.15
"""The perspective's derivative is taken at most this share of the image outside of it (as gsplat)."""
ALPHA_MIN = 1 / 255
"""Fainter contributions are not drawn (Kerbl et al. 2023)."""
HUGE = 1e30
"""Whatever is larger, or not a number, is not drawn: float32 ends at 3e38."""
BLOCK = 256
"""Gaussians summed in a row for the camera's gradient; fixed, lest sums depend on the threads."""


class Lens(NamedTuple):
    """A pinhole camera, in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: float
    height: float


class Gaussians(NamedTuple):
    """Gaussians in the world, float32; or the gradients for them."""

    means: np.ndarray
    quats: np.ndarray
    scales: np.ndarray


class ImageGaussians(NamedTuple):
    """Gaussians on the image plane, float32; or the gradients for them."""

    centers: np.ndarray
    shapes: np.ndarray
    depths: np.ndarray


# ── vectors are tuples of three ──────────────────────────────────────────────────────────────────
@compiled
def _row(array, i):
    return np.float64(array[i, 0]), np.float64(array[i, 1]), np.float64(array[i, 2])


@compiled
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compiled
def _cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@compiled
def _combine(s, a, t, b):
    """The vector s a + t b."""
    return s * a[0] + t * b[0], s * a[1] + t * b[1], s * a[2] + t * b[2]


@compiled
def _mix(weights, vectors):
    """The sum of three vectors, weighted."""
    return _combine(1.0, _combine(weights[0], vectors[0], weights[1], vectors[1]), weights[2], vectors[2])


# ── forward ──────────────────────────────────────────────────────────────────────────────────────
@compiled
def _to_camera(T, m):
    return _dot(T[0], m) + T[0, 3], _dot(T[1], m) + T[1, 3], _dot(T[2], m) + T[2, 3]


@compiled
def _axes(quats, i):
    """The quaternion (w, v) made unit, one over its length before, and the columns of its rotation."""
    w, (x, y, z) = np.float64(quats[i, 0]), _row(quats[:, 1:], i)
    n = 1 / math.sqrt(max(w * w + x * x + y * y + z * z, 1e-24))
    w, x, y, z = w * n, x * n, y * n, z * n
    first = (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y))
    second = (2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x))
    third = (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))
    return w, (x, y, z), n, (first, second, third)


@compiled
def _held_slope(slope, focal, center, side):
    """A slope held within the widened field of view."""
    low, high = (-center - MARGIN * side) / focal, (side - center + MARGIN * side) / focal
    return min(max(slope, low), high)


@compiled
def _image_rows(p, T, lens):
    """How the pixel changes with the world point, j_x and j_y, and the slopes X and Y at which."""
    x = _held_slope(p[0] / p[2], lens.fx, lens.cx, lens.width)
    y = _held_slope(p[1] / p[2], lens.fy, lens.cy, lens.height)
    j_x = _combine(lens.fx / p[2], T[0], -lens.fx / p[2] * x, T[2])
    j_y = _combine(lens.fy / p[2], T[1], -lens.fy / p[2] * y, T[2])
    return j_x, j_y, x, y


@compiled
def _seen_axes(axes, scale, j):
    """One image coordinate of the Gaussian's three half-axes."""
    return scale[0] * _dot(j, axes[0]), scale[1] * _dot(j, axes[1]), scale[2] * _dot(j, axes[2])


@compiled
def _project(i, gaussians, opacities, T, lens, projected, radii, reach):
    p = _to_camera(T, _row(gaussians.means, i))
    projected.depths[i] = p[2]
    if not p[2] > NEAR:
        return
    _, _, _, axes = _axes(gaussians.quats, i)
    j_x, j_y, _, _ = _image_rows(p, T, lens)
    scale = _row(gaussians.scales, i)
    u, v = _seen_axes(axes, scale, j_x), _seen_axes(axes, scale, j_y)
    uu, uv, vv, n = _dot(u, u), _dot(u, v), _dot(v, v), _cross(u, v)
    xx, yy, det = uu + BLUR, vv + BLUR, _dot(n, n) + BLUR * (uu + vv + BLUR)
    x, y = lens.fx * p[0] / p[2] + lens.cx, lens.fy * p[1] / p[2] + lens.cy
    if not abs(x) + abs(y) + det < HUGE:
        return
    projected.centers[i, 0], projected.centers[i, 1] = x, y
    projected.shapes[i, 0] = yy / det
    projected.shapes[i, 1] = uv / yy
    projected.shapes[i, 2] = 1 / yy

    limit = math.log(max(opacities[i] / ALPHA_MIN, 1 / HUGE))
    if not limit > 0:
        return
    half_width, half_height = math.sqrt(2 * limit * xx), math.sqrt(2 * limit * yy)
    if max(-x, x - lens.width) < half_width and max(-y, y - lens.height) < half_height:
        reach[i, 0], reach[i, 1], reach[i, 2] = limit, half_height, half_width * uv / xx
        middle = 0.5 * (xx + yy)
        longest = middle + math.sqrt(max(middle * middle - det, 0.01))
        radii[i] = min(math.ceil(3 * math.sqrt(longest)), 2**30)


@compiled_parallel
def project_forward(gaussians, opacities, T, lens, projected, radii, reach):
    """Fill the last three, zero on entry; the latter two stay zero for Gaussians that are not drawn.

    Shapes and reach are explained in ``splatting.cpu.tile_kernels``. Depths are filled for all.
    """
    for i in prange(len(radii)):
        _project(np.int64(i), gaussians, opacities, T, lens, projected, radii, reach)


# ── backward: v_x is the gradient for x ──────────────────────────────────────────────────────────
@compiled
def _covariance_gradient(shape, v_shape):
    """From the gradient for a shape to that for the covariance xx, xy, yy."""
    a, s, e = shape
    v_xx = -a * a * v_shape[0]
    v_xy = -2 * s * v_xx + e * v_shape[1]
    v_yy = s * s * v_xx - e * s * v_shape[1] - e * e * v_shape[2]
    return v_xx, v_xy, v_yy


@compiled
def _quaternion_gradient(w, v, n, axes, v_axes):
    """From the gradients for the rotation's columns to that for the quaternion, of length 1 / n."""
    turns = (_cross(axes[0], v_axes[0]), _cross(axes[1], v_axes[1]), _cross(axes[2], v_axes[2]))
    turn = _mix((1.0, 1.0, 1.0), turns)
    return -2 * n * _dot(turn, v), _combine(2 * n * w, turn, 2 * n, _cross(turn, v))


@compiled
def _point_gradient(p, T, lens, j_x, j_y, x, y, v_j_x, v_j_y, v_center, v_depth):
    """For the point in the camera, through its pixel, its depth and the derivative of the perspective."""
    z = p[2]
    v_x, v_y = lens.fx * v_center[0], lens.fy * v_center[1]
    if abs(x * z - p[0]) <= 1e-9 * z:
        v_x -= lens.fx / z * _dot(T[2], v_j_x)
    if abs(y * z - p[1]) <= 1e-9 * z:
        v_y -= lens.fy / z * _dot(T[2], v_j_y)
    v_z = v_depth - (v_x * p[0] + v_y * p[1]) / (z * z) - (_dot(j_x, v_j_x) + _dot(j_y, v_j_y)) / z
    return v_x / z, v_y / z, v_z


@compiled
def _unproject(i, gaussians, T, lens, shapes, v_projected, v_gaussians, v_pose):
    m, scale = _row(gaussians.means, i), _row(gaussians.scales, i)
    w, vector, n, axes = _axes(gaussians.quats, i)
    p = _to_camera(T, m)
    j_x, j_y, x, y = _image_rows(p, T, lens)
    u, v = _seen_axes(axes, scale, j_x), _seen_axes(axes, scale, j_y)

    v_xx, v_xy, v_yy = _covariance_gradient(_row(shapes, i), _row(v_projected.shapes, i))
    v_u, v_v = _combine(2 * v_xx, u, v_xy, v), _combine(v_xy, u, 2 * v_yy, v)
    for k in range(3):
        v_gaussians.scales[i, k] = v_u[k] * _dot(j_x, axes[k]) + v_v[k] * _dot(j_y, axes[k])
    su = (scale[0] * v_u[0], scale[1] * v_u[1], scale[2] * v_u[2])
    sv = (scale[0] * v_v[0], scale[1] * v_v[1], scale[2] * v_v[2])
    v_axes = (
        _combine(su[0], j_x, sv[0], j_y),
        _combine(su[1], j_x, sv[1], j_y),
        _combine(su[2], j_x, sv[2], j_y),
    )
    v_w, v_vector = _quaternion_gradient(w, vector, n, axes, v_axes)
    v_gaussians.quats[i, 0] = v_w
    v_j_x, v_j_y = _mix(su, axes), _mix(sv, axes)
    v_center, v_depth = v_projected.centers[i], v_projected.depths[i]
    v_p = _point_gradient(p, T, lens, j_x, j_y, x, y, v_j_x, v_j_y, v_center, v_depth)
    along_x, along_y = lens.fx / p[2], lens.fy / p[2]
    for k in range(3):
        v_gaussians.quats[i, 1 + k] = v_vector[k]
        v_gaussians.means[i, k] = T[0, k] * v_p[0] + T[1, k] * v_p[1] + T[2, k] * v_p[2]
        v_pose[0, k] += v_p[0] * m[k] + along_x * v_j_x[k]
        v_pose[1, k] += v_p[1] * m[k] + along_y * v_j_y[k]
        v_pose[2, k] += v_p[2] * m[k] - along_x * x * v_j_x[k] - along_y * y * v_j_y[k]
        v_pose[k, 3] += v_p[k]


@compiled_parallel
def project_backward(gaussians, T, lens, shapes, radii, v_projected, v_gaussians, v_poses):
    """Fill the last two, zero on entry; ``v_poses`` gets one 3x4 sum for each block of Gaussians."""
    for block in prange(len(v_poses)):
        for i in range(block * BLOCK, min((block + 1) * BLOCK, len(radii))):
            if radii[i] > 0:
                _unproject(np.int64(i), gaussians, T, lens, shapes, v_projected, v_gaussians, v_poses[block])
