"""One entry of transforms.json → Frame: files and calibration, checked against the files' headers.

What is read, and which of a shared and a frame's own value wins, follows nerfstudio 1.1's
``nerfstudio_dataparser.py`` (the shared one), so that both see the same cameras.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.capture.images import depth_size, image_size
from point2act.errors import CaptureError
from point2act.geometry import nearest_rotation, opengl_to_opencv
from point2act.types import Camera, Frame, Lens

# nerfstudio's names. All of the first row are one model with some coefficients left at zero.
_PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
_FISHEYE = ("OPENCV_FISHEYE",)
_OPENCV_ORDER = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
_FISHEYE_ORDER = ("k1", "k2", "k3", "k4")
_LIST_ORDER = ("k1", "k2", "k3", "k4", "p1", "p2")  # nerfstudio's "distortion_params"
DISTORTION = ("distortion_params", *_OPENCV_ORDER)
FILES = ("file_path", "depth_file_path", "mask_path")
# With these, all that a frame is made of.
_INTRINSICS = ("camera_model", "fl_x", "fl_y", "camera_angle_x", "camera_angle_y", "cx", "cy", "w", "h")
_SHAREABLE = (*_INTRINSICS, *DISTORTION, "fisheye_crop_radius", "depth_unit_scale_factor")

_RIGID = 1e-3  # Poses printed with four digits pass; a scale or a shear does not.


@dataclass(frozen=True)
class Entry:
    """One frame of transforms.json with the values that all frames share."""

    shared: dict[str, Any]
    own: dict[str, Any]
    place: str

    def value(self, key: str) -> Any:
        """The value that counts: the shared one, else the frame's own, else None."""
        return self.shared[key] if key in self.shared else self.own.get(key)

    def number(self, key: str) -> float | None:
        """A value that has to be a finite number, or None where there is none."""
        value = self.value(key)
        return None if value is None else _number(value, f"{self.place}: {key}")

    def path(self, folder: Path, key: str) -> Path | None:
        """A file of the frame's own, or None where there is none."""
        value = self.own.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise CaptureError(f"{self.place}: {key} is {value!r}: write the path of a file")
        return folder / value.replace("\\", "/")

    def difference(self, other: Entry) -> str | None:
        """The first key that would make another frame of the other entry; None where there is none."""
        own = (key for key in (*FILES, "transform_matrix") if self.own.get(key) != other.own.get(key))
        both = (key for key in _SHAREABLE if self.value(key) != other.value(key))
        return next(own, None) or next(both, None)


def read_frame(entry: Entry, folder: Path) -> Frame:
    """The frame of an entry whose files lie in a folder. Reads their headers, no pixels.

    Raises :class:`CaptureError` for wrong sizes, poses that are not rigid and unknown camera models.
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
            f"{entry.place}: the camera model {model!r} is not supported: use one of "
            f"{', '.join(_PERSPECTIVE + _FISHEYE)}, or undistort the images to PINHOLE first"
        )
    return model


def _camera(entry: Entry, size: tuple[int, int]) -> Camera:
    """Intrinsics; left out, ``w, h`` are the image's, ``cx, cy`` its centre and ``fl_y`` is ``fl_x``."""
    height, width = size
    h, w = entry.number("h"), entry.number("w")
    said = (height if h is None else round(h), width if w is None else round(w))
    if said != size:
        raise CaptureError(
            f"{entry.place}: the image is {_size(*size)} pixels but w and h say {_size(*said)}: "
            "write the image's own size, and intrinsics for that size"
        )
    fx = _focal(entry, "fl_x", "camera_angle_x", width)
    if fx is None:
        raise CaptureError(f"{entry.place}: there is no fl_x: write the focal length in pixels")
    fy = _focal(entry, "fl_y", "camera_angle_y", height)
    cx, cy = entry.number("cx"), entry.number("cy")
    return Camera(
        fx=fx,
        fy=fx if fy is None else fy,
        cx=width / 2 if cx is None else cx,
        cy=height / 2 if cy is None else cy,
        height=height,
        width=width,
    )


def _focal(entry: Entry, key: str, angle_key: str, side: int) -> float | None:
    """A focal length in pixels, or from a field of view in radians (as Blender and instant-ngp write it)."""
    focal, angle = entry.number(key), entry.number(angle_key)
    if focal is not None:
        return positive(focal, f"{entry.place}: {key}")
    if angle is None:
        return None
    if not 0 < angle < np.pi:
        raise CaptureError(f"{entry.place}: {angle_key} is {angle:g}: write radians between 0 and pi")
    return float(0.5 * side / np.tan(0.5 * angle))


def _lens(entry: Entry, model: str) -> Lens:
    values = {key: entry.number(key) or 0.0 for key in _OPENCV_ORDER}
    listed = entry.value("distortion_params")
    if listed is not None:
        if not isinstance(listed, list) or len(listed) > len(_LIST_ORDER):
            raise CaptureError(f"{entry.place}: distortion_params is not a list of {', '.join(_LIST_ORDER)}")
        place = f"{entry.place}: distortion_params"
        values |= {key: _number(value, place) for key, value in zip(_LIST_ORDER, listed, strict=False)}
    if model in _FISHEYE:
        crop = entry.number("fisheye_crop_radius")
        return Lens("fisheye", tuple(values[key] for key in _FISHEYE_ORDER), crop)
    coefficients = tuple(values[key] for key in _OPENCV_ORDER)
    return Lens("opencv", coefficients if any(coefficients) else ())


def _check_depth_size(path: Path, camera: Camera) -> None:
    """Depth may have another resolution than the image (nerfstudio resizes it), not another shape."""
    height, width = depth_size(path)
    if abs(width * camera.height - height * camera.width) > max(camera.height, camera.width):
        raise CaptureError(
            f"{path} is {_size(height, width)} pixels but its image is "
            f"{_size(camera.height, camera.width)}: register the depth to the image"
        )


def rigid(rows: Any, place: str) -> Float[np.ndarray, "4 4"]:
    """A 4x4 (or 3x4) matrix, checked to be a rotation and a translation, its rotation made exact."""
    mend = "write a rigid 4x4 camera-to-world matrix" if "matrix" in place else "write a rigid 4x4 matrix"
    try:
        matrix = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape not in ((4, 4), (3, 4)):
        raise CaptureError(f"{place} is not four rows of four numbers: {mend}")
    if not np.isfinite(matrix).all():
        raise CaptureError(f"{place} holds a number that is not finite: {mend}")
    rotation = matrix[:3, :3]
    if np.linalg.matrix_rank(rotation) < 3:
        raise CaptureError(f"{place} is singular: {mend}")
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > _RIGID or np.linalg.det(rotation) < 0:
        raise CaptureError(f"{place} is not rigid, it scales, shears or mirrors: {mend}")
    if len(matrix) == 4 and np.abs(matrix[3] - [0, 0, 0, 1]).max() > _RIGID:
        raise CaptureError(f"{place} does not end with the row 0 0 0 1: {mend}")
    T_a_b = np.eye(4)
    T_a_b[:3, :3] = nearest_rotation(rotation)
    T_a_b[:3, 3] = matrix[:3, 3]
    return T_a_b


def _number(value: Any, place: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise CaptureError(f"{place} is {value!r}: write a finite number")
    return number


def positive(value: Any, place: str) -> float:
    """A number above zero; ``place`` is what an error calls it."""
    number = _number(value, place)
    if number <= 0:
        raise CaptureError(f"{place} is {number:g}: write a number above zero")
    return number


def _size(height: int, width: int) -> str:
    return f"{width}x{height}"
