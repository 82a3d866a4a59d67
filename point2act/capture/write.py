"""Views → a capture folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from point2act.errors import CaptureError
from point2act.files import write_bytes, write_json
from point2act.geometry import opengl_to_opencv
from point2act.ply import write_ply
from point2act.types import View

_UNIT = 1e-3  # Millimetres, nerfstudio's default.


def write_capture(
    folder: Path | str,
    views: Sequence[View],
    *,
    point_cloud: tuple[Float[np.ndarray, "n 3"], UInt8[np.ndarray, "n 3"]] | None = None,
    T_base_world: Float[np.ndarray, "4 4"] | None = None,
) -> None:
    """Write views as a capture that :func:`read_capture` and nerfstudio read.

    Images become PNG files under the views' own names (with the suffix ``.png``), depth 16-bit PNG in
    millimetres in ``depth/`` (beyond 65 m: no reading), masks PNG in ``masks/``, the cloud
    ``(points, colors)`` a ``points.ply``. ``transforms.json`` goes first if there is an old one and
    comes last: a folder with one is whole.

    Raises :class:`CaptureError` for names that leave the folder or that two views share.
    """
    folder = Path(folder)
    names = [_image_name(view) for view in views]
    twice = [stem for stem, count in Counter(name.stem for name in names).items() if count > 1]
    if not views or twice:
        raise CaptureError(
            f"{folder} cannot be written: {len(views)} views, {twice} named twice; name each view once"
        )
    (folder / "transforms.json").unlink(missing_ok=True)
    document: dict[str, Any] = {"camera_model": "PINHOLE", "depth_unit_scale_factor": _UNIT}
    if T_base_world is not None:
        document["T_base_world"] = T_base_world.tolist()
    if point_cloud is not None:
        _write_cloud(folder / "points.ply", *point_cloud)
        document["ply_file_path"] = "points.ply"
    document["frames"] = [_write_view(folder, view, name) for view, name in zip(views, names, strict=True)]
    write_json(folder / "transforms.json", document)


def _image_name(view: View) -> PurePosixPath:
    name = PurePosixPath(view.name.replace("\\", "/")).with_suffix(".png")
    if name.is_absolute() or ".." in name.parts:
        raise CaptureError(f"the view name '{view.name}' leaves the capture's folder: use a name within it")
    return name


def _write_view(folder: Path, view: View, name: PurePosixPath) -> dict[str, Any]:
    """Write the files of one view; returns its entry for transforms.json."""
    camera = view.camera
    entry: dict[str, Any] = {
        "file_path": str(name),
        "fl_x": camera.fx, "fl_y": camera.fy, "cx": camera.cx, "cy": camera.cy,
        "w": camera.width, "h": camera.height,
        "transform_matrix": opengl_to_opencv(view.T_world_cam).tolist(),
    }  # fmt: skip
    _write_png(folder / name, view.rgb)
    if view.depth is not None:
        entry["depth_file_path"] = f"depth/{name.stem}.png"
        units = np.round(np.nan_to_num(view.depth.astype(np.float64), posinf=0.0) / _UNIT)
        _write_png(
            folder / entry["depth_file_path"],
            np.where((units > 0) & (units < 2**16), units, 0).astype(np.uint16),
        )
    if view.mask is not None:
        entry["mask_path"] = f"masks/{name.stem}.png"
        _write_png(folder / entry["mask_path"], view.mask.astype(np.uint8) * 255)
    return entry


def _write_png(path: Path, pixels: np.ndarray) -> None:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    write_bytes(path, buffer.getvalue())


def _write_cloud(path: Path, points: Float[np.ndarray, "n 3"], colors: UInt8[np.ndarray, "n 3"]) -> None:
    fields = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    vertices = np.empty(len(points), dtype=fields)
    for index, axis in enumerate("xyz"):
        vertices[axis] = points[:, index]
    for index, channel in enumerate(("red", "green", "blue")):
        vertices[channel] = colors[:, index]
    write_ply(path, vertices)
