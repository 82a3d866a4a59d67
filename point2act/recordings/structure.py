"""Photographs → where they were taken from: COLMAP's incremental structure from motion, by pycolmap.

COLMAP puts the centre of the first pixel at one half, as we do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap
from jaxtyping import Float, UInt8

from point2act.errors import CaptureError
from point2act.recordings.photos import Photo
from point2act.splat.triangulate import quiet_colmap
from point2act.types import Camera, Frame, Lens

_MAX_FEATURES = 4096
"""A photograph; half of COLMAP's default, for half the time."""

_EXHAUSTIVE = 60
"""Photographs up to which every one is compared with every other: 1770 pairs."""

_OVERLAP = 10
"""With more, each is compared with so many that follow it, COLMAP's default for sequences, and with those
16, 32, 64 … after it."""

_BATCH = 4
"""Photographs between two calls of ``progress``; ten times as many pairs."""

_SEED = 0

_FOCAL = 1.2
"""Of the longer side, to begin with: COLMAP's own default."""

_MODEL = "OPENCV"
"""Two focal lengths, k1, k2, p1, p2: what nerfstudio's converter takes. Measured: on 20 photographs of a
phone camera centres are off by 0.16 % of the scene, and by 0.33 % with COLMAP's default, one focal length and
k1."""


@dataclass(frozen=True, eq=False)
class Structure:
    """Cameras and points in a world whose origin, axes and unit are arbitrary, until they are placed."""

    frames: tuple[Frame, ...]
    """The photographs that were placed, in their order; named after the originals' stems."""
    photos: tuple[Photo, ...]
    """Of the same."""
    points: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]
    missing: tuple[str, ...]
    """File names of the photographs that could not be placed."""


def find_structure(
    photos: Sequence[Photo], folder: Path, *, progress: Callable[[int, int], None] | None = None
) -> Structure:
    """The cameras of photographs that lie in one folder, and points that they see; works in ``folder``.

    Photographs of one size and one focal length share a camera. Where COLMAP finds several scenes that do not
    hang together, the one with most photographs is taken. Raises :class:`CaptureError` where there is none.
    """
    pairs = paired(len(photos))
    tick = _Tick(progress, 2 * len(photos) + len(pairs) // 10)
    with quiet_colmap():
        _register(folder, photos)
        for batch in _batches(photos, _BATCH):
            _extract(folder, batch)
            tick(len(batch))
        for batch in _batches(pairs, 10 * _BATCH):
            _match(folder, [(photos[i].path.name, photos[j].path.name) for i, j in batch])
            tick(len(batch) // 10)
        models = pycolmap.incremental_mapping(
            folder / "database.db",
            photos[0].path.parent,
            folder,
            # One thread, because several add up in another order each time.
            options=pycolmap.IncrementalPipelineOptions(random_seed=_SEED, num_threads=1, min_model_size=3),
            next_image_callback=lambda: tick(1),
        )
    tick(tick.left)
    if not models:
        raise CaptureError(
            f"none of the {len(photos)} photographs could be placed: take more, closer to one another, of a "
            "scene with texture that does not move"
        )
    return _read(max(models.values(), key=lambda model: model.num_reg_images()), photos)


def paired(count: int) -> list[tuple[int, int]]:
    """Which photographs are compared."""
    if count <= _EXHAUSTIVE:
        return list(combinations(range(count), 2))
    steps = {*range(1, _OVERLAP + 1)} | {1 << power for power in range(4, count.bit_length())}
    return [(i, i + step) for i in range(count) for step in sorted(steps) if i + step < count]


class _Tick:
    def __init__(self, progress: Callable[[int, int], None] | None, total: int):
        self._progress, self._total, self._done = progress, total, 0

    @property
    def left(self) -> int:
        """Steps to the end: COLMAP may take fewer than one for each photograph, or start again."""
        return self._total - self._done

    def __call__(self, steps: int) -> None:
        self._done = min(self._done + steps, self._total)
        if self._progress is not None:
            self._progress(self._done, self._total)


def _register(folder: Path, photos: Sequence[Photo]) -> None:
    """A database of the photographs in their order: left to itself, COLMAP numbers them as threads finish."""
    scene = pycolmap.Reconstruction()
    cameras: dict[object, int] = {}
    for number, photo in enumerate(photos, start=1):
        kind = (photo.height, photo.width, photo.focal)
        if kind not in cameras:
            cameras[kind] = len(cameras) + 1
            scene.add_camera_with_trivial_rig(_first_guess(photo, cameras[kind]))
        image = pycolmap.Image(name=photo.path.name, camera_id=cameras[kind], image_id=number)
        scene.add_image_with_trivial_frame(image)
    with pycolmap.Database.open(folder / "database.db") as database:
        for camera in scene.cameras.values():
            database.write_camera(camera, use_camera_id=True)
        for rig in scene.rigs.values():
            database.write_rig(rig, use_rig_id=True)
        for number in sorted(scene.frames):
            database.write_frame(scene.frames[number], use_frame_id=True)
        for number in sorted(scene.images):
            database.write_image(scene.images[number], use_image_id=True)


def _first_guess(photo: Photo, number: int) -> pycolmap.Camera:
    """A photograph's camera with the focal length that it notes, or COLMAP's default one."""
    focal = photo.focal or _FOCAL * max(photo.height, photo.width)
    return pycolmap.Camera(
        camera_id=number,
        model=_MODEL,
        width=photo.width,
        height=photo.height,
        params=[focal, focal, photo.width / 2, photo.height / 2, 0, 0, 0, 0],
        has_prior_focal_length=photo.focal is not None,
    )


def _extract(folder: Path, photos: Sequence[Photo]) -> None:
    """SIFT features (Lowe 2004)."""
    options = pycolmap.FeatureExtractionOptions(use_gpu=False)
    options.sift.max_num_features = _MAX_FEATURES
    pycolmap.extract_features(
        folder / "database.db",
        photos[0].path.parent,
        image_names=[photo.path.name for photo in photos],
        extraction_options=options,
        device=pycolmap.Device.cpu,
    )


def _match(folder: Path, pairs: Sequence[tuple[str, str]]) -> None:
    """Mutual best matches of some pairs that fit one motion between the two cameras."""
    listing = folder / "pairs.txt"
    listing.write_text("".join(f"{first} {second}\n" for first, second in pairs), encoding="ascii")
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = _SEED
    pycolmap.match_image_pairs(
        folder / "database.db",
        matching_options=pycolmap.FeatureMatchingOptions(use_gpu=False),
        pairing_options=pycolmap.ImportedPairingOptions(match_list_path=listing),
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )


def _read(model: pycolmap.Reconstruction, photos: Sequence[Photo]) -> Structure:
    images = {image.name: image for image in model.images.values() if image.has_pose}
    placed = tuple(photo for photo in photos if photo.path.name in images)
    points = [model.points3D[number] for number in sorted(model.points3D)]
    return Structure(
        frames=tuple(_frame(photo, images[photo.path.name], model) for photo in placed),
        photos=placed,
        points=np.array([point.xyz for point in points], dtype=float).reshape(-1, 3),
        colors=np.array([point.color for point in points], dtype=np.uint8).reshape(-1, 3),
        missing=tuple(photo.name for photo in photos if photo.path.name not in images),
    )


def _frame(photo: Photo, image: pycolmap.Image, model: pycolmap.Reconstruction) -> Frame:
    fx, fy, cx, cy, *coefficients = (float(value) for value in model.cameras[image.camera_id].params)
    T_world_cam = np.eye(4)
    T_world_cam[:3] = image.cam_from_world().inverse().matrix()
    camera = Camera(fx, fy, cx, cy, photo.height, photo.width)
    lens = Lens("opencv", tuple(coefficients))
    return Frame(f"images/{Path(photo.name).stem}.png", photo.path, None, None, camera, lens, T_world_cam)


def _batches(items: Sequence, size: int) -> Iterator[Sequence]:
    return (items[first : first + size] for first in range(0, len(items), size))
