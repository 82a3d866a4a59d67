"""A cache of masks on disk, beside that of replies: an image and its points are segmented only once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from point2act.core.errors import ModelError
from point2act.core.files import write_bytes
from point2act.core.masks import CandidateMasks
from point2act.vlm.segmenters.embeddings import image_digest
from point2act.vlm.segmenters.segmenter import Segmenter

_VERSION = 1
"""Version of the entries. Increase it when images or points are given to segmenters differently."""
# Points are keyed by hundredths of a pixel: the last digits of a projection differ between machines.
_DIGITS = 2


@dataclass(frozen=True, eq=False)
class CachedSegmenter:
    """A segmenter whose masks are kept on disk, by its identity, the pixels and the points.

    Args:
        segmenter: Called for what is not in the cache, with points rounded to hundredths of a pixel.
        folder: Folder of the cache.
    """

    segmenter: Segmenter
    folder: Path

    @property
    def identity(self) -> Mapping[str, Any] | None:
        """That of the segmenter."""
        return self.segmenter.identity

    def segment(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        positive: Float[np.ndarray, "p 2"],
        negative: Float[np.ndarray, "n 2"],
    ) -> CandidateMasks:
        """Return the cached masks, or segment and cache.

        Raises:
            Point2ActError: The cache cannot be written, or what the segmenter raises.
        """
        positive, negative = np.round(positive, _DIGITS), np.round(negative, _DIGITS)
        identity = self.segmenter.identity
        if identity is None:
            return self.segmenter.segment(image, positive, negative)
        path = self._path(identity, image, positive, negative)
        found = _read(path, image.shape[:2])
        if found is None:
            found = self.segmenter.segment(image, positive, negative)
            write_bytes(path, _pack(found))
        return found

    def _path(self, identity: Mapping[str, Any], image: Any, positive: Any, negative: Any) -> Path:
        document = {
            "version": _VERSION,
            "segmenter": dict(identity),
            "image": image_digest(image),
            "points": [positive.tolist(), negative.tolist()],
        }
        key = hashlib.sha256(json.dumps(document, sort_keys=True).encode("ascii")).hexdigest()
        return self.folder / key[:2] / f"{key}.npz"


def _pack(found: CandidateMasks) -> bytes:
    file = BytesIO()
    np.savez_compressed(file, masks=np.packbits(found.masks, axis=-1), scores=found.scores)
    return file.getvalue()


def _read(path: Path, size: tuple[int, ...]) -> CandidateMasks | None:
    """Read an entry; None if there is none, or it is damaged."""
    height, width = size
    if not path.is_file():
        return None
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as entry:
            packed, scores = entry["masks"], entry["scores"]
    except Exception:  # Damaged files make numpy and zipfile raise anything.
        return None
    if packed.dtype != np.uint8 or packed.shape != (len(scores), height, -(-width // 8)):
        return None
    return CandidateMasks(np.unpackbits(packed, axis=-1, count=width).astype(bool), scores.astype(np.float64))


def prepare_folder(folder: Path) -> None:
    """Make the folder of a cache before anything is segmented.

    Raises:
        ModelError: The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ModelError(
            f"masks cannot be cached in {folder} ({err.strerror}): name another folder with --masks.cache, "
            "or use --masks.no-remember"
        ) from err
