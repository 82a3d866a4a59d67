"""Sparse points from images with known poses: SIFT features, matching and triangulation by COLMAP."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float
from PIL import Image

from point2act.calibration.poses.tracks import TrackConfig, near_pairs
from point2act.core.types import ProgressCallback, View
from point2act.data import colmap

_MAX_FEATURES = 2000
"""Maximum number of features per view; more cost time and are weaker."""
_PAIRING = TrackConfig(partner_views=8, max_angle=np.pi / 3)
"""Pairs of views to match."""
_MAX_ERROR = 1 / 160
"""Largest reprojection error over the longer side: 3 pixels of 480."""
_MIN_VIEWS = 3
"""Smallest number of views of a point: two agree along their epipolar line by chance, a third rarely does."""
_BATCH = 8
"""Number of views per call of COLMAP, between two calls of ``progress``."""


def triangulate(
    views: Sequence[View], *, progress: ProgressCallback | None = None
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Triangulate SIFT features that three or more undistorted views share, with poses fixed.

    COLMAP (Schönberger and Frahm 2016) does the work in a temporary folder. Masked pixels are left out.

    Returns:
        World points and their colours in [0, 1]; empty with too few views, too little texture or wrong poses.
    """
    names = [_file_name(i) for i in range(len(views))]
    pairs = [(names[i], names[j]) for i, j in near_pairs(views, _PAIRING)]
    if not pairs:
        return np.zeros((0, 3)), np.zeros((0, 3))
    with TemporaryDirectory(prefix="point2act-") as temporary, colmap.quiet():
        folder = Path(temporary)
        images, masks = _write_images(folder, views)
        sensors, pictures = _known(views)
        colmap.create_database(folder, sensors, pictures)
        extract = partial(colmap.extract_features, folder, images, max_features=_MAX_FEATURES, masks=masks)
        jobs = [partial(extract, batch) for batch in colmap.in_batches(names, _BATCH)]
        jobs += [
            partial(colmap.match_pairs, folder, batch)
            for batch in colmap.in_batches(pairs, _BATCH * _PAIRING.partner_views)
        ]
        for done, job in enumerate(jobs, start=1):
            job()
            if progress is not None:
                progress(done, len(jobs))
        error = _MAX_ERROR * max(max(view.camera.width, view.camera.height) for view in views)
        points = colmap.triangulate_points(folder, images, sensors, pictures, max_error=error)
    agreed = points.views >= _MIN_VIEWS
    return points.xyz[agreed], points.colors[agreed] / 255.0


def _known(views: Sequence[View]) -> tuple[list[colmap.ColmapCamera], list[colmap.ColmapImage]]:
    """Return a sensor and an image with pose for each view."""
    sensors = [
        colmap.ColmapCamera("PINHOLE", (c.fx, c.fy, c.cx, c.cy), c.height, c.width, focal_known=True)
        for c in (view.camera for view in views)
    ]
    pictures = [colmap.ColmapImage(_file_name(i), i, view.T_cam_world) for i, view in enumerate(views)]
    return sensors, pictures


def _write_images(folder: Path, views: Sequence[View]) -> tuple[Path, Path]:
    """Write images and masks into a folder each."""
    images, masks = folder / "images", folder / "masks"
    images.mkdir()
    masks.mkdir()
    for i, view in enumerate(views):
        Image.fromarray(view.rgb).save(images / _file_name(i), compress_level=1)
        # With a folder of masks, COLMAP skips images without one.
        mask = np.ones(view.rgb.shape[:2], dtype=bool) if view.mask is None else view.mask
        Image.fromarray(mask).save(masks / f"{_file_name(i)}.png")
    return images, masks


def _file_name(index: int) -> str:
    return f"{index:06}.png"
