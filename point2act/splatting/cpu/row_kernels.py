"""What one Gaussian does to one row of a tile's pixels, and the planes that tiles are worked on in. numba.

A row of a tile is one vector (``splatting.cpu.simd``), so a Gaussian meets all pixels of a row at
once. A tile is worked on in planes of its own, flat arrays of ``PIXELS`` numbers, one for each number that a
pixel has. The mathematics is derived in ``splatting.render``; all arithmetic is float32.
"""

from __future__ import annotations

import numpy as np

from point2act.splatting.cpu.compile_kernels import compiled
from point2act.splatting.cpu.simd import LANES, any_lane, load, ramp, select, store
from point2act.splatting.cpu.tile_kernels import HEIGHT

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
ALPHA_MIN = np.float32(1 / 255)
"""Fainter contributions are skipped (Kerbl et al. 2023)."""
ALPHA_MAX = np.float32(0.999)
"""Denser ones are held to this (gsplat; Kerbl et al. have 0.99)."""
OPAQUE = np.float32(1e-4)
"""A Gaussian that would let less through is not drawn, nor any behind it (Kerbl et al. 2023)."""
LEAST = np.float32(-8)
"""e^-8 of any opacity is below 1/255."""
SLACK = np.float32(0.01)
"""By which a Gaussian may exceed its reach, lest rounding cuts it: alphas are compared one by one later."""
PIXELS = LANES * HEIGHT
"""Numbers in a plane of a tile."""


@compiled
def exp(x):
    """e^x for -8 <= x <= 0 to a relative 5e-7: a polynomial for e^(x / 8), and three squarings.

    The coefficients are a least-maximum fit (relative error 2.4e-8) of e^y on [-1, 0].
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
                planes[k * PIXELS + (y - y0) * LANES + x - x0] = image[y, x, k]


@compiled
def from_planes(planes, bounds, image):
    """Copy c planes to a tile of (h, w, c)."""
    x0, x1, y0, y1 = bounds
    for y in range(y0, y1):
        for x in range(x0, x1):
            for k in range(image.shape[2]):
                image[y, x, k] = planes[k * PIXELS + (y - y0) * LANES + x - x0]


@compiled
def plane(value):
    """A plane full of one value."""
    plane = np.empty(PIXELS, np.float32)
    for at in range(PIXELS):
        plane[at] = value
    return plane


@compiled
def clear(bounds):
    """What shines through before anything is drawn: 1 in the image, 0 in the rest of a tile at its edge."""
    x0, x1, y0, y1 = bounds
    through = plane(ZERO)
    for y in range(y1 - y0):
        for x in range(x1 - x0):
            through[y * LANES + x] = ONE
    return through


@compiled
def is_full(through):
    """Whether nothing more can be drawn on any pixel of a tile."""
    most = load(through, 0)
    for at in range(LANES, PIXELS, LANES):
        here = load(through, at)
        most = select(here > most, here, most)
    return not any_lane(most > ZERO)


@compiled
def largest(plane):
    """The largest number of a plane, as an integer."""
    largest = plane[0]
    for at in range(PIXELS):
        largest = max(largest, plane[at])
    return np.int64(largest)


@compiled
def columns(x0, center):
    """How far the pixels of a tile's row lie to the right of a Gaussian's centre."""
    return ramp() + (np.float32(x0) + HALF - center[0])


@compiled
def exponent_at(dx, dy, shape):
    """u, and the logarithm of the Gaussian's density relative to its centre, along a row."""
    u = dx - shape[1] * dy
    return u, (-HALF * shape[2] * dy * dy) - (HALF * shape[0]) * u * u


@compiled
def is_touched(exponent, reach):
    """Whether a Gaussian reaches any pixel of a row."""
    return any_lane(exponent > -reach[0] - SLACK)


@compiled
def alpha_at(opacity, exponent):
    """Density and alpha along a row. Exponents are held to -8, where alpha is below 1/255 anyway."""
    density = opacity * exp(select(exponent > LEAST, exponent, LEAST))
    return density, select(density < ALPHA_MAX, density, ALPHA_MAX)


@compiled
def cover(through, at, alpha):
    """Put a Gaussian on a row of pixels: take alpha of what still shines through; where, and the weights.

    ``through`` turns negative at the first Gaussian that would leave less than ``OPAQUE``: from then on
    nothing is drawn there.
    """
    now = load(through, at)
    after = now * (ONE - alpha)
    seen = alpha >= ALPHA_MIN
    drawn = seen & (after > OPAQUE)
    closed = seen & (after <= OPAQUE) & (now > ZERO)
    store(through, at, select(drawn, after, select(closed, ZERO - now, now)))
    return drawn, select(drawn, alpha * now, ZERO)
