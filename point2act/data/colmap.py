"""COLMAP, by pycolmap: features and matches of images in a database, and points and poses from them.

COLMAP puts the centre of the first pixel at one half, as we do, so nothing is shifted. All of a scene lies in
one folder: the database, and what COLMAP writes beside it. What it is and how it works: Schönberger and Frahm
2016.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from jaxtyping import Float, Int, UInt8

# pycolmap has whoever ends the program with SIGTERM read a stack of addresses. Only the main thread may say
# otherwise, and what Python does not know of stays.
if signal.getsignal(signal.SIGTERM) is not None:
    with suppress(ValueError):
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))

_SEED = 0


@dataclass(frozen=True)
class ColmapCamera:
    """A camera as COLMAP knows it."""

    model: str
    """COLMAP's name: ``PINHOLE``, ``OPENCV``."""
    params: tuple[float, ...]
    """Pixels and coefficients, in the model's order."""
    height: int
    width: int
    focal_known: bool
    """Whether the focal length is more than a first guess."""


@dataclass(frozen=True, eq=False)
class ColmapImage:
    """An image and its sensor."""

    name: str
    """Within the folder of images."""
    sensor: int
    """Which one, from 0."""
    T_cam_world: Float[np.ndarray, "4 4"] | None = None
    """None where it is sought."""


@dataclass(frozen=True, eq=False)
class SparsePoints:
    """Points in the world that images see."""

    xyz: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]
    views: Int[np.ndarray, " n"]
    """How many observations each has."""


@dataclass(frozen=True, eq=False)
class SparseModel:
    """Images with their poses in a world of arbitrary origin, axes and unit."""

    T_world_cam: Mapping[str, Float[np.ndarray, "4 4"]]
    """Of the images that could be placed, by name."""
    params: Mapping[str, tuple[float, ...]]
    """Of their sensors, also by the image's name."""
    points: SparsePoints


def in_batches(items: Sequence, size: int) -> list[Sequence]:
    """Parts of a sequence, for COLMAP to work on between two words about progress."""
    return [items[first : first + size] for first in range(0, len(items), size)]


@contextmanager
def quiet() -> Iterator[None]:
    """Let COLMAP speak of errors only."""
    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = int(pycolmap.logging.ERROR)
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = level


def create_database(folder: Path, sensors: Sequence[ColmapCamera], pictures: Sequence[ColmapImage]) -> None:
    """A database of pictures in their order: left to itself, COLMAP numbers them as threads finish."""
    scene = _scene(sensors, pictures)
    with pycolmap.Database.open(_database(folder)) as database:
        for camera in scene.cameras.values():
            database.write_camera(camera, use_camera_id=True)
        for rig in scene.rigs.values():
            database.write_rig(rig, use_rig_id=True)
        for number in sorted(scene.frames):
            database.write_frame(scene.frames[number], use_frame_id=True)
        for number in sorted(scene.images):
            database.write_image(scene.images[number], use_image_id=True)


def extract_features(
    folder: Path, images: Path, names: Sequence[str], *, max_features: int, masks: Path | None = None
) -> None:
    """SIFT features (Lowe 2004) of some of the registered images, where their masks allow.

    With a folder of ``masks`` every image needs one, of its name and ``.png``.
    """
    options = pycolmap.FeatureExtractionOptions(use_gpu=False)
    options.sift.max_num_features = max_features
    reader = pycolmap.ImageReaderOptions()
    if masks is not None:
        reader.mask_path = masks
    pycolmap.extract_features(
        _database(folder),
        images,
        image_names=list(names),
        reader_options=reader,
        extraction_options=options,
        device=pycolmap.Device.cpu,
    )


def match_pairs(folder: Path, pairs: Sequence[tuple[str, str]]) -> None:
    """Mutual best matches of some pairs of images that fit one motion between the two cameras."""
    listing = folder / "pairs.txt"
    listing.write_text("".join(f"{first} {second}\n" for first, second in pairs), encoding="ascii")
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = _SEED
    pycolmap.match_image_pairs(
        _database(folder),
        matching_options=pycolmap.FeatureMatchingOptions(use_gpu=False),
        pairing_options=pycolmap.ImportedPairingOptions(match_list_path=listing),
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )


def triangulate_points(
    folder: Path,
    images: Path,
    sensors: Sequence[ColmapCamera],
    pictures: Sequence[ColmapImage],
    *,
    max_error: float,
) -> SparsePoints:
    """Points of the matches, at most ``max_error`` pixels off where they are seen; poses stay as they are."""
    options = _options()
    options.mapper.filter_max_reproj_error = max_error
    scene = _scene(sensors, pictures)
    return _points(pycolmap.triangulate_points(scene, _database(folder), images, folder, options=options))


def map_incrementally(
    folder: Path, images: Path, *, at_least: int, tick: Callable[[], None]
) -> SparseModel | None:
    """Poses and points of the matches by incremental structure from motion; None where there are none.

    Where COLMAP finds several scenes that do not hang together, each of ``at_least`` images, the one with
    most is taken. ``tick`` is called with every image that is placed.
    """
    options = _options()
    options.min_model_size = at_least
    models = pycolmap.incremental_mapping(
        _database(folder), images, folder, options=options, next_image_callback=tick
    )
    if not models:
        return None
    model = max(models.values(), key=lambda model: model.num_reg_images())
    placed = [image for image in model.images.values() if image.has_pose]
    return SparseModel(
        {image.name: _pose(image) for image in placed},
        {image.name: tuple(map(float, model.cameras[image.camera_id].params)) for image in placed},
        _points(model),
    )


def _database(folder: Path) -> Path:
    return folder / "database.db"


def _options() -> pycolmap.IncrementalPipelineOptions:
    # One thread, because several add up in another order each time.
    return pycolmap.IncrementalPipelineOptions(random_seed=_SEED, num_threads=1)


def _scene(sensors: Sequence[ColmapCamera], pictures: Sequence[ColmapImage]) -> pycolmap.Reconstruction:
    """Without points. What is sensor or picture i here has the number i + 1: COLMAP needs one > 0."""
    scene = pycolmap.Reconstruction()
    for number, sensor in enumerate(sensors, start=1):
        camera = pycolmap.Camera(
            camera_id=number,
            model=sensor.model,
            width=sensor.width,
            height=sensor.height,
            params=list(sensor.params),
            has_prior_focal_length=sensor.focal_known,
        )
        scene.add_camera_with_trivial_rig(camera)
    for number, picture in enumerate(pictures, start=1):
        image = pycolmap.Image(name=picture.name, camera_id=picture.sensor + 1, image_id=number)
        if picture.T_cam_world is None:
            scene.add_image_with_trivial_frame(image)
        else:
            scene.add_image_with_trivial_frame(image, pycolmap.Rigid3d(picture.T_cam_world[:3]))
    return scene


def _pose(image: pycolmap.Image) -> Float[np.ndarray, "4 4"]:
    T_world_cam = np.eye(4)
    T_world_cam[:3] = image.cam_from_world().inverse().matrix()
    return T_world_cam


def _points(scene: pycolmap.Reconstruction) -> SparsePoints:
    points = [scene.points3D[number] for number in sorted(scene.points3D)]
    return SparsePoints(
        np.array([point.xyz for point in points], dtype=float).reshape(-1, 3),
        np.array([point.color for point in points], dtype=np.uint8).reshape(-1, 3),
        np.array([point.track.length() for point in points], dtype=int),
    )
