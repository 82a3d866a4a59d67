"""Reader of TUM RGB-D recordings: lists of images, depth and poses with their times."""

from __future__ import annotations

from pathlib import Path

from point2act.core.errors import CaptureError
from point2act.data.capture.images import image_size
from point2act.data.importers.calibration import Calibration, camera_from_intrinsics
from point2act.data.importers.pose_text import checked_pose, nearest_times, read_stamped, read_trajectory
from point2act.data.importers.recording import FilePairs, Recording, assemble

_TOLERANCE = 0.02
"""Largest time in seconds between a colour image and its depth or pose, as in the dataset's associate.py."""

_UNIT = 1 / 5000
"""Metres per unit of depth, https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats"""

_DEFAULT = (525.0, 525.0, 319.5, 239.5)
_FREIBURG3 = (535.4, 539.2, 320.1, 247.6)
"""Intrinsics from the same page: ROS' default, advised for depth registered to distorted colours, and the
calibration of freiburg3, whose images are undistorted."""


def read_tum(folder: Path, calibration: Calibration | None) -> Recording:
    """Read every colour image with the depth and the pose nearest in time."""
    times, names = read_stamped(folder / "rgb.txt")
    depth_times, depth_names = read_stamped(folder / "depth.txt")
    pose_times, T_world_cams = read_trajectory(folder / "groundtruth.txt")
    if not names:
        raise CaptureError(f"{folder / 'rgb.txt'} lists no images: write lines of a time and a file's name")
    color = {Path(name).stem: folder / name for name in names}
    if len(color) < len(names):
        raise CaptureError(f"{folder / 'rgb.txt'} names an image twice: keep one line for each")
    matched = zip(color, nearest_times(times, depth_times, _TOLERANCE), strict=True)
    depth = {stem: folder / depth_names[index] for stem, index in matched if index is not None}
    place = str(folder / "groundtruth.txt")
    poses = {
        stem: None if index is None else checked_pose(T_world_cams[index], place)
        for stem, index in zip(color, nearest_times(times, pose_times, _TOLERANCE), strict=True)
    }
    notes = ()
    if calibration is None:
        calibration, notes = _published(folder, next(iter(color.values())))
    found = assemble(folder, FilePairs(color, depth), poses, calibration, _UNIT)
    return Recording(found.frames, found.depth_camera, found.notes + notes)


def _published(folder: Path, image: Path) -> tuple[Calibration, tuple[str, ...]]:
    """Return the dataset's intrinsics, for images of its size."""
    if image_size(image) != (480, 640):
        raise CaptureError(
            f"{image} is not 640x480 pixels, for which TUM RGB-D publishes intrinsics: describe your camera "
            "in a file for --camera"
        )
    third = "freiburg3" in folder.resolve().name
    K = _FREIBURG3 if third else _DEFAULT
    note = (
        f"intrinsics are TUM's for {'freiburg3' if third else 'registered depth'}: fx {K[0]:g}, fy {K[1]:g}"
    )
    return Calibration(camera_from_intrinsics(K, (480, 640)), depth_unit=_UNIT), (note,)
