"""Photographs → where they were taken from: COLMAP's incremental structure from motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from point2act.core.errors import CaptureError
from point2act.core.progress import StepCounter
from point2act.core.types import Camera, Frame, Lens, ProgressCallback
from point2act.data import colmap
from point2act.data.importers.photos import Photo

_MAX_FEATURES = 4096
"""A photograph; half of COLMAP's default, for half the time."""

_EXHAUSTIVE = 60
"""Photographs up to which every one is compared with every other: 1770 pairs."""

_OVERLAP = 10
"""With more, each is compared with so many that follow it, COLMAP's default for sequences, and with those
16, 32, 64 … after it."""

_BATCH = 4
"""Photographs between two calls of ``progress``; ten times as many pairs."""

_LEAST = 3
"""Photographs of a scene that is one. Chosen: any two agree with one another."""

_FOCAL = 1.2
"""Of the longer side, to begin with: COLMAP's own default."""

_MODEL = "OPENCV"
"""Two focal lengths, k1, k2, p1, p2: what nerfstudio's converter takes. Measured: on 20 photographs of a
phone camera centres are off by 0.16 % of the scene, and by 0.33 % with COLMAP's default, one focal length and
k1."""


@dataclass(frozen=True, eq=False)
class SfmModel:
    """Cameras and points in a world whose origin, axes and unit are arbitrary, until they are placed."""

    frames: tuple[Frame, ...]
    """The photographs that were placed, in their order; named after the originals' stems."""
    photos: tuple[Photo, ...]
    """Of the same."""
    points: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]
    missing: tuple[str, ...]
    """File names of the photographs that could not be placed."""


def reconstruct_photos(
    photos: Sequence[Photo], folder: Path, *, progress: ProgressCallback | None = None
) -> SfmModel:
    """The cameras of photographs that lie in one folder, and points that they see; works in ``folder``.

    Photographs of one size and one focal length share a camera. Where COLMAP finds several scenes that do not
    hang together, the one with most photographs is taken. Raises ``CaptureError`` where there is none.
    """
    pairs = image_pairs(len(photos))
    images = photos[0].path.parent
    tick = StepCounter(progress, 2 * len(photos) + len(pairs) // 10)
    with colmap.quiet():
        _register(folder, photos)
        for batch in colmap.in_batches(photos, _BATCH):
            names = [photo.path.name for photo in batch]
            colmap.extract_features(folder, images, names, max_features=_MAX_FEATURES)
            tick(len(batch))
        for batch in colmap.in_batches(pairs, 10 * _BATCH):
            colmap.match_pairs(folder, [(photos[i].path.name, photos[j].path.name) for i, j in batch])
            tick(len(batch) // 10)
        placed = colmap.map_incrementally(folder, images, min_images=_LEAST, tick=lambda: tick(1))
    tick.finish()
    if placed is None:
        raise CaptureError(
            f"none of the {len(photos)} photographs could be placed: take more, closer to one another, of a "
            "scene with texture that does not move"
        )
    return _structure(placed, photos)


def image_pairs(count: int) -> list[tuple[int, int]]:
    """Which photographs are compared."""
    if count <= _EXHAUSTIVE:
        return list(combinations(range(count), 2))
    steps = {*range(1, _OVERLAP + 1)} | {1 << power for power in range(4, count.bit_length())}
    return [(i, i + step) for i in range(count) for step in sorted(steps) if i + step < count]


def _register(folder: Path, photos: Sequence[Photo]) -> None:
    """Photographs of one size and one focal length share a sensor."""
    sensors: dict[object, colmap.ColmapCamera] = {}
    kinds = [(photo.height, photo.width, photo.focal) for photo in photos]
    for kind, photo in zip(kinds, photos, strict=True):
        sensors.setdefault(kind, _first_guess(photo))
    numbers = {kind: number for number, kind in enumerate(sensors)}
    pictures = [
        colmap.ColmapImage(photo.path.name, numbers[kind]) for kind, photo in zip(kinds, photos, strict=True)
    ]
    colmap.create_database(folder, list(sensors.values()), pictures)


def _first_guess(photo: Photo) -> colmap.ColmapCamera:
    """A photograph's camera with the focal length that it notes, or COLMAP's default one."""
    focal = float(photo.focal or _FOCAL * max(photo.height, photo.width))
    params = (focal, focal, photo.width / 2, photo.height / 2, 0.0, 0.0, 0.0, 0.0)
    return colmap.ColmapCamera(_MODEL, params, photo.height, photo.width, focal_known=photo.focal is not None)


def _structure(placed: colmap.SparseModel, photos: Sequence[Photo]) -> SfmModel:
    there = tuple(photo for photo in photos if photo.path.name in placed.T_world_cam)
    return SfmModel(
        frames=tuple(_frame(photo, placed) for photo in there),
        photos=there,
        points=placed.points.xyz,
        colors=placed.points.colors,
        missing=tuple(photo.name for photo in photos if photo.path.name not in placed.T_world_cam),
    )


def _frame(photo: Photo, placed: colmap.SparseModel) -> Frame:
    fx, fy, cx, cy, *coefficients = placed.params[photo.path.name]
    camera = Camera(fx, fy, cx, cy, photo.height, photo.width)
    lens = Lens("opencv", tuple(coefficients))
    T_world_cam = placed.T_world_cam[photo.path.name]
    return Frame(f"images/{Path(photo.name).stem}.png", photo.path, None, None, camera, lens, T_world_cam)
