"""Blending of one Gaussian into one row of a tile's pixels, and the planes of a tile, in numba.

A row of a tile is one SIMD vector (``splatting.cpu.simd``). A tile is processed in planes, flat arrays of
``PIXELS`` numbers, one for each channel. ``splatting.render`` derives the mathematics; all arithmetic is
float32.
"""

from __future__ import annotations

import numpy as np

from point2act.splatting.cpu.compile_kernels import compiled
from point2act.splatting.cpu.simd import SIMD_WIDTH, any_true, load, ramp, select, store
from point2act.splatting.cpu.tile_kernels import HEIGHT

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
ALPHA_MIN = np.float32(1 / 255)
"""Smallest alpha that is drawn (Kerbl et al. 2023)."""
ALPHA_MAX = np.float32(0.999)
"""Largest alpha, to which larger ones are clamped (gsplat; 0.99 in Kerbl et al.)."""
OPAQUE = np.float32(1e-4)
"""Transmittance below which neither a Gaussian nor any behind it is drawn (Kerbl et al. 2023)."""
MIN_EXPONENT = np.float32(-8)
"""Smallest exponent that is evaluated: e^-8 is below 1/255."""
SLACK = np.float32(0.01)
"""Margin of the exponent against rounding; alphas are compared individually afterwards."""
PIXELS = SIMD_WIDTH * HEIGHT
"""Number of pixels of a tile."""


@compiled
def exp(x):
    """Return e^x for -8 <= x <= 0 to a relative 5e-7: a polynomial for e^(x / 8), squared three times.

    The coefficients are a minimax fit of e^y on [-1, 0], with a relative error of 2.4e-8.
    """
    y = np.float32(0.125) * x
    p = np.float32(8.35845746e-4) * y + np.float32(7.61402351e-3)
    p = p * y + np.float32(4.11768257e-2)
    p = p * y + np.float32(0.166490286)
    p = p * y + np.float32(0.499969015)
    p = p * y + np.float32(0.999997903)
    p = p * y + np.float32(0.999999976)
    p = p * p
    p = p * p
    return p * p


@compiled
def to_planes(image, bounds, planes):
    """Copy a tile of (h, w, c) to c planes."""
    x0, x1, y0, y1 = bounds
    for y in range(y0, y1):
        for x in range(x0, x1):
            for k in range(image.shape[2]):
                planes[k * PIXELS + (y - y0) * SIMD_WIDTH + x - x0] = image[y, x, k]


@compiled
def from_planes(planes, bounds, image):
    """Copy c planes to a tile of (h, w, c)."""
    x0, x1, y0, y1 = bounds
    for y in range(y0, y1):
        for x in range(x0, x1):
            for k in range(image.shape[2]):
                image[y, x, k] = planes[k * PIXELS + (y - y0) * SIMD_WIDTH + x - x0]


@compiled
def plane(value):
    """Return a plane filled with one value."""
    plane = np.empty(PIXELS, np.float32)
    for at in range(PIXELS):
        plane[at] = value
    return plane


@compiled
def initial_transmittance(bounds):
    """Return the initial transmittance: 1 inside the image, 0 in the rest of a tile at its edge."""
    x0, x1, y0, y1 = bounds
    through = plane(ZERO)
    for y in range(y1 - y0):
        for x in range(x1 - x0):
            through[y * SIMD_WIDTH + x] = ONE
    return through


@compiled
def is_opaque(through):
    """Return whether nothing more can be drawn on any pixel of a tile."""
    most = load(through, 0)
    for at in range(SIMD_WIDTH, PIXELS, SIMD_WIDTH):
        here = load(through, at)
        most = select(here > most, here, most)
    return not any_true(most > ZERO)


@compiled
def largest(plane):
    """Return the largest number of a plane as an integer."""
    largest = plane[0]
    for at in range(PIXELS):
        largest = max(largest, plane[at])
    return np.int64(largest)


@compiled
def columns(x0, center):
    """Return dx, the horizontal offsets of a tile row's pixels from a Gaussian's centre."""
    return ramp() + (np.float32(x0) + HALF - center[0])


@compiled
def exponent_at(dx, dy, shape):
    """Return u = dx - s dy and the exponent -(a u^2 + e dy^2) / 2 along a row."""
    u = dx - shape[1] * dy
    return u, (-HALF * shape[2] * dy * dy) - (HALF * shape[0]) * u * u


@compiled
def is_covered(exponent, extent):
    """Return whether a Gaussian covers any pixel of a row."""
    return any_true(exponent > -extent[0] - SLACK)


@compiled
def alpha_at(opacity, exponent):
    """Return density and alpha along a row; exponents are clamped to -8, where alpha is below 1/255."""
    density = opacity * exp(select(exponent > MIN_EXPONENT, exponent, MIN_EXPONENT))
    return density, select(density < ALPHA_MAX, density, ALPHA_MAX)


@compiled
def blend(through, at, alpha):
    """Blend a Gaussian into a row: update the transmittance; return where it was drawn, and its weights.

    ``through`` turns negative at the first Gaussian that would leave less than ``OPAQUE``, which marks the
    pixel as done.
    """
    now = load(through, at)
    after = now * (ONE - alpha)
    seen = alpha >= ALPHA_MIN
    drawn = seen & (after > OPAQUE)
    closed = seen & (after <= OPAQUE) & (now > ZERO)
    store(through, at, select(drawn, after, select(closed, ZERO - now, now)))
    return drawn, select(drawn, alpha * now, ZERO)
