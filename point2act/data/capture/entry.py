"""Conversion of an entry of transforms.json to a frame, checked against the headers of its files.

As in nerfstudio 1.1's ``nerfstudio_dataparser.py``, a value shared by all frames precedes a frame's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from point2act.core.errors import CaptureError
from point2act.core.files import brief
from point2act.core.geometry import opengl_to_opencv
from point2act.core.types import Camera, Frame, Lens
from point2act.data.capture.images import depth_size, image_size
from point2act.data.capture.validators import file_name, finite, positive, rigid

# nerfstudio's names. The first row is one model with some coefficients at zero.
_PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
_FISHEYE = ("OPENCV_FISHEYE",)
_OPENCV_ORDER = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
_FISHEYE_ORDER = ("k1", "k2", "k3", "k4")
_LIST_ORDER = ("k1", "k2", "k3", "k4", "p1", "p2")  # nerfstudio's "distortion_params"
DISTORTION = ("distortion_params", *_OPENCV_ORDER)
FILES = ("file_path", "depth_file_path", "mask_path")
_INTRINSICS = ("camera_model", "fl_x", "fl_y", "camera_angle_x", "camera_angle_y", "cx", "cy", "w", "h")
_SHAREABLE = (*_INTRINSICS, *DISTORTION, "fisheye_crop_radius", "depth_unit_scale_factor")

# Focal lengths in image sides: fields of view from 0.06 to 179.9 degrees. Chosen, as are the two below.
_FOCAL_RANGE = (1e-3, 1e3)
# Largest principal point in image sides; a crop may lie beside it.
_MAX_CENTRE = 100
# Real distortion coefficients stay below 1000; the distortion models do not overflow below this.
_MAX_COEFFICIENT = 1e12


@dataclass(frozen=True)
class Entry:
    """One frame of transforms.json with the values shared by all frames."""

    shared: dict[str, Any]
    own: dict[str, Any]
    place: str

    def value(self, key: str) -> Any:
        """Return the shared value, else the frame's own, else None."""
        return self.shared[key] if key in self.shared else self.own.get(key)

    def number(self, key: str) -> float | None:
        """Return a finite number, or None if the key is absent."""
        value = self.value(key)
        return None if value is None else finite(value, f"{self.place}: {key}")

    def path(self, folder: Path, key: str) -> Path | None:
        """Return the path of one of the frame's files, or None if the key is absent."""
        value = self.own.get(key)
        return None if value is None else folder / file_name(value, f"{self.place}: {key}")

    def difference(self, other: Entry) -> str | None:
        """Return the first key in which another entry describes a different frame, None if there is none."""
        own = (key for key in (*FILES, "transform_matrix") if self.own.get(key) != other.own.get(key))
        both = (key for key in _SHAREABLE if self.value(key) != other.value(key))
        return next(own, None) or next(both, None)


def read_frame(entry: Entry, folder: Path) -> Frame:
    """Read the frame of an entry from the headers of its files in a folder.

    Raises ``CaptureError`` for wrong sizes, poses that are not rigid and unknown camera models.
    """
    image_path = entry.path(folder, "file_path")
    assert image_path is not None
    depth_path, mask_path = entry.path(folder, "depth_file_path"), entry.path(folder, "mask_path")
    model = _camera_model(entry)
    camera = _camera(entry, image_size(image_path))
    if depth_path is not None:
        _check_depth_size(depth_path, camera)
    if mask_path is not None and image_size(mask_path) != (camera.height, camera.width):
        raise CaptureError(
            f"{mask_path} is {_size(*image_size(mask_path))} pixels but its image is "
            f"{_size(camera.height, camera.width)}: make the mask as large as the image"
        )
    T_world_glcam = rigid(entry.own.get("transform_matrix"), f"{entry.place}: transform_matrix")
    T_world_cam = opengl_to_opencv(T_world_glcam)
    name = entry.own["file_path"]
    return Frame(name, image_path, depth_path, mask_path, camera, _lens(entry, model), T_world_cam)


def _camera_model(entry: Entry) -> str:
    model = entry.value("camera_model") or "OPENCV"
    if model not in _PERSPECTIVE + _FISHEYE:
        raise CaptureError(
            f"{entry.place}: the camera model {brief(model)} is not supported: use one of "
            f"{', '.join(_PERSPECTIVE + _FISHEYE)}, or undistort the images to PINHOLE first"
        )
    return model


def _camera(entry: Entry, size: tuple[int, int]) -> Camera:
    """Return the intrinsics; defaults are the image's size and centre, and ``fl_x`` for ``fl_y``."""
    height, width = size
    h, w = entry.number("h"), entry.number("w")
    given = (height if h is None else h, width if w is None else w)
    if tuple(map(round, given)) != size:
        raise CaptureError(
            f"{entry.place}: the image is {_size(*size)} pixels but w and h say {_size(*given)}: "
            "write the image's own size, and intrinsics for that size"
        )
    fx = _focal(entry, "fl_x", "camera_angle_x", width)
    if fx is None:
        raise CaptureError(f"{entry.place}: there is no fl_x: write the focal length in pixels")
    fy = _focal(entry, "fl_y", "camera_angle_y", height)
    return Camera(
        fx=fx,
        fy=fx if fy is None else fy,
        cx=_centre(entry, "cx", width),
        cy=_centre(entry, "cy", height),
        height=height,
        width=width,
    )


def _focal(entry: Entry, key: str, angle_key: str, side: int) -> float | None:
    """Return a focal length in pixels, or from a field of view in radians (Blender and instant-ngp)."""
    focal, angle = entry.number(key), entry.number(angle_key)
    if focal is None and angle is None:
        return None
    if focal is None:
        assert angle is not None
        if not 0 < angle < np.pi:
            raise CaptureError(f"{entry.place}: {angle_key} is {angle:g}: write radians between 0 and pi")
        key, focal = angle_key, float(0.5 * side / np.tan(0.5 * angle))
    place = f"{entry.place}: {key}"
    least, most = (limit * side for limit in _FOCAL_RANGE)
    if not least <= positive(focal, place) <= most:
        raise CaptureError(
            f"{place} makes a focal length of {focal:g} pixels for an image of {side}: write one between "
            f"{least:g} and {most:g}"
        )
    return focal


def _centre(entry: Entry, key: str, side: int) -> float:
    """Return one coordinate of the principal point, by default the image's centre."""
    centre = entry.number(key)
    if centre is None:
        return side / 2
    if abs(centre) > _MAX_CENTRE * side:
        raise CaptureError(
            f"{entry.place}: {key} is {centre:g} for an image of {side} pixels: write where the optical axis "
            "meets the image, in pixels"
        )
    return centre


def _lens(entry: Entry, model: str) -> Lens:
    values = {key: entry.number(key) or 0.0 for key in _OPENCV_ORDER}
    listed = entry.value("distortion_params")
    if listed is not None:
        if not isinstance(listed, list) or len(listed) > len(_LIST_ORDER):
            raise CaptureError(f"{entry.place}: distortion_params is not a list of {', '.join(_LIST_ORDER)}")
        place = f"{entry.place}: distortion_params"
        values |= {key: finite(value, place) for key, value in zip(_LIST_ORDER, listed, strict=False)}
    for key, value in values.items():
        if abs(value) > _MAX_COEFFICIENT:
            raise CaptureError(
                f"{entry.place}: {key} is {value:g}, too large for a lens: write the calibrated value or none"
            )
    if model in _FISHEYE:
        crop = entry.number("fisheye_crop_radius")
        if crop is not None:
            positive(crop, f"{entry.place}: fisheye_crop_radius")
        return Lens("fisheye", tuple(values[key] for key in _FISHEYE_ORDER), crop)
    coefficients = tuple(values[key] for key in _OPENCV_ORDER)
    return Lens("opencv", coefficients if any(coefficients) else ())


def _check_depth_size(path: Path, camera: Camera) -> None:
    """Check the shape of depth; its resolution may differ from the image's."""
    height, width = depth_size(path)
    if abs(width * camera.height - height * camera.width) > max(camera.height, camera.width):
        raise CaptureError(
            f"{path} is {_size(height, width)} pixels but its image is "
            f"{_size(camera.height, camera.width)}: register the depth to the image"
        )


def _size(height: float | int, width: float | int) -> str:
    return f"{width:.9g}x{height:.9g}"
