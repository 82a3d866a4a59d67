"""Recent embeddings of images, which several prompts in one image share."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import UInt8

T = TypeVar("T")


@dataclass(eq=False)
class Embeddings(Generic[T]):
    """The embeddings of the images that were used last: encoding takes 20 times as long as a prompt."""

    encode: Callable[[UInt8[np.ndarray, "h w 3"]], T]
    size: int = 16
    """Maximum number of embeddings that are kept; those of SAM 2 have 16 MB each."""
    _kept: OrderedDict[str, T] = field(default_factory=OrderedDict)

    def of(self, image: UInt8[np.ndarray, "h w 3"]) -> T:
        """Return the embedding of an image."""
        key = image_digest(image)
        if key not in self._kept:
            self._kept[key] = self.encode(image)
        self._kept.move_to_end(key)
        while len(self._kept) > self.size:
            self._kept.popitem(last=False)
        return self._kept[key]


def image_digest(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """Return the SHA-256 of an image's size and pixels."""
    pixels = np.ascontiguousarray(image)
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.data).hexdigest()
