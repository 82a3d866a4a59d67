"""Lens distortion and its inverse on normalised image coordinates (x/z, y/z), with numpy only.

The models are OpenCV's: ``"opencv"`` is Brown-Conrady with a rational radial factor,

    r² = x² + y²,  q = (1 + k1 r² + k2 r⁴ + k3 r⁶) / (1 + k4 r² + k5 r⁴ + k6 r⁶),
    x' = x q + 2 p1 x y + p2 (r² + 2 x²),  y' = y q + p1 (r² + 2 y²) + 2 p2 x y,

and ``"fisheye"`` is Kannala-Brandt, r' = θ (1 + k1 θ² + k2 θ⁴ + k3 θ⁶ + k4 θ⁸) with θ = atan r.
"""

# cv2.projectPoints gives the same to 1e-15, but cv2.undistortPoints diverges near the limit of a lens: of 128
# 721 rays of a barrel lens (k1 = 0.1, k2 = -0.2, k3 = 0.05) 119 524 were off by more than 1e-6, of these
# Newton steps none.

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.geometry import to_tangents
from point2act.core.types import Camera, Lens

# Normalised radius of a ray 84 degrees off the axis; wider ones do not fit into a pinhole image.
PINHOLE_LIMIT = 10.0
_SAMPLES = 4096


def is_pinhole(lens: Lens) -> bool:
    """Return whether the image on disk has no distortion and no crop."""
    straight = lens.model == "opencv" and not any(lens.coefficients)
    return straight and lens.crop_radius is None


def distort(lens: Lens, rays: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Distort normalised coordinates; rays beyond ``max_radius`` are clamped to it, so none folds back."""
    size = np.linalg.norm(rays, axis=1, keepdims=True)
    rays = rays * np.minimum(1.0, max_radius(lens) / np.maximum(size, 1e-12))
    if lens.model == "opencv":
        return _distort_opencv(lens, rays)
    radius = np.linalg.norm(rays, axis=1, keepdims=True)
    # The limit of atan(r)/r at the axis is 1.
    factor = _profile(lens, np.arctan(radius)) / np.where(radius < 1e-12, 1.0, radius)
    return rays * np.where(radius < 1e-12, 1.0, factor)


def undistort(lens: Lens, images: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Invert ``distort``. Coordinates that no ray up to ``max_radius`` reaches are mapped to that radius."""
    radius = np.linalg.norm(images, axis=1, keepdims=True)
    steps, reached = _table(lens)
    start = np.interp(radius, reached, steps)
    direction = images / np.where(radius < 1e-12, 1.0, radius)
    if lens.model == "opencv":
        within = radius[:, 0] < reached[-1]
        rays = direction * start
        rays[within] = _refine_opencv(lens, rays[within], images[within])
        return rays
    angle = _refine_fisheye(lens, start, np.minimum(radius, reached[-1]), steps[-1])
    return direction * np.tan(angle)


def ray_tangents(camera: Camera, lens: Lens, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Return ``(x/z, y/z)`` of the rays through pixels of the image on disk."""
    tangents = to_tangents(camera, pixels)
    return tangents if is_pinhole(lens) else undistort(lens, tangents)


def max_radius(lens: Lens) -> float:
    """Return the largest radius |(x/z, y/z)| up to which the radial part of the lens is one to one."""
    limit = float(_table(lens)[0][-1])
    return limit if lens.model == "opencv" else float(np.tan(limit))


def reaches(lens: Lens, rays: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    """Return which rays lie where the lens is one to one; beyond, its polynomial folds back."""
    near = np.linalg.norm(rays, axis=1) <= max_radius(lens)
    if lens.model == "fisheye":
        return near
    a, b, d = _jacobian_opencv(lens, rays * near[:, None])
    return near & (a * d - b * b > 0)


def _table(lens: Lens) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Sample the radial profile as far as it rises: radii (fisheye: angles) and distorted radii."""
    end = PINHOLE_LIMIT if lens.model == "opencv" else np.arctan(PINHOLE_LIMIT)
    steps = np.linspace(0.0, end, _SAMPLES)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        reached = _profile(lens, steps)
        falls = ~(np.diff(reached) > 0)
    count = int(np.argmax(falls)) + 1 if falls.any() else _SAMPLES
    return steps[:count], reached[:count]


def _profile(lens: Lens, steps: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Return the distorted radius of a radius ("opencv") or of an angle off the axis ("fisheye")."""
    squares = steps * steps
    if lens.model == "fisheye":
        return steps * np.polynomial.polynomial.polyval(squares, (1.0, *_padded(lens, 4)))
    return steps * _radial(lens, squares)[0]


def _radial(
    lens: Lens, squares: Float[np.ndarray, "*n"]
) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
    """Return the radial factor q as a function of r², and its derivative by r²."""
    k1, k2, _, _, k3, k4, k5, k6 = _padded(lens, 8)
    above = 1 + squares * (k1 + squares * (k2 + squares * k3))
    below = 1 + squares * (k4 + squares * (k5 + squares * k6))
    slope_above = k1 + squares * (2 * k2 + squares * 3 * k3)
    slope_below = k4 + squares * (2 * k5 + squares * 3 * k6)
    return above / below, (slope_above * below - above * slope_below) / (below * below)


def _distort_opencv(lens: Lens, rays: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    p1, p2 = _padded(lens, 8)[2:4]
    x, y = rays.T
    r2 = x * x + y * y
    radial, _ = _radial(lens, r2)
    x_image = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    y_image = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack([x_image, y_image], axis=1)


def _jacobian_opencv(
    lens: Lens, rays: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return the Jacobians ((a, b), (b, d)) of ``_distort_opencv``."""
    p1, p2 = _padded(lens, 8)[2:4]
    x, y = rays.T
    radial, slope = _radial(lens, x * x + y * y)
    a = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
    b = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
    d = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
    return a, b, d


def _refine_opencv(
    lens: Lens, rays: Float[np.ndarray, "n 2"], images: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n 2"]:
    """Solve ``distort(rays) == images`` by damped Newton steps."""
    miss = _distort_opencv(lens, rays) - images
    damping = np.ones(len(rays))
    for _ in range(40):
        if np.abs(miss).max(initial=0.0) < 1e-12:
            break
        a, b, d = _jacobian_opencv(lens, rays)
        determinant = a * d - b * b
        determinant = np.where(np.abs(determinant) < 1e-12, 1e-12, determinant)
        step = np.stack([d * miss[:, 0] - b * miss[:, 1], a * miss[:, 1] - b * miss[:, 0]], axis=1)
        trial = rays - step * (damping / determinant)[:, None]
        trial_miss = _distort_opencv(lens, trial) - images
        nearer = (trial_miss**2).sum(axis=1) < (miss**2).sum(axis=1)
        rays, miss = np.where(nearer[:, None], trial, rays), np.where(nearer[:, None], trial_miss, miss)
        damping = np.where(nearer, np.minimum(1.0, 4 * damping), damping / 4)
    return rays


def _refine_fisheye(
    lens: Lens, angles: Float[np.ndarray, "n 1"], radii: Float[np.ndarray, "n 1"], limit: float
) -> Float[np.ndarray, "n 1"]:
    """Solve for the angle off the axis, up to a limit, of a distorted radius by Newton steps."""
    profile = np.polynomial.Polynomial([0, 1, *(c for k in _padded(lens, 4) for c in (0, k))])
    slope = profile.deriv()
    for _ in range(4):
        step = (profile(angles) - radii) / np.maximum(slope(angles), 1e-6)
        angles = np.clip(angles - step, 0.0, limit)
    return angles


def _padded(lens: Lens, count: int) -> tuple[float, ...]:
    return (*lens.coefficients, *(0.0,) * (count - len(lens.coefficients)))
