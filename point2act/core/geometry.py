"""Rigid transforms, the pinhole camera and other geometry, with numpy only.

Files use OpenGL's camera axes (+y up, viewing along -z), the code uses OpenCV's (+y down, +z forward); only
this module converts between the two.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Shaped

from point2act.core.types import Camera, OrientedBox

_FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])


def opengl_to_opencv(T_world_glcam: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """Convert a camera-to-world matrix from OpenGL's camera axes to OpenCV's, or back."""
    return T_world_glcam @ _FLIP_YZ


def transform_points(
    T_a_b: Float[np.ndarray, "4 4"], points_b: Float[np.ndarray, "*n 3"]
) -> Float[np.ndarray, "*n 3"]:
    """Map points from frame b to frame a."""
    return points_b @ T_a_b[:3, :3].T + T_a_b[:3, 3]


def transform(
    rotation: Float[np.ndarray, "3 3"], translation: Float[np.ndarray, " 3"] | tuple[float, float, float]
) -> Float[np.ndarray, "4 4"]:
    """Return ``T_a_b`` from the axes of b as columns and the origin of b, both in frame a."""
    T_a_b = np.eye(4)
    T_a_b[:3, :3], T_a_b[:3, 3] = rotation, translation
    return T_a_b


def invert(T_a_b: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """Invert a rigid transform: ``[R t]⁻¹ = [Rᵀ -Rᵀt]``, exactly rigid."""
    R_b_a = T_a_b[:3, :3].T
    return transform(R_b_a, -R_b_a @ T_a_b[:3, 3])


def nearest_rotation(matrix: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Return the rotation closest to a matrix in the Frobenius norm (orthogonal Procrustes, by SVD)."""
    u, _, vt = np.linalg.svd(matrix)
    sign = np.sign(np.linalg.det(u @ vt))
    return u @ np.diag([1.0, 1.0, sign]) @ vt


def project(
    camera: Camera, T_world_cam: Float[np.ndarray, "4 4"], points: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Project world points to pixels: ``x = fx X/Z + cx``, ``y = fy Y/Z + cy`` in the camera frame.

    Args:
        camera: Intrinsics of the pinhole camera.
        T_world_cam: Pose of the camera (OpenCV axes), camera to world.
        points: World points, metres.

    Returns:
        Pixels ``(x, y)`` and z-depths in metres. Points at or behind the camera plane have a depth <= 0 and
        meaningless but finite pixels.
    """
    cam = transform_points(invert(T_world_cam), points)
    z = np.where(np.abs(cam[:, 2]) < 1e-9, 1e-9, cam[:, 2])
    x = camera.fx * cam[:, 0] / z + camera.cx
    y = camera.fy * cam[:, 1] / z + camera.cy
    return np.stack([x, y], axis=1), cam[:, 2]


def back_project(
    camera: Camera,
    T_world_cam: Float[np.ndarray, "4 4"],
    pixels: Float[np.ndarray, "n 2"],
    depth: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n 3"]:
    """Return the world points of pixels with known z-depth; the inverse of ``project``."""
    x = (pixels[:, 0] - camera.cx) / camera.fx * depth
    y = (pixels[:, 1] - camera.cy) / camera.fy * depth
    return transform_points(T_world_cam, np.stack([x, y, depth], axis=1))


def to_tangents(camera: Camera, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Return the tangents ``(X/Z, Y/Z)`` of the rays through pixels (normalised image coordinates)."""
    return (pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy]


def from_tangents(camera: Camera, tangents: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Return the pixels of tangents ``(X/Z, Y/Z)``; the inverse of ``to_tangents``."""
    return tangents * [camera.fx, camera.fy] + [camera.cx, camera.cy]


def pixel_centers(height: int, width: int) -> Float[np.ndarray, "h w 2"]:
    """Return the continuous coordinates ``(x, y)`` of every pixel centre."""
    return np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)


def inside(camera: Camera, pixels: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    """Return which pixels lie inside the image."""
    x, y = pixels[:, 0], pixels[:, 1]
    return (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)


def at_pixels(
    image: Shaped[np.ndarray, "h w *c"], pixels: Float[np.ndarray, "n 2"]
) -> Shaped[np.ndarray, "n *c"]:
    """Sample an image at positions ``(x, y)`` without interpolation, clamped to the border."""
    height, width = image.shape[:2]
    column, row = pixels.astype(int).T
    return image[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]


def fundamental_matrix(
    T_b_a: Float[np.ndarray, "4 4"], K_a: Float[np.ndarray, "3 3"], K_b: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "3 3"]:
    """Return the fundamental matrix ``F_b_a = K_b⁻ᵀ [t]ₓ R K_a⁻¹``, ``bᵀ F a = 0`` for pixels of one point.

    With identity intrinsics it is the essential matrix, for tangents; it is zero for cameras at one place
    (Hartley and Zisserman 2004, chapter 9).
    """
    return np.linalg.inv(K_b).T @ cross_matrix(T_b_a[:3, 3]) @ T_b_a[:3, :3] @ np.linalg.inv(K_a)


def cross_matrix(v: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """Return the matrix ``[v]ₓ`` with ``[v]ₓ w = v x w``."""
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])


def line_intersection_equations(
    origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    """Return the normal equations ``A x = b`` of the point x nearest to lines in least squares.

    With ``P_i = I - d_i d_iᵀ`` for a line through ``o_i`` along the unit vector ``d_i``: ``A = mean P_i`` and
    ``b = mean P_i o_i``. The smallest eigenvalue of A is the mean squared sine of the angles between lines
    and the direction nearest to all of them, 0 for parallel lines, which have no nearest point.
    """
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    return across.mean(axis=0), (across @ origins[:, :, None]).mean(axis=0)[:, 0]


def quaternion_to_matrix(quats: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 3 3"]:
    """Convert ``wxyz`` quaternions of any non-zero length to rotation matrices."""
    w, x, y, z = (quats / np.linalg.norm(quats, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def frame_from_normal(normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Return right-handed orthonormal frames whose third column is the given unit normal."""
    helper = np.where(np.abs(normals[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    x = np.cross(helper, normals)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.cross(normals, x)
    return np.stack([x, y, normals], axis=-1)


def frame_from_axes(
    origin: Float[np.ndarray, " 3"], z: Float[np.ndarray, " 3"], x: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "4 4"]:
    """Return the frame ``T_a_frame`` with an origin, a unit z and an x projected to be orthogonal to z.

    ``x`` has any length and must not be parallel to z.
    """
    x = x - (x @ z) * z
    x = x / np.linalg.norm(x)
    return transform(np.stack([x, np.cross(z, x), z], axis=1), origin)


def upright_axes(up: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """Return forward, left and up as rows, forward as near to the x axis as it can be.

    Args:
        up: Unit vector, not along x.
    """
    left = np.cross(up, [1.0, 0.0, 0.0])
    left /= np.linalg.norm(left)
    return np.stack([np.cross(left, up), left, up])


def share_of_directions(offsets: Float[np.ndarray, "n 2"], count: int) -> float:
    """Return the share of equal sectors around the origin of a plane that have points.

    Args:
        offsets: Points of the plane; none is at the origin.
        count: Number of sectors.
    """
    turn = np.arctan2(offsets[:, 1], offsets[:, 0]) / (2 * np.pi) + 0.5
    return len(np.unique((turn * count).astype(int) % count)) / count


def fit_box(points: Float[np.ndarray, "n 3"]) -> OrientedBox:
    """Fit a box along the principal axes of points, without the outermost 2 % at each end of an axis."""
    center = points.mean(axis=0)
    _, _, axes = np.linalg.svd(points - center, full_matrices=False) if len(points) > 2 else (0, 0, np.eye(3))
    axes = axes * np.sign(np.linalg.det(axes))
    low, high = np.quantile((points - center) @ axes.T, [0.02, 0.98], axis=0)
    return OrientedBox(
        center=center + axes.T @ ((low + high) / 2),
        axes=axes,
        half_extents=np.maximum((high - low) / 2, 1e-4),
    )


def voxel_downsample(points: Float[np.ndarray, "n 3"], spacing: float) -> Float[np.ndarray, "m 3"]:
    """Return the first point of every grid cell, in order of the cells; within 1024 cells of the origin."""
    cell = np.floor(points / spacing).astype(np.int64) + 1024
    _, first = np.unique(cell @ np.array([1 << 22, 1 << 11, 1]), return_index=True)
    return points[first]


def transform_box(T_a_b: Float[np.ndarray, "4 4"], box: OrientedBox) -> OrientedBox:
    """Return a box of frame b in frame a."""
    center = transform_points(T_a_b, box.center)
    return OrientedBox(center, box.axes @ T_a_b[:3, :3].T, box.half_extents)


def distance_to_box(points: Float[np.ndarray, "... 3"], box: OrientedBox) -> Float[np.ndarray, "..."]:
    """Return the distance of each point to a box, 0 inside; both in one frame."""
    local = (points - box.center) @ box.axes.T
    return np.linalg.norm(np.maximum(np.abs(local) - box.half_extents, 0), axis=-1)


def box_points(box: OrientedBox, per_side: int) -> Float[np.ndarray, "n 3"]:
    """Return a grid of points in a box, its corners and sides included."""
    steps = np.linspace(-1, 1, per_side)
    inner = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3) * box.half_extents
    return box.center + inner @ box.axes


def box_falloff(
    points: Float[np.ndarray, "... 3"], box: OrientedBox, sigma: float
) -> Float[np.ndarray, "..."]:
    """Return 1 in a box and a Gaussian of the distance from it outside; all in one frame, metres."""
    return np.exp(-0.5 * (distance_to_box(points, box) / sigma) ** 2)
