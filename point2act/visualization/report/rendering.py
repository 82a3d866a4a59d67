"""Jinja environment of the report's templates, and the text formats that they use."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float, UInt8
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from scipy.spatial.transform import Rotation

from point2act.visualization.drawing import encode_film
from point2act.visualization.headlines import agreement, count

_LONGEST_SIDE = 560
"""Longest side of an embedded picture in pixels: sharp at twice its usual width on the page."""


def render(template: str, **values: object) -> Markup:
    """Fill in a template of the folder ``templates``; text is escaped, ``Markup`` is not."""
    return Markup(_environment().get_template(template).render(**values).strip() + "\n")


def asset(name: str) -> Markup:
    """Return the text of a style sheet or a script beside this module."""
    return Markup(files("point2act.visualization.report").joinpath(name).read_text(encoding="utf-8"))


def duration(seconds: float) -> str:
    """Format a duration as minutes and seconds, seconds, or milliseconds."""
    if seconds >= 60:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    return f"{seconds:.1f} s" if seconds >= 0.95 else f"{1000 * seconds:.0f} ms"


def _distance(value: float, metric: bool, digits: int = 0) -> str:
    """Format a small length in millimetres, or in the capture's own unit."""
    return f"{1000 * value:.{digits}f} mm" if metric else f"{value:.{digits + 3}f}"


def _numbers(vector: Float[np.ndarray, " n"], digits: int) -> str:
    """Format the numbers of a vector, without a negative zero."""
    return ", ".join(f"{x:.{digits}f}" for x in np.round(vector, digits) + 0.0)


def _matrix(T: Float[np.ndarray, "4 4"]) -> str:
    """Format a transform as JSON, as in grasps.json."""
    return json.dumps(np.round(T, 6).tolist())


def _position_quaternion(T: Float[np.ndarray, "4 4"]) -> str:
    """Format a transform as JSON lists of its position and its quaternion, wxyz."""
    x, y, z, w = Rotation.from_matrix(T[:3, :3]).as_quat()
    return json.dumps([np.round(T[:3, 3], 6).tolist(), np.round([w, x, y, z], 6).tolist()])


def _ros_pose(T: Float[np.ndarray, "4 4"]) -> str:
    """Format a transform as a geometry_msgs/Pose, in the YAML that ``ros2 topic pub`` takes."""
    position = zip("xyz", T[:3, 3], strict=True)
    orientation = zip("xyzw", Rotation.from_matrix(T[:3, :3]).as_quat(), strict=True)
    parts = [", ".join(f"{name}: {value:.6f}" for name, value in pairs) for pairs in (position, orientation)]
    return f"{{position: {{{parts[0]}}}, orientation: {{{parts[1]}}}}}"


def _data_uri(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """Encode a picture as a JPEG with colours at full resolution, so that thin marks stay clean."""
    picture = Image.fromarray(image)
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", quality=85, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _film_uri(images: Sequence[UInt8[np.ndarray, "h w 3"]], rate: float) -> str:
    """Encode pictures as an animated WebP that repeats."""
    return f"data:image/webp;base64,{base64.b64encode(encode_film(images, rate)).decode('ascii')}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("point2act.visualization.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "agreement": agreement,
        "count": count,
        "data_uri": _data_uri,
        "distance": _distance,
        "film_uri": _film_uri,
        "matrix": _matrix,
        "numbers": _numbers,
        "position_quaternion": _position_quaternion,
        "ros_pose": _ros_pose,
        "seconds": duration,
        "zip": zip,
    }
    return environment
