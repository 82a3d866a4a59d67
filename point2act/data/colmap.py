"""Structure from motion with COLMAP (Schönberger and Frahm 2016) through pycolmap.

The database and the other files of a scene are in one folder. COLMAP's pixel coordinates are the same as
here.
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

# pycolmap prints a stack trace on SIGTERM; this restores Python's handler, which only the main thread can do.
if signal.getsignal(signal.SIGTERM) is not None:
    with suppress(ValueError):
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))

_SEED = 0


@dataclass(frozen=True)
class ColmapCamera:
    """A camera of COLMAP."""

    model: str
    """COLMAP's name of the camera model, ``PINHOLE`` or ``OPENCV``."""
    params: tuple[float, ...]
    """Focal lengths, principal point and distortion coefficients in the model's order."""
    height: int
    width: int
    focal_known: bool
    """Whether the focal length is known, not only a first guess."""


@dataclass(frozen=True, eq=False)
class ColmapImage:
    """An image with its camera and, if known, its pose."""

    name: str
    """File name in the folder of images."""
    camera: int
    """Index of the camera."""
    T_cam_world: Float[np.ndarray, "4 4"] | None = None
    """World-to-camera transform, None if it is to be estimated."""


@dataclass(frozen=True, eq=False)
class SparsePoints:
    """Triangulated points."""

    xyz: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]
    views: Int[np.ndarray, " n"]
    """Number of observations of each point."""


@dataclass(frozen=True, eq=False)
class SparseModel:
    """Registered images in a world frame of arbitrary origin, axes and unit."""

    T_world_cam: Mapping[str, Float[np.ndarray, "4 4"]]
    """Poses of the registered images by name."""
    params: Mapping[str, tuple[float, ...]]
    """Parameters of their cameras by the name of the image."""
    points: SparsePoints


def in_batches(items: Sequence, size: int) -> list[Sequence]:
    """Split a sequence, so that progress can be reported between COLMAP's calls."""
    return [items[first : first + size] for first in range(0, len(items), size)]


@contextmanager
def quiet() -> Iterator[None]:
    """Limit COLMAP's log to errors."""
    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = int(pycolmap.logging.ERROR)
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = level


def create_database(folder: Path, cameras: Sequence[ColmapCamera], images: Sequence[ColmapImage]) -> None:
    """Create a database of images in their order; COLMAP's own numbering depends on the threads."""
    scene = _scene(cameras, images)
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
    folder: Path, image_folder: Path, names: Sequence[str], *, max_features: int, masks: Path | None = None
) -> None:
    """Extract SIFT features (Lowe 2004) of some images of the database.

    ``masks`` is a folder with a mask ``<image name>.png`` for every image.
    """
    options = pycolmap.FeatureExtractionOptions(use_gpu=False)
    options.sift.max_num_features = max_features
    reader = pycolmap.ImageReaderOptions()
    if masks is not None:
        reader.mask_path = masks
    pycolmap.extract_features(
        _database(folder),
        image_folder,
        image_names=list(names),
        reader_options=reader,
        extraction_options=options,
        device=pycolmap.Device.cpu,
    )


def match_pairs(folder: Path, pairs: Sequence[tuple[str, str]]) -> None:
    """Match pairs of images and verify the matches with two-view geometry."""
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
    image_folder: Path,
    cameras: Sequence[ColmapCamera],
    images: Sequence[ColmapImage],
    *,
    max_error: float,
) -> SparsePoints:
    """Triangulate the matches with fixed poses; reprojection errors are at most ``max_error`` pixels."""
    options = _options()
    options.mapper.filter_max_reproj_error = max_error
    scene = _scene(cameras, images)
    return _points(
        pycolmap.triangulate_points(scene, _database(folder), image_folder, folder, options=options)
    )


def map_incrementally(
    folder: Path, image_folder: Path, *, min_images: int, tick: Callable[[], None]
) -> SparseModel | None:
    """Estimate poses and points by incremental structure from motion, None without a result.

    Of several connected components of at least ``min_images`` images the largest is returned. ``tick`` is
    called for every image that is registered.
    """
    options = _options()
    options.min_model_size = min_images
    models = pycolmap.incremental_mapping(
        _database(folder), image_folder, folder, options=options, next_image_callback=tick
    )
    if not models:
        return None
    model = max(models.values(), key=lambda model: model.num_reg_images())
    registered = [image for image in model.images.values() if image.has_pose]
    return SparseModel(
        {i.name: np.vstack([i.cam_from_world().inverse().matrix(), [0, 0, 0, 1]]) for i in registered},
        {image.name: tuple(map(float, model.cameras[image.camera_id].params)) for image in registered},
        _points(model),
    )


def _database(folder: Path) -> Path:
    return folder / "database.db"


def _options() -> pycolmap.IncrementalPipelineOptions:
    # With several threads the order of sums, and so the result, varies.
    return pycolmap.IncrementalPipelineOptions(random_seed=_SEED, num_threads=1)


def _scene(cameras: Sequence[ColmapCamera], images: Sequence[ColmapImage]) -> pycolmap.Reconstruction:
    """Build a reconstruction without points; the numbers of cameras and images start at 1."""
    scene = pycolmap.Reconstruction()
    for number, camera in enumerate(cameras, start=1):
        entry = pycolmap.Camera(
            camera_id=number,
            model=camera.model,
            width=camera.width,
            height=camera.height,
            params=list(camera.params),
            has_prior_focal_length=camera.focal_known,
        )
        scene.add_camera_with_trivial_rig(entry)
    for number, image in enumerate(images, start=1):
        posed = () if image.T_cam_world is None else (pycolmap.Rigid3d(image.T_cam_world[:3]),)
        entry = pycolmap.Image(name=image.name, camera_id=image.camera + 1, image_id=number)
        scene.add_image_with_trivial_frame(entry, *posed)
    return scene


def _points(scene: pycolmap.Reconstruction) -> SparsePoints:
    points = [scene.points3D[number] for number in sorted(scene.points3D)]
    return SparsePoints(
        np.array([point.xyz for point in points], dtype=float).reshape(-1, 3),
        np.array([point.color for point in points], dtype=np.uint8).reshape(-1, 3),
        np.array([point.track.length() for point in points], dtype=int),
    )
