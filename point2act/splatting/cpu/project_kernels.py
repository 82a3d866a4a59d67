"""Projection of Gaussians to the image plane (EWA splatting) and its gradients, in numba.

``splatting.render`` derives the mathematics with the same names. Arithmetic is in double precision, which is
free here; only results are rounded to float32.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from point2act.splatting.cpu.compile_kernels import compiled, compiled_parallel

NEAR = 0.01
"""Near plane: smaller z-depths are not drawn (gsplat's default)."""
BLUR = 0.3
"""Pixels squared, added to the 2D covariance as a low-pass filter (Kerbl et al. 2023)."""
MARGIN = 0.15
"""Fraction of the image beyond its borders to which the perspective is linearised (as gsplat)."""
ALPHA_MIN = 1 / 255
"""Smallest alpha that is drawn (Kerbl et al. 2023)."""
HUGE = 1e30
"""Bound of numbers; Gaussians beyond it, or NaN, are not drawn: float32 ends at 3e38."""
BLOCK = 256
"""Number of Gaussians per partial sum of the pose gradient; fixed, for reproducible bits."""


class Lens(NamedTuple):
    """Pinhole intrinsics, pixels."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: float
    height: float


class Gaussians(NamedTuple):
    """Gaussians in the world, float32; or their gradients."""

    means: np.ndarray
    quats: np.ndarray
    scales: np.ndarray


class ImageGaussians(NamedTuple):
    """Gaussians on the image plane, float32; or their gradients."""

    centers: np.ndarray
    shapes: np.ndarray
    depths: np.ndarray


# ── vectors as tuples of three ──────────────────────────────────────────────────────────────────
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
    """Return s a + t b."""
    return s * a[0] + t * b[0], s * a[1] + t * b[1], s * a[2] + t * b[2]


@compiled
def _mix(weights, vectors):
    """Return the weighted sum of three vectors."""
    return _combine(1.0, _combine(weights[0], vectors[0], weights[1], vectors[1]), weights[2], vectors[2])


# ── forward ──────────────────────────────────────────────────────────────────────────────────────
@compiled
def _to_camera(T, m):
    return _dot(T[0], m) + T[0, 3], _dot(T[1], m) + T[1, 3], _dot(T[2], m) + T[2, 3]


@compiled
def _axes(quats, i):
    """Return the unit quaternion (w, v), the inverse of its length before, and its rotation's columns."""
    w, (x, y, z) = np.float64(quats[i, 0]), _row(quats[:, 1:], i)
    n = 1 / math.sqrt(max(w * w + x * x + y * y + z * z, 1e-24))
    w, x, y, z = w * n, x * n, y * n, z * n
    first = (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y))
    second = (2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x))
    third = (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))
    return w, (x, y, z), n, (first, second, third)


@compiled
def _clamped_slope(slope, focal, center, side):
    """Clamp a slope to the widened field of view."""
    low, high = (-center - MARGIN * side) / focal, (side - center + MARGIN * side) / focal
    return min(max(slope, low), high)


@compiled
def _jacobian(p, T, lens):
    """Return the rows j_x, j_y of the Jacobian of the pixel, and the slopes X, Y where it is taken."""
    x = _clamped_slope(p[0] / p[2], lens.fx, lens.cx, lens.width)
    y = _clamped_slope(p[1] / p[2], lens.fy, lens.cy, lens.height)
    j_x = _combine(lens.fx / p[2], T[0], -lens.fx / p[2] * x, T[2])
    j_y = _combine(lens.fy / p[2], T[1], -lens.fy / p[2] * y, T[2])
    return j_x, j_y, x, y


@compiled
def _projected_axes(axes, scale, j):
    """Return one image coordinate of the three projected axes."""
    return scale[0] * _dot(j, axes[0]), scale[1] * _dot(j, axes[1]), scale[2] * _dot(j, axes[2])


@compiled
def _project(i, gaussians, opacities, T, lens, projected, radii, extent):
    p = _to_camera(T, _row(gaussians.means, i))
    projected.depths[i] = p[2]
    if not p[2] > NEAR:
        return
    _, _, _, axes = _axes(gaussians.quats, i)
    j_x, j_y, _, _ = _jacobian(p, T, lens)
    scale = _row(gaussians.scales, i)
    u, v = _projected_axes(axes, scale, j_x), _projected_axes(axes, scale, j_y)
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
        extent[i, 0], extent[i, 1], extent[i, 2] = limit, half_height, half_width * uv / xx
        middle = 0.5 * (xx + yy)
        longest = middle + math.sqrt(max(middle * middle - det, 0.01))
        radii[i] = min(math.ceil(3 * math.sqrt(longest)), 2**30)


@compiled_parallel
def project_forward(gaussians, opacities, T, lens, projected, radii, extent):
    """Fill ``projected``, ``radii`` and ``extent``, zero on entry.

    Radii and extents stay zero for Gaussians that are not drawn; depths are filled for all. Shapes and
    extents are defined in ``splatting.cpu.tile_kernels``.
    """
    for i in prange(len(radii)):
        _project(np.int64(i), gaussians, opacities, T, lens, projected, radii, extent)


# ── backward: v_x is the gradient of x ───────────────────────────────────────────────────────────
@compiled
def _covariance_gradient(shape, v_shape):
    """Return the gradient of the covariance (A, B, D) from that of the shape (a, s, e) = (D/det, B/D, 1/D).

    A' = -a^2 a'      B' = 2 a^2 s a' + e s'      D' = -a^2 s^2 a' - e s s' - e^2 e'
    """
    a, s, e = shape
    v_xx = -a * a * v_shape[0]
    v_xy = -2 * s * v_xx + e * v_shape[1]
    v_yy = s * s * v_xx - e * s * v_shape[1] - e * e * v_shape[2]
    return v_xx, v_xy, v_yy


@compiled
def _quaternion_gradient(w, v, n, axes, v_axes):
    """Return the gradient of a quaternion of length 1 / n from those of its rotation's columns r_k.

    With t = sum_k r_k x r_k': q' = 2 / |q|^2 (-t.v, w t + t x v).
    """
    turns = (_cross(axes[0], v_axes[0]), _cross(axes[1], v_axes[1]), _cross(axes[2], v_axes[2]))
    turn = _mix((1.0, 1.0, 1.0), turns)
    return -2 * n * _dot(turn, v), _combine(2 * n * w, turn, 2 * n, _cross(turn, v))


@compiled
def _point_gradient(p, T, lens, j_x, j_y, x, y, v_j_x, v_j_y, v_center, v_depth):
    """Return the gradient of the point in the camera, through its pixel, its depth and the Jacobian."""
    z = p[2]
    v_x, v_y = lens.fx * v_center[0], lens.fy * v_center[1]
    if abs(x * z - p[0]) <= 1e-9 * z:
        v_x -= lens.fx / z * _dot(T[2], v_j_x)
    if abs(y * z - p[1]) <= 1e-9 * z:
        v_y -= lens.fy / z * _dot(T[2], v_j_y)
    v_z = v_depth - (v_x * p[0] + v_y * p[1]) / (z * z) - (_dot(j_x, v_j_x) + _dot(j_y, v_j_y)) / z
    return v_x / z, v_y / z, v_z


# u' = 2 A' u + B' v      v' = B' u + 2 D' v      s_k' = u_k' (j_x.r_k) + v_k' (j_y.r_k)
# r_k' = s_k (u_k' j_x + v_k' j_y)      j_x' = sum_k s_k u_k' r_k      j_y' = sum_k s_k v_k' r_k
@compiled
def _project_gradients(i, gaussians, T, lens, shapes, v_projected, v_gaussians, v_pose):
    m, scale = _row(gaussians.means, i), _row(gaussians.scales, i)
    w, vector, n, axes = _axes(gaussians.quats, i)
    p = _to_camera(T, m)
    j_x, j_y, x, y = _jacobian(p, T, lens)
    u, v = _projected_axes(axes, scale, j_x), _projected_axes(axes, scale, j_y)

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
    """Fill ``v_gaussians`` and ``v_poses``, zero on entry: one 3x4 sum for each block of Gaussians."""
    for block in prange(len(v_poses)):
        for i in range(block * BLOCK, min((block + 1) * BLOCK, len(radii))):
            if radii[i] > 0:
                _project_gradients(
                    np.int64(i), gaussians, T, lens, shapes, v_projected, v_gaussians, v_poses[block]
                )
