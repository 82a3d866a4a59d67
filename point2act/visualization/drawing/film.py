"""Animated pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def encode_film(images: Sequence[UInt8[np.ndarray, "h w 3"]], rate: float) -> bytes:
    """Encode pictures as an animated WebP that repeats.

    Args:
        images: At least one picture, all of one size.
        rate: Pictures per second.
    """
    first, *rest = (Image.fromarray(image) for image in images)
    buffer = io.BytesIO()
    first.save(
        buffer, "webp", save_all=True, append_images=rest, duration=round(1000 / rate), loop=0, quality=60
    )
    return buffer.getvalue()
