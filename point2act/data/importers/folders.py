"""Readers of recordings with a file per image, depth and pose: 7-Scenes, ScanNet and plain folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from point2act.core.errors import CaptureError
from point2act.data.capture.images import depth_size, image_size
from point2act.data.capture.validators import positive
from point2act.data.importers.calibration import (
    Calibration,
    DepthCamera,
    DistortedCamera,
    camera_from_intrinsics,
    read_calibration,
)
from point2act.data.importers.pose_text import read_matrix, read_pose, read_poses
from point2act.data.importers.recording import FilePairs, Poses, Recording, assemble

CAMERA_FILES = ("camera.json", "intrinsics.json", "camera_intrinsic.json")
"""File names for the cameras of a plain recording; the last one is Open3D's."""

COLORS = (".png", ".jpg", ".jpeg")
DEPTHS = (".png", ".npy")

_SEVEN_SCENES = ((525.0, 525.0, 320.0, 240.0), (585.0, 585.0, 320.0, 240.0))
"""Nominal intrinsics of colour and depth: OpenNI's for the Kinect's colour camera, and those that the dataset
publishes for its depth camera (https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes)."""


def read_seven_scenes(folder: Path, calibration: Calibration | None) -> Recording:
    """Read ``frame-000000.color.png``, ``.depth.png`` and ``.pose.txt`` (camera to world)."""
    color = named_files(folder, COLORS, ".color")
    depth = named_files(folder, DEPTHS, ".depth")
    poses = {stem: read_pose(path) for stem, path in named_files(folder, (".txt",), ".pose").items()}
    notes = ()
    if calibration is None:
        K_color, K_depth = _SEVEN_SCENES
        beside = DepthCamera(camera_from_intrinsics(K_depth, (480, 640)), np.eye(4))
        calibration = Calibration(camera_from_intrinsics(K_color, (480, 640)), beside)
        notes = ("intrinsics are nominal: fx 525 for colours, 585 for depth, no distance between the two",)
    found = assemble(folder, FilePairs(color, depth), poses, calibration)
    return Recording(found.frames, found.depth_camera, found.notes + notes)


def read_scannet(folder: Path, calibration: Calibration | None) -> Recording:
    """Read ``color/0.jpg``, ``depth/0.png``, ``pose/0.txt`` and ``intrinsic/``, exported by SensReader."""
    files = FilePairs(named_files(folder / "color", COLORS), named_files(folder / "depth", DEPTHS))
    if calibration is None:
        calibration = _scannet_cameras(folder / "intrinsic", files)
    return assemble(folder, files, _pose_files(folder / "pose"), calibration)


def read_plain(folder: Path, calibration: Calibration | None) -> Recording:
    """Read ``color/`` (or ``rgb/``), ``depth/``, ``pose/*.txt`` or ``poses.txt``, and ``camera.json``."""
    files = _plain_files(folder)
    poses = _pose_files(folder / "pose") if (folder / "pose").is_dir() else _listed_poses(folder, files)
    return assemble(folder, files, poses, calibration or _described_cameras(folder))


def read_unposed(folder: Path, calibration: Calibration | None = None) -> Recording:
    """Read ``color/`` (or ``rgb/``), ``depth/`` and ``camera.json``; the pose of every frame is the identity.

    Args:
        folder: Folder of the recording.
        calibration: Cameras in place of those that the folder describes.

    Raises:
        CaptureError: A file is missing or invalid, or no image has depth.
    """
    files = _plain_files(folder)
    poses = dict.fromkeys(files.color, np.eye(4))
    return assemble(folder, files, poses, calibration or _described_cameras(folder))


def _plain_files(folder: Path) -> FilePairs:
    images = next((folder / name for name in ("color", "rgb") if (folder / name).is_dir()), folder / "color")
    return FilePairs(named_files(images, COLORS), named_files(folder / "depth", DEPTHS))


def _described_cameras(folder: Path) -> Calibration:
    described = next((folder / name for name in CAMERA_FILES if (folder / name).is_file()), None)
    if described is None:
        raise CaptureError(
            f"{folder} has none of {', '.join(CAMERA_FILES)}: write the camera's width, height, fx, fy, "
            "ppx, ppy and coeffs into one, or name such a file with --camera"
        )
    return read_calibration(described)


def _scannet_cameras(folder: Path, files: FilePairs) -> Calibration:
    for name in ("extrinsic_color.txt", "extrinsic_depth.txt"):
        if (folder / name).is_file() and not np.allclose(read_matrix(folder / name), np.eye(4), atol=1e-6):
            raise CaptureError(
                f"{folder / name} is not the identity, as in ScanNet: describe both cameras in a file "
                "for --camera"
            )
    if not files.color or not files.depth:
        raise CaptureError(
            f"{folder.parent} has no images in color/ or in depth/: export both from the .sens"
        )
    color = _scannet_sensor(folder / "intrinsic_color.txt", image_size(next(iter(files.color.values()))))
    depth = _scannet_sensor(folder / "intrinsic_depth.txt", depth_size(next(iter(files.depth.values()))))
    return Calibration(color, DepthCamera(depth, np.eye(4)))


def _scannet_sensor(path: Path, size: tuple[int, int]) -> DistortedCamera:
    K = read_matrix(path)
    focal = [positive(K[i, i], f"{path}: the focal length") for i in (0, 1)]
    return camera_from_intrinsics((*focal, float(K[0, 2]), float(K[1, 2])), size)


def _pose_files(folder: Path) -> Poses:
    return {stem: read_pose(path) for stem, path in named_files(folder, (".txt",)).items()}


def _listed_poses(folder: Path, files: FilePairs) -> Poses:
    """Read the poses of poses.txt, one per colour image in order."""
    path = folder / "poses.txt"
    poses = read_poses(path)
    if len(poses) != len(files.color):
        raise CaptureError(
            f"{path} has {len(poses)} poses for {len(files.color)} colour images: write one for each, in the "
            "order of their names (nan where there is none)"
        )
    return dict(zip(files.color, poses, strict=True))


def named_files(folder: Path, suffixes: Sequence[str], ending: str = "") -> dict[str, Path]:
    """Return the files of a folder by stem without ``ending``, numbers in numeric order."""
    if not folder.is_dir():
        raise CaptureError(
            f"there is no folder {folder}: rename the files, or name the layout it with --layout"
        )
    found = {
        path.stem.removesuffix(ending): path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in suffixes and path.stem.endswith(ending) and not path.name.startswith(".")
    }
    return dict(sorted(found.items(), key=lambda item: (len(item[0]) if item[0].isdecimal() else 0, item[0])))
