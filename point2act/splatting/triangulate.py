"""Points of the scene from photographs with known poses: features, matches, triangulation by COLMAP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float
from PIL import Image

from point2act.core.types import View
from point2act.data import colmap

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
    if not pairs:
        return np.zeros((0, 3)), np.zeros((0, 3))
    with TemporaryDirectory(prefix="point2act-") as temporary, colmap.quiet():
        folder = Path(temporary)
        images, masks = _write_pictures(folder, views)
        sensors, pictures = _known(views)
        colmap.register(folder, sensors, pictures)
        extract = partial(colmap.extract, folder, images, max_features=_MAX_FEATURES, masks=masks)
        jobs = [partial(extract, batch) for batch in colmap.batches(names, _BATCH)]
        jobs += [partial(colmap.match, folder, batch) for batch in colmap.batches(pairs, _BATCH * _PARTNERS)]
        for done, job in enumerate(jobs, start=1):
            job()
            if progress is not None:
                progress(done, len(jobs))
        error = _MAX_ERROR * max(max(view.camera.width, view.camera.height) for view in views)
        points = colmap.triangulate(folder, images, sensors, pictures, max_error=error)
    agreed = points.views >= _MIN_VIEWS
    return points.xyz[agreed], points.colors[agreed] / 255.0


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


def _known(views: Sequence[View]) -> tuple[list[colmap.Sensor], list[colmap.Picture]]:
    """A sensor for each view, and the view's pose."""
    sensors = [
        colmap.Sensor("PINHOLE", (c.fx, c.fy, c.cx, c.cy), c.height, c.width, focal_known=True)
        for c in (view.camera for view in views)
    ]
    pictures = [colmap.Picture(_file_name(i), i, view.T_cam_world) for i, view in enumerate(views)]
    return sensors, pictures


def _write_pictures(folder: Path, views: Sequence[View]) -> tuple[Path, Path]:
    """The images and the masks, in a folder each."""
    images, masks = folder / "images", folder / "masks"
    images.mkdir()
    masks.mkdir()
    for i, view in enumerate(views):
        Image.fromarray(view.rgb).save(images / _file_name(i), compress_level=1)
        # COLMAP leaves an image without a mask out as soon as there is a folder of masks.
        mask = np.ones(view.rgb.shape[:2], dtype=bool) if view.mask is None else view.mask
        Image.fromarray(mask).save(masks / f"{_file_name(i)}.png")
    return images, masks


def _file_name(index: int) -> str:
    return f"{index:06}.png"
