"""Points of the scene from photographs with known poses: features, matches, triangulation by COLMAP.

The poses are taken as they are; only points are sought. COLMAP puts the centre of the first pixel at
one half, as we do, so nothing is shifted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pycolmap
from jaxtyping import Float
from PIL import Image

from point2act.types import View

_MAX_FEATURES = 2000
"""A view. More cost time and are weaker."""

_PARTNERS = 8
"""Nearest views that each view is matched with."""

_MAX_ERROR = 1 / 160
"""Of the longer side, between a feature and its projected point: 3 pixels of 480."""

_MIN_VIEWS = 3
"""Two views agree along their epipolar line by chance; a third one rarely does."""

_BATCH = 8
"""Views that COLMAP works on, with their partners, between two calls of ``progress``."""

_SEED = 0


def triangulate(
    views: Sequence[View], *, progress: Callable[[int, int], None] | None = None
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """World points of SIFT features that three or more views agree on, and their colours in [0, 1].

    Views are undistorted; their poses are taken as they are. Masked pixels are left out. There may be no
    points at all: too few views, too little texture, wrong poses. The work is COLMAP's (Schönberger and
    Frahm 2016), in a temporary folder.
    """
    names = [_file_name(i) for i in range(len(views))]
    pairs = [(names[i], names[j]) for i, j in neighbouring_pairs(views)]
    with TemporaryDirectory(prefix="point2act-") as temporary, quiet_colmap():
        folder = Path(temporary)
        scene = _scene_of(views)
        _write(folder, scene, views)
        jobs = [partial(_extract, folder, batch) for batch in _batches(names, _BATCH)]
        jobs += [partial(_match, folder, batch) for batch in _batches(pairs, _BATCH * _PARTNERS)]
        for done, job in enumerate(jobs, start=1):
            job()
            if progress is not None:
                progress(done, len(jobs))
        found = _points(folder, scene, views) if pairs else []
    points = np.array([point.xyz for point in found]).reshape(-1, 3)
    return points, np.array([point.color for point in found]).reshape(-1, 3) / 255.0


def neighbouring_pairs(views: Sequence[View]) -> list[tuple[int, int]]:
    """Each view with the nearest of those that look the same way within 60 degrees."""
    eyes = np.array([view.T_world_cam[:3, 3] for view in views]).reshape(-1, 3)
    axes = np.array([view.T_world_cam[:3, 2] for view in views]).reshape(-1, 3)
    distance = np.linalg.norm(eyes[:, None] - eyes[None], axis=2)
    distance = np.where((axes @ axes.T > 0.5) & (distance > 0), distance, np.inf)
    pairs = set()
    for i, row in enumerate(distance):
        nearest = np.argsort(row, kind="stable")[:_PARTNERS]
        pairs |= {(min(i, int(j)), max(i, int(j))) for j in nearest if np.isfinite(row[j])}
    return sorted(pairs)


def _scene_of(views: Sequence[View]) -> pycolmap.Reconstruction:
    """Cameras and poses, no points yet. The image of view i has the number i + 1: COLMAP needs one > 0."""
    scene = pycolmap.Reconstruction()
    for number, view in enumerate(views, start=1):
        camera = view.camera
        pinhole = pycolmap.Camera(
            camera_id=number,
            model="PINHOLE",
            width=camera.width,
            height=camera.height,
            params=[camera.fx, camera.fy, camera.cx, camera.cy],
            has_prior_focal_length=True,
        )
        image = pycolmap.Image(name=_file_name(number - 1), camera_id=number, image_id=number)
        scene.add_camera_with_trivial_rig(pinhole)
        scene.add_image_with_trivial_frame(image, pycolmap.Rigid3d(view.T_cam_world[:3]))
    return scene


def _write(folder: Path, scene: pycolmap.Reconstruction, views: Sequence[View]) -> None:
    """COLMAP's database of the scene, the images, and the masks."""
    with pycolmap.Database.open(folder / "database.db") as database:
        for camera in scene.cameras.values():
            database.write_camera(camera, use_camera_id=True)
        for rig in scene.rigs.values():
            database.write_rig(rig, use_rig_id=True)
        for frame in scene.frames.values():
            database.write_frame(frame, use_frame_id=True)
        for image in scene.images.values():
            database.write_image(image, use_image_id=True)
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    for i, view in enumerate(views):
        Image.fromarray(view.rgb).save(folder / "images" / _file_name(i), compress_level=1)
        # COLMAP leaves an image without a mask out as soon as there is a folder of masks.
        mask = np.ones(view.rgb.shape[:2], dtype=bool) if view.mask is None else view.mask
        Image.fromarray(mask).save(folder / "masks" / f"{_file_name(i)}.png")


def _extract(folder: Path, names: list[str]) -> None:
    """SIFT features (Lowe 2004) of some images, where their masks allow."""
    options = pycolmap.FeatureExtractionOptions(use_gpu=False)
    options.sift.max_num_features = _MAX_FEATURES
    pycolmap.extract_features(
        folder / "database.db",
        folder / "images",
        image_names=names,
        camera_mode=pycolmap.CameraMode.PER_IMAGE,
        reader_options=pycolmap.ImageReaderOptions(mask_path=folder / "masks"),
        extraction_options=options,
        device=pycolmap.Device.cpu,
    )


def _match(folder: Path, pairs: list[tuple[str, str]]) -> None:
    """Mutual best matches of some pairs of images that fit one motion between the two cameras."""
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


def _points(folder: Path, scene: pycolmap.Reconstruction, views: Sequence[View]) -> list[pycolmap.Point3D]:
    """The triangulated points that enough views see where they project to."""
    # One thread, because several add up in another order each time.
    options = pycolmap.IncrementalPipelineOptions(random_seed=_SEED, num_threads=1)
    sides = [max(view.camera.width, view.camera.height) for view in views]
    options.mapper.filter_max_reproj_error = _MAX_ERROR * max(sides)
    scene = pycolmap.triangulate_points(
        scene, folder / "database.db", folder / "images", folder, options=options
    )
    points = [scene.points3D[number] for number in sorted(scene.points3D)]
    return [point for point in points if point.track.length() >= _MIN_VIEWS]


def _file_name(index: int) -> str:
    return f"{index:06}.png"


def _batches(items: list, size: int) -> list[list]:
    return [items[first : first + size] for first in range(0, len(items), size)]


@contextmanager
def quiet_colmap() -> Iterator[None]:
    """Let COLMAP speak of errors only."""
    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = int(pycolmap.logging.ERROR)
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = level
