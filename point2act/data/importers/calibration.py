"""Cameras of RGB-D recordings, and the JSON files that describe them.

The centre of the first pixel is 0 in OpenCV, librealsense, ROS and the datasets, and 0.5 here;
``camera_from_intrinsics`` converts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.files import brief, read_json
from point2act.core.geometry import pixel_centers, to_tangents, transform
from point2act.core.types import Camera, Lens
from point2act.data.capture import distortion as lenses
from point2act.data.capture.validators import positive, rigid

_OPENCV = ("brown_conrady", "plumb_bob", "rational_polynomial", "opencv")
_FISHEYE = ("kannala_brandt4", "equidistant", "opencv_fisheye")
_INVERSE = "inverse_brown_conrady"

_LARGEST_UNIT = 0.01
"""Largest depth unit in metres. RealSense cameras have 0.0001 to 0.001; BOP's 0.1 and 1 are millimetres."""


@dataclass(frozen=True, eq=False)
class DistortedCamera:
    """A camera with lens distortion."""

    camera: Camera
    lens: Lens = field(default_factory=Lens)


@dataclass(frozen=True, eq=False)
class DepthCamera:
    """A depth camera and its pose relative to the colour camera."""

    sensor: DistortedCamera
    T_color_depth: Float[np.ndarray, "4 4"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Both cameras of a recording."""

    color: DistortedCamera
    depth: DepthCamera | None = None
    """None if depth is registered to the colours."""
    depth_unit: float | None = None
    """Metres per unit of the depth files; None for the default of the layout."""


def camera_from_intrinsics(
    K: Sequence[float], size: tuple[int, int], lens: Lens | None = None
) -> DistortedCamera:
    """Make a camera from ``(fx, fy, cx, cy)`` with the centre of the first pixel at 0."""
    fx, fy, cx, cy = (float(value) for value in K)
    return DistortedCamera(Camera(fx, fy, cx + 0.5, cy + 0.5, *size), lens or Lens())


def read_calibration(path: Path, *, size: tuple[int, int] | None = None) -> Calibration:
    """Read a JSON file with the fields of librealsense's intrinsics.

    A single camera has ``width``, ``height``, ``fx``, ``fy``, ``ppx``, ``ppy`` (or ``cx``, ``cy``; or
    Open3D's column-major ``intrinsic_matrix``), and ``coeffs`` with their ``model`` for lens distortion. Two
    cameras are under ``color`` and ``depth``, with ``depth_to_color``: column-major ``rotation`` and
    ``translation`` in metres. ``depth_scale`` is in metres. ``size`` is the height and width of a single
    camera's image where the file has none. Raises ``CaptureError``, naming the field, for invalid values.
    """
    document = read_json(path, CaptureError)
    if not isinstance(document, dict):
        raise CaptureError(f"{path} holds no JSON object: write one with width, height, fx, fy, ppx and ppy")
    unit = _unit(document.get("depth_scale"), f"{path}: depth_scale")
    if size is not None and "color" not in document:
        document = {"height": size[0], "width": size[1]} | document
    color = read_sensor(
        document.get("color", document), f"{path}: color" if "color" in document else str(path)
    )
    if "depth" not in document:
        return Calibration(color, depth_unit=unit)
    T_color_depth = _extrinsics(document.get("depth_to_color"), f"{path}: depth_to_color")
    depth = DepthCamera(read_sensor(document["depth"], f"{path}: depth"), T_color_depth)
    return Calibration(color, depth, unit)


def _unit(value: Any, place: str) -> float | None:
    if value is not None and positive(value, place) > _LARGEST_UNIT:
        raise CaptureError(f"{place} is {value}: write metres for one unit, 0.001 for millimetres")
    return None if value is None else positive(value, place)


def read_sensor(fields: Any, place: str) -> DistortedCamera:
    """Return the camera that librealsense's fields describe; ``place`` is their name in an error."""
    if not isinstance(fields, dict):
        raise CaptureError(f"{place} is not a JSON object: write width, height, fx, fy, ppx and ppy")
    if "intrinsic_matrix" in fields:
        numbers = _numbers(fields["intrinsic_matrix"], 9, f"{place}: intrinsic_matrix")
        fields = fields | {"fx": numbers[0], "fy": numbers[4], "cx": numbers[6], "cy": numbers[7]}
    names = ("fx", "fy", "ppx" if "ppx" in fields else "cx", "ppy" if "ppy" in fields else "cy")
    missing = [name for name in ("width", "height", *names) if name not in fields]
    if missing:
        raise CaptureError(f"{place} has no {', '.join(missing)}: write the camera's intrinsics in pixels")
    height, width = (round(positive(fields[key], f"{place}: {key}")) for key in ("height", "width"))
    found = camera_from_intrinsics(
        [positive(fields[name], f"{place}: {name}") for name in names], (height, width)
    )
    return DistortedCamera(found.camera, _lens(fields, found.camera, place))


def _lens(fields: dict[str, Any], camera: Camera, place: str) -> Lens:
    listed = fields.get("coeffs", [])
    coefficients = _numbers(listed, None, f"{place}: coeffs")
    # pyrealsense2 prints "distortion.brown_conrady", its tools "Brown Conrady".
    model = str(fields.get("model", "opencv")).lower().replace(" ", "_").split(".")[-1]
    if not any(coefficients):
        return Lens()
    if model in _FISHEYE:
        return Lens("fisheye", coefficients[:4])
    if model == _INVERSE:
        return inverse_lens(Lens("opencv", coefficients), camera)
    if model in _OPENCV and len(coefficients) <= 8:
        return Lens("opencv", coefficients)
    raise CaptureError(
        f"{place}: the lens model {model!r} with {len(coefficients)} coeffs is not supported: use one of "
        f"{', '.join((*_OPENCV, _INVERSE, *_FISHEYE))}, or undistort the images"
    )


def inverse_lens(backwards: Lens, camera: Camera) -> Lens:
    """Fit the lens that inverts another one over an image by least squares.

    librealsense's "inverse Brown-Conrady" applies Brown's polynomial to the distorted pixels, where OpenCV
    applies it to the rays. The polynomial is linear in its coefficients (k1, k2, p1, p2, k3).
    """
    # Chosen: every twentieth of a side constrains five numbers well.
    steps = np.linspace(0, 1, 21)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) * [camera.width, camera.height]
    pixels = to_tangents(camera, grid)
    rays = lenses.distort(backwards, pixels)
    x, y = rays.T
    r2 = x * x + y * y
    columns_x = np.stack([x * r2, x * r2**2, 2 * x * y, r2 + 2 * x * x, x * r2**3], axis=1)
    columns_y = np.stack([y * r2, y * r2**2, r2 + 2 * y * y, 2 * x * y, y * r2**3], axis=1)
    found, *_ = np.linalg.lstsq(
        np.concatenate([columns_x, columns_y]), (pixels - rays).T.reshape(-1), rcond=None
    )
    return Lens("opencv", tuple(float(value) for value in found))


def ray_directions(sensor: DistortedCamera) -> Float[np.ndarray, "h w 2"]:
    """Return the ray directions ``(x/z, y/z)`` of all pixels."""
    camera = sensor.camera
    pixels = pixel_centers(camera.height, camera.width)
    return lenses.ray_tangents(camera, sensor.lens, pixels.reshape(-1, 2)).reshape(pixels.shape)


def _extrinsics(fields: Any, place: str) -> Float[np.ndarray, "4 4"]:
    if not isinstance(fields, dict):
        raise CaptureError(f"{place} is missing: write the rotation and translation from depth to colour")
    rotation = np.reshape(_numbers(fields.get("rotation"), 9, f"{place}: rotation"), (3, 3)).T
    translation = np.array(_numbers(fields.get("translation"), 3, f"{place}: translation"))
    return rigid(transform(rotation, translation), place)


def _numbers(values: Any, count: int | None, place: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        numbers = (np.nan,)
    if not np.isfinite(numbers).all() or count not in (None, len(numbers)):
        raise CaptureError(f"{place} is {brief(values)}: write a list of {count or 'finite'} numbers")
    return numbers
