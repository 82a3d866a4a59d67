"""Procedural textures of the simulated surfaces."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from point2act.data.capture.write import png_bytes

_SIDE = 256


@lru_cache
def texture_png(name: str, seed: int) -> bytes:
    """Return a square PNG of grey levels near white, to be multiplied by a colour.

    ``name`` is one of ``TEXTURES``; raises KeyError for another.
    """
    grey = TEXTURES[name](np.random.default_rng(seed))
    pixels = np.clip(255 * grey, 0, 255).astype(np.uint8)
    return png_bytes(np.repeat(pixels[..., None], 3, axis=2))


def _noise(rng: np.random.Generator, down: float, across: float) -> Float[np.ndarray, "h w"]:
    """Return tileable noise of unit variance, smoothed over the given number of pixels."""
    smooth = gaussian_filter(rng.standard_normal((_SIDE, _SIDE)), (down, across), mode="wrap")
    return smooth / smooth.std()


def _plain(rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    return 0.94 + 0.02 * _noise(rng, 12.0, 12.0) + 0.01 * _noise(rng, 2.0, 2.0)


def _speckled(rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    return 0.92 + 0.02 * _noise(rng, 10.0, 10.0) - 0.45 * (_noise(rng, 1.6, 1.6) > 2.2)


def _wood(rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    rows = np.linspace(0, 2 * np.pi, _SIDE, endpoint=False)[:, None]
    grain = np.sin(9 * rows + 1.2 * _noise(rng, 14.0, 60.0))
    return 0.86 + 0.06 * grain + 0.03 * _noise(rng, 1.0, 24.0) + 0.02 * _noise(rng, 0.6, 6.0)


def _brushed(rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    return 0.88 + 0.06 * _noise(rng, 0.7, 30.0) + 0.02 * _noise(rng, 20.0, 20.0)


def _striped(rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    rows = np.arange(_SIDE)[:, None] / _SIDE
    return _plain(rng) * np.where(rows % 0.25 < 0.06, 0.55, 1.0)


def _label(rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """A printed label: a dark band with lines of type on it."""
    grey = _plain(rng)
    grey[96:176] *= 0.35
    for row in range(106, 170, 16):
        letters = np.repeat(rng.random(_SIDE // 8) < 0.7, 8)
        grey[row : row + 8] += 0.6 * letters
    return grey


TEXTURES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "plain": _plain,
    "speckled": _speckled,
    "wood": _wood,
    "brushed": _brushed,
    "striped": _striped,
    "label": _label,
}
"""Names of textures, and their generators."""
