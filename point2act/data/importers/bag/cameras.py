"""Cameras of a bag: from camera_info, and where the depth camera is relative to the colour camera."""

from __future__ import annotations

from typing import Any

import numpy as np

from point2act.core.errors import CaptureError
from point2act.data.importers.bag.index import ImageTimes, Index
from point2act.data.importers.calibration import DepthCamera, DistortedCamera, read_sensor

_SAME = 0.1
"""Pixels by which the intrinsics of one camera may differ. Chosen."""


def camera_from_info(info: Any, place: str, *, rectified: bool) -> DistortedCamera:
    """Return the camera of a CameraInfo.

    Args:
        info: The message, of ROS 1 or 2.
        place: Its topic, for errors.
        rectified: Whether its images are rectified; then the projection P describes them, without a lens.

    Raises:
        CaptureError: The camera is not calibrated, its lens model is unknown, or the image is binned or cut.
    """
    K, D, P = (np.asarray(getattr(info, key, getattr(info, key.upper(), ()))) for key in "kdp")
    fx, fy, cx, cy = (P[0], P[5], P[2], P[6]) if rectified else (K[0], K[4], K[2], K[5])
    if info.binning_x > 1 or info.binning_y > 1 or info.roi.width not in (0, info.width):
        raise CaptureError(
            f"{place} describes images that are binned or cut out: record whole images, or describe the "
            "camera in a file for --calibration"
        )
    fields = {"width": info.width, "height": info.height, "fx": fx, "fy": fy, "ppx": cx, "ppy": cy}
    # Thin prisms and tilted sensors are beyond the eighth coefficient.
    lens = {"coeffs": [] if rectified else (D if D[8:].any() else D[:8]), "model": info.distortion_model}
    return read_sensor(fields | lens, place)


def recorded_camera(index: Index, info: str, images: ImageTimes) -> DistortedCamera:
    """Return the camera that the first message of a topic describes; raises as ``camera_from_info``."""
    if info not in index.infos:
        raise CaptureError(f"{info} has no message in this part of the bag: choose another --start and --end")
    return camera_from_info(index.infos[info], info, rectified="rect" in images.topic.split("/")[-1])


def find_depth_camera(
    index: Index, info: str | None, color: DistortedCamera, color_frame: str, size: tuple[int, int]
) -> DepthCamera | None:
    """Return the depth camera, None if depth is registered to the colours.

    Args:
        index: What the bag holds.
        info: Topic of the depth camera's CameraInfo, None if there is none.
        color: The colour camera.
        color_frame: Its frame in tf.
        size: Height and width of the depth images.

    Raises:
        CaptureError: Depth is not registered, and its camera or its pose is unknown.
    """
    depth = index.depth
    same_frame = index.color.frame == depth.frame
    if info is None:
        if same_frame and size == (color.camera.height, color.camera.width):
            return None
        raise CaptureError(
            f"{depth.topic} ({size[1]}x{size[0]}, {depth.frame}) is not registered to {index.color.topic} "
            f"({color.camera.width}x{color.camera.height}, {index.color.frame}) and has no camera_info: name "
            "it with --depth-info, or registered depth with --depth"
        )
    sensor = recorded_camera(index, info, depth)
    check_size(depth.topic, size, sensor)
    if same_frame:
        return None if _alike(sensor, color) else DepthCamera(sensor, np.eye(4))
    found = index.tree.poses(color_frame, depth.frame, np.array(index.color.stamps, dtype=np.int64))
    if not found.known.any():
        raise CaptureError(
            f"tf has no pose of {depth.frame}, the frame of {depth.topic}, at the time of the images: record "
            "it, or name registered depth with --depth"
        )
    return DepthCamera(sensor, found.matrices[found.known][0])


def check_size(place: str, size: tuple[int, int], camera: DistortedCamera) -> None:
    """Raise ``CaptureError`` if an image has not the size of its camera."""
    wanted = (camera.camera.height, camera.camera.width)
    if size != wanted:
        raise CaptureError(
            f"{place} is {size[1]}x{size[0]} pixels, and its camera {wanted[1]}x{wanted[0]}: name the "
            "camera_info that belongs to these images"
        )


def _alike(one: DistortedCamera, other: DistortedCamera) -> bool:
    """Return whether two cameras of one frame are the same."""
    a, b = one.camera, other.camera
    same_size = (a.height, a.width) == (b.height, b.width)
    return same_size and np.allclose(a.K, b.K, rtol=0, atol=_SAME) and one.lens == other.lens
