"""Points of the scene from photographs with known poses: features, matches, triangulation by COLMAP.

The poses are taken as they are; only points are sought. Pixels are continuous with centres at one half
here as in COLMAP, so nothing is shifted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pycolmap
from jaxtyping import Float
from PIL import Image

from point2act.geometry import invert
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
"""Views, or views' pairs, that COLMAP works on between two reports of progress."""

_SEED = 0


def triangulate(
    views: Sequence[View], *, progress: Callable[[int, int], None] | None = None
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """World points of SIFT features that three or more views agree on, and their colours in [0, 1].

    Views are undistorted; their poses are taken as they are. Masked pixels are left out. There may be no
    points at all: too few views, too little texture, wrong poses. COLMAP (Schönberger and Frahm 2016)
    finds, matches, verifies and triangulates the features.
    """
    pairs = neighbouring_pairs(views)
    jobs = [*_batches(range(len(views)), _BATCH), *_batches(pairs, _BATCH * _PARTNERS)]
    with TemporaryDirectory(prefix="point2act-") as name, _quiet():
        folder = Path(name)
        import time
        t=time.time()
        _write(folder, views)
        print("write", time.time()-t); t=time.time()
        E=pycolmap.FeatureExtractionOptions(use_gpu=False); E.sift.max_num_features=_MAX_FEATURES
        pycolmap.extract_features(folder/"db", folder/"images", camera_mode=pycolmap.CameraMode.PER_IMAGE,
           reader_options=pycolmap.ImageReaderOptions(mask_path=folder/"masks"), extraction_options=E, device=pycolmap.Device.cpu)
        print("extract", time.time()-t); t=time.time()
        (folder/"pairs.txt").write_text("".join(f"{_name(i)} {_name(j)}\n" for i,j in pairs))
        V=pycolmap.TwoViewGeometryOptions(); V.ransac.random_seed=0
        M=pycolmap.FeatureMatchingOptions(use_gpu=False)
        import os
        M.sift.cpu_brute_force_matcher=bool(int(os.environ.get("BF","0")))
        M.guided_matching=bool(int(os.environ.get("GUIDED","0")))
        pycolmap.match_image_pairs(folder/"db", matching_options=M, pairing_options=pycolmap.ImportedPairingOptions(match_list_path=folder/"pairs.txt"), verification_options=V, device=pycolmap.Device.cpu)
        print("match", time.time()-t, len(pairs)); t=time.time()
        R=pycolmap.Reconstruction()
        for i,view in enumerate(views):
            c=view.camera
            R.add_camera_with_trivial_rig(pycolmap.Camera(camera_id=i+1,model="PINHOLE",width=c.width,height=c.height,params=[c.fx,c.fy,c.cx,c.cy]))
            R.add_image_with_trivial_frame(pycolmap.Image(name=_name(i), camera_id=i+1,image_id=i+1), pycolmap.Rigid3d(invert(view.T_world_cam)[:3]))
        O=pycolmap.IncrementalPipelineOptions(random_seed=0)
        R=pycolmap.triangulate_points(R, folder/"db", folder/"images", folder, options=O)
        print("tri", time.time()-t); t=time.time()
        print(R.summary())
    P=R.points3D.values()
    P=[p for p in P if p.track.length()>=3]
    return np.array([p.xyz for p in P]), np.array([p.color for p in P])/255


def _name(i): return f"{i:06}.png"

def _write(folder, views):
    (folder/"images").mkdir(); (folder/"masks").mkdir()
    for i, view in enumerate(views):
        Image.fromarray(view.rgb).save(folder/"images"/_name(i), compress_level=1)
        m = np.ones(view.rgb.shape[:2],bool) if view.mask is None else view.mask
        Image.fromarray(m).save(folder/"masks"/(_name(i)+".png"))
        c=view.camera
        pycolmap.import_images(folder/"db", folder/"images", pycolmap.CameraMode.PER_IMAGE,image_names=[_name(i)],
           options=pycolmap.ImageReaderOptions(camera_model="PINHOLE", camera_params=f"{c.fx},{c.fy},{c.cx},{c.cy}"))


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

def _batches(items, size):
    return [items[i:i+size] for i in range(0,len(items),size)]

@contextmanager
def _quiet():
    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = pycolmap.logging.ERROR.value if hasattr(pycolmap.logging.ERROR,"value") else 2
    try: yield
    finally: pycolmap.logging.minloglevel = level
