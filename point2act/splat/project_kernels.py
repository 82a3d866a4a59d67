"""Gaussians in the world to Gaussians on the image plane, and back for gradients. numba.

Arithmetic is in double precision: it costs nothing here (30 000 Gaussians are half a millisecond) and
only the results are rounded to float32. The mathematics is derived in :mod:`point2act.splat.render`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from point2act.splat.compile_kernels import compiled, compiled_parallel

NEAR = 0.01
"""Metres. Gaussians nearer than this are not drawn (gsplat's default near plane)."""
BLUR = 0.3
"""Pixels squared, added to the 2D covariance as a low-pass filter (Kerbl et al. 2023)."""
MARGIN = 0.15
"""The Jacobian is taken at most this share of the image outside of it (gsplat's 0.3 of half the view)."""
ALPHA_MIN = 1.0 / 255.0
"""Fainter contributions are skipped (Kerbl et al. 2023)."""
BLOCK = 256
"""Gaussians summed in a row for the camera's gradient; fixed, lest sums depend on the threads."""


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
def _load(rows, i):
    return np.float64(rows[i, 0]), np.float64(rows[i, 1]), np.float64(rows[i, 2])


@compiled
def _to_camera(T, m):
    return _dot(T[0], m) + T[0, 3], _dot(T[1], m) + T[1, 3], _dot(T[2], m) + T[2, 3]


@compiled
def _axes(quats, i):
    """The quaternion divided by its length, one over that length, and the three columns of the rotation."""
    w, x, y, z = (
        np.float64(quats[i, 0]),
        np.float64(quats[i, 1]),
        np.float64(quats[i, 2]),
        np.float64(quats[i, 3]),
    )
    n = 1.0 / math.sqrt(max(w * w + x * x + y * y + z * z, 1e-24))
    w, x, y, z = w * n, x * n, y * n, z * n
    first = (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y))
    second = (2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x))
    third = (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))
    return (w, x, y, z), n, (first, second, third)


@compiled
def _slopes(p, lens):
    """x/z and y/z, each held within the widened field of view."""
    fx, fy, cx, cy, width, height = lens
    x = min(max(p[0] / p[2], -(cx + MARGIN * width) / fx), (width - cx + MARGIN * width) / fx)
    y = min(max(p[1] / p[2], -(cy + MARGIN * height) / fy), (height - cy + MARGIN * height) / fy)
    return x, y


@compiled
def _image_rows(p, T, lens):
    """How the pixel's x and y change with the world point: the rows of J R, at the clamped slopes."""
    x, y = _slopes(p, lens)
    along_x = lens[0] / p[2]
    along_y = lens[1] / p[2]
    return _combine(along_x, T[0], -along_x * x, T[2]), _combine(along_y, T[1], -along_y * y, T[2])


@compiled
def _footprint(axes, scale, row_x, row_y):
    """The ellipse's principal half-axes in the image, as their x and their y components."""
    u = (scale[0] * _dot(row_x, axes[0]), scale[1] * _dot(row_x, axes[1]), scale[2] * _dot(row_x, axes[2]))
    v = (scale[0] * _dot(row_y, axes[0]), scale[1] * _dot(row_y, axes[1]), scale[2] * _dot(row_y, axes[2]))
    return u, v


@compiled
def _covariance(u, v):
    """Blurred 2D covariance xx, xy, yy and its determinant, the latter without cancellation."""
    uu, vv = _dot(u, u), _dot(v, v)
    n = _cross(u, v)
    return uu + BLUR, _dot(u, v), vv + BLUR, _dot(n, n) + BLUR * (uu + vv) + BLUR * BLUR


@compiled
def _project(i, means, quats, scales, opacities, T, lens, means2d, shapes, depths, radii, reach):
    p = _to_camera(T, _load(means, i))
    depths[i] = p[2]
    if not p[2] > NEAR:
        return
    _, _, axes = _axes(quats, i)
    row_x, row_y = _image_rows(p, T, lens)
    u, v = _footprint(axes, _load(scales, i), row_x, row_y)
    xx, xy, yy, det = _covariance(u, v)
    fx, fy, cx, cy, width, height = lens
    center_x, center_y = fx * p[0] / p[2] + cx, fy * p[1] / p[2] + cy
    if not abs(center_x) + abs(center_y) + det < 1e30:
        return
    means2d[i, 0], means2d[i, 1] = center_x, center_y
    shapes[i, 0], shapes[i, 1], shapes[i, 2] = yy / det, xy / yy, 1.0 / yy
    limit = math.log(max(opacities[i] / ALPHA_MIN, 1e-30))
    if not limit > 0.0:
        return
    half_width, half_height = math.sqrt(2 * limit * xx), math.sqrt(2 * limit * yy)
    beside = abs(2 * center_x - width) >= width + 2 * half_width
    above = abs(2 * center_y - height) >= height + 2 * half_height
    if not beside and not above:
        reach[i, 0], reach[i, 1], reach[i, 2] = limit, half_height, half_width * xy / xx
        mid = 0.5 * (xx + yy)
        largest = mid + math.sqrt(max(mid * mid - det, 0.01))
        radii[i] = min(math.ceil(3.0 * math.sqrt(largest)), 2**30)


@compiled_parallel
def project_forward(means, quats, scales, opacities, T, lens, means2d, shapes, depths, radii, reach):
    """Fill the last five arrays, zero on entry.

    ``shapes`` and ``reach`` are as :mod:`point2act.splat.tile_kernels` wants them; depths are filled
    for all, the rest stays zero for Gaussians behind the camera.
    """
    for i in prange(len(means)):
        _project(i, means, quats, scales, opacities, T, lens, means2d, shapes, depths, radii, reach)


@compiled
def _covariance_gradient(shape, v_shape):
    """From the gradient for a shape to that for the covariance (xx, xy, yy)."""
    a, s, e = np.float64(shape[0]), np.float64(shape[1]), np.float64(shape[2])
    v_xx = -a * a * v_shape[0]
    v_xy = -2 * s * v_xx + e * v_shape[1]
    v_yy = s * s * v_xx - e * s * v_shape[1] - e * e * v_shape[2]
    return v_xx, v_xy, v_yy


@compiled
def _point_gradient(p, lens, v_center, v_depth, v_along_x, v_along_y):
    """Gradient for the point in the camera, through its pixel, its depth and the Jacobian.

    ``v_along_x`` and ``v_along_y`` are the gradients for the Jacobian's rows.
    """
    fx, fy = lens[0], lens[1]
    x, y = _slopes(p, lens)
    inv_z = 1.0 / p[2]
    v_x = fx * inv_z * v_center[0]
    v_y = fy * inv_z * v_center[1]
    v_z = v_depth - (v_x * p[0] + v_y * p[1]) * inv_z
    to_x, to_y = fx * inv_z * inv_z, fy * inv_z * inv_z
    v_z += to_x * (x * v_along_x[2] - v_along_x[0]) + to_y * (y * v_along_y[2] - v_along_y[1])
    if x == p[0] / p[2]:
        v_x -= to_x * v_along_x[2]
        v_z += to_x * x * v_along_x[2]
    if y == p[1] / p[2]:
        v_y -= to_y * v_along_y[2]
        v_z += to_y * y * v_along_y[2]
    return v_x, v_y, v_z


@compiled
def _quaternion_gradient(q, n, axes, v_axes):
    """From the gradients for the rotation's columns to that for the quaternion, of length 1 / n."""
    a, b, c = _cross(axes[0], v_axes[0]), _cross(axes[1], v_axes[1]), _cross(axes[2], v_axes[2])
    torque = (a[0] + b[0] + c[0], a[1] + b[1] + c[1], a[2] + b[2] + c[2])
    w, vector = q[0], (q[1], q[2], q[3])
    turn = _cross(torque, vector)
    return (
        -2 * n * _dot(torque, vector),
        2 * n * (w * torque[0] + turn[0]),
        2 * n * (w * torque[1] + turn[1]),
        2 * n * (w * torque[2] + turn[2]),
    )


@compiled
def _unproject(
    i,
    means,
    quats,
    scales,
    T,
    lens,
    shapes,
    v_means2d,
    v_shapes,
    v_depths,
    v_means,
    v_quats,
    v_scales,
    v_pose,
):
    m = _load(means, i)
    p = _to_camera(T, m)
    q, n, axes = _axes(quats, i)
    scale = _load(scales, i)
    row_x, row_y = _image_rows(p, T, lens)
    u, v = _footprint(axes, scale, row_x, row_y)
    v_xx, v_xy, v_yy = _covariance_gradient(shapes[i], v_shapes[i])
    v_u = _combine(2 * v_xx, u, v_xy, v)
    v_v = _combine(v_xy, u, 2 * v_yy, v)

    v_row_x, v_row_y = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    for k in range(3):
        v_scales[i, k] = v_u[k] * _dot(row_x, axes[k]) + v_v[k] * _dot(row_y, axes[k])
        v_row_x = _combine(1.0, v_row_x, scale[k] * v_u[k], axes[k])
        v_row_y = _combine(1.0, v_row_y, scale[k] * v_v[k], axes[k])
    v_axes = (
        _combine(scale[0] * v_u[0], row_x, scale[0] * v_v[0], row_y),
        _combine(scale[1] * v_u[1], row_x, scale[1] * v_v[1], row_y),
        _combine(scale[2] * v_u[2], row_x, scale[2] * v_v[2], row_y),
    )
    v_q = _quaternion_gradient(q, n, axes, v_axes)
    for k in range(4):
        v_quats[i, k] = v_q[k]

    v_along_x = (_dot(v_row_x, T[0]), _dot(v_row_x, T[1]), _dot(v_row_x, T[2]))
    v_along_y = (_dot(v_row_y, T[0]), _dot(v_row_y, T[1]), _dot(v_row_y, T[2]))
    v_p = _point_gradient(p, lens, v_means2d[i], v_depths[i], v_along_x, v_along_y)
    x, y = _slopes(p, lens)
    along_x, along_y = lens[0] / p[2], lens[1] / p[2]
    for k in range(3):
        v_means[i, k] = T[0, k] * v_p[0] + T[1, k] * v_p[1] + T[2, k] * v_p[2]
        v_pose[0, k] += v_p[0] * m[k] + along_x * v_row_x[k]
        v_pose[1, k] += v_p[1] * m[k] + along_y * v_row_y[k]
        v_pose[2, k] += v_p[2] * m[k] - along_x * x * v_row_x[k] - along_y * y * v_row_y[k]
        v_pose[k, 3] += v_p[k]


@compiled_parallel
def project_backward(
    means,
    quats,
    scales,
    T,
    lens,
    shapes,
    radii,
    v_means2d,
    v_shapes,
    v_depths,
    v_means,
    v_quats,
    v_scales,
    v_poses,
):
    """Fill the last four arrays, zero on entry; ``v_poses`` holds one 3x4 sum for each block of Gaussians."""
    for block in prange(len(v_poses)):
        for i in range(block * BLOCK, min((block + 1) * BLOCK, len(means))):
            if radii[i] > 0:
                _unproject(
                    i,
                    means,
                    quats,
                    scales,
                    T,
                    lens,
                    shapes,
                    v_means2d,
                    v_shapes,
                    v_depths,
                    v_means,
                    v_quats,
                    v_scales,
                    v_poses[block],
                )
