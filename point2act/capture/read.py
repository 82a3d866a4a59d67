"""transforms.json → Capture. Looks at every file's header, loads no pixels.

What is read, and which of a shared and a frame's own value wins, follows nerfstudio 1.1's
``nerfstudio_dataparser.py`` (the shared one), so that both see the same cameras.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.capture.images import depth_size, image_size
from point2act.errors import CaptureError
from point2act.files import read_json
from point2act.geometry import nearest_rotation, opengl_to_opencv
from point2act.types import Camera, Capture, Frame, Lens

# nerfstudio's names. All of the first row are one model with some coefficients left at zero.
_PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
_FISHEYE = ("OPENCV_FISHEYE",)
_OPENCV_ORDER = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
_FISHEYE_ORDER = ("k1", "k2", "k3", "k4")
_LIST_ORDER = ("k1", "k2", "k3", "k4", "p1", "p2")  # nerfstudio's "distortion_params"
_DISTORTION = ("distortion_params", *_OPENCV_ORDER)

_RIGID = 1e-3  # Poses printed with four digits pass; a scale or a shear does not.
_LISTED = 10


@dataclass(frozen=True)
class _Entry:
    """One frame of transforms.json with the values that all frames share."""

    shared: dict[str, Any]
    own: dict[str, Any]
    place: str

    def value(self, key: str) -> Any:
        return self.shared[key] if key in self.shared else self.own.get(key)

    def number(self, key: str) -> float | None:
        value = self.value(key)
        return None if value is None else _number(value, f"{self.place}: {key}")

    def path(self, folder: Path, key: str) -> Path | None:
        value = self.own.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise CaptureError(f"{self.place}: {key} is {value!r}: write the path of a file")
        return folder / value.replace("\\", "/")


def read_capture(folder: Path | str) -> Capture:
    """Read a capture: a folder with nerfstudio's ``transforms.json``, or the path of such a file.

    The world frame is the one of the ``transform_matrix`` entries; ``applied_transform`` and
    ``applied_scale`` (which tell how nerfstudio's own tools came to it) and the lists of training and
    test files change nothing. Frames keep the order of the file. Lengths count as metres where a frame
    has depth or the file says ``"metric": true``. Pixels are taken as stored: EXIF orientation is not
    applied, since the intrinsics are of the stored pixels.

    Raises :class:`CaptureError`, with one sentence on what to mend, for anything that would fail later:
    missing files (all of them at once), wrong sizes, poses that are not rigid, unknown camera models.
    """
    path = _transforms_path(Path(folder))
    document = read_json(path, CaptureError)
    if not isinstance(document, dict):
        raise CaptureError(f"{path} holds no JSON object: write one with 'frames', as nerfstudio does")
    entries = _entries(path, document)
    _check_files(path, document, entries)
    frames = tuple(_frame(entry, path.parent) for entry in entries)
    _check_names(path, frames)
    T_base_world = document.get("T_base_world")
    cloud = document.get("ply_file_path")
    return Capture(
        folder=path.parent,
        frames=frames,
        depth_unit=_positive(
            document.get("depth_unit_scale_factor", 1e-3), f"{path}: depth_unit_scale_factor"
        ),
        point_cloud_path=None if cloud is None else path.parent / cloud.replace("\\", "/"),
        T_base_world=None if T_base_world is None else _rigid(T_base_world, f"{path}: T_base_world"),
        metric=document.get("metric") is True or any(frame.depth_path for frame in frames),
    )


def _transforms_path(path: Path) -> Path:
    if path.is_dir():
        path = path / "transforms.json"
    if not path.is_file():
        raise CaptureError(
            f"there is no {path}: give a folder with nerfstudio's transforms.json, or its path"
        )
    return path


def _entries(path: Path, document: dict[str, Any]) -> list[_Entry]:
    frames = document.get("frames")
    if not isinstance(frames, list) or not frames:
        raise CaptureError(f"{path} lists no frames: write at least one entry under 'frames'")
    shared = {key: value for key, value in document.items() if key != "frames"}
    if shared.keys() & set(_DISTORTION):
        # nerfstudio takes the coefficients from one place or the other, never some from each.
        shared = dict.fromkeys(_DISTORTION) | shared
    entries = []
    for index, own in enumerate(frames):
        if not isinstance(own, dict) or not isinstance(own.get("file_path"), str) or not own["file_path"]:
            raise CaptureError(f"{path}: frame {index} has no 'file_path': write the path of its image")
        entries.append(_Entry(shared, own, f"{path}: frame {index} ({own['file_path']})"))
    return entries


def _check_files(path: Path, document: dict[str, Any], entries: list[_Entry]) -> None:
    """Raise one error that names every missing file (the first ten, and how many more)."""
    keys = ("file_path", "depth_file_path", "mask_path")
    files = [entry.path(path.parent, key) for entry in entries for key in keys]
    files.append(_Entry({}, document, str(path)).path(path.parent, "ply_file_path"))
    missing = list(dict.fromkeys(str(file) for file in files if file is not None and not file.is_file()))
    if len(missing) == 1:
        raise CaptureError(
            f"{path} names a file that does not exist, {missing[0]}: put it there or take its entry out"
        )
    if missing:
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise CaptureError(
            f"{path} names {len(missing)} files that do not exist, {', '.join(missing[:_LISTED])}{more}: "
            "put them there or take their entries out"
        )


def _check_names(path: Path, frames: tuple[Frame, ...]) -> None:
    image, count = Counter(frame.image_path for frame in frames).most_common(1)[0]
    if count > 1:
        raise CaptureError(f"{path} lists {image} {count} times: keep one frame an image")


def _frame(entry: _Entry, folder: Path) -> Frame:
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
    T_world_glcam = _rigid(entry.own.get("transform_matrix"), f"{entry.place}: transform_matrix")
    T_world_cam = opengl_to_opencv(T_world_glcam)
    name = entry.own["file_path"]
    return Frame(name, image_path, depth_path, mask_path, camera, _lens(entry, model), T_world_cam)


def _camera_model(entry: _Entry) -> str:
    model = entry.value("camera_model") or "OPENCV"
    if model not in _PERSPECTIVE + _FISHEYE:
        raise CaptureError(
            f"{entry.place}: the camera model {model!r} is not supported: use one of "
            f"{', '.join(_PERSPECTIVE + _FISHEYE)}, or undistort the images to PINHOLE first"
        )
    return model


def _camera(entry: _Entry, size: tuple[int, int]) -> Camera:
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


def _focal(entry: _Entry, key: str, angle_key: str, side: int) -> float | None:
    """A focal length in pixels, or from a field of view in radians (as Blender and instant-ngp write it)."""
    focal, angle = entry.number(key), entry.number(angle_key)
    if focal is not None:
        return _positive(focal, f"{entry.place}: {key}")
    if angle is None:
        return None
    if not 0 < angle < np.pi:
        raise CaptureError(f"{entry.place}: {angle_key} is {angle:g}: write radians between 0 and pi")
    return float(0.5 * side / np.tan(0.5 * angle))


def _lens(entry: _Entry, model: str) -> Lens:
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


def _rigid(rows: Any, place: str) -> Float[np.ndarray, "4 4"]:
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


def _positive(value: Any, place: str) -> float:
    number = _number(value, place)
    if number <= 0:
        raise CaptureError(f"{place} is {number:g}: write a number above zero")
    return number


def _size(height: int, width: int) -> str:
    return f"{width}x{height}"
