"""Writing of views as a capture folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from point2act.core.errors import CaptureError
from point2act.core.files import write_bytes, write_text
from point2act.core.geometry import opengl_to_opencv
from point2act.core.ply import colored_points, write_ply
from point2act.core.types import Camera, View
from point2act.data.capture.read import NAME
from point2act.data.capture.validators import rigid

DEPTH_UNIT = 1e-3
"""Metres per unit of written depth: millimetres, nerfstudio's default."""
_COMPRESSION = 1  # zlib's fastest level: a third of the time of Pillow's 6, files a tenth larger.
_RESERVED = ("depth", "masks")
_KINDS: dict[type[np.generic], str] = {
    np.uint8: "8-bit colours",
    np.floating: "metres as floats",
    np.bool_: "bools",
}


def write_capture(
    folder: Path | str,
    views: Sequence[View],
    *,
    point_cloud: tuple[Float[np.ndarray, "n 3"], UInt8[np.ndarray, "n 3"]] | None = None,
    T_base_world: Float[np.ndarray, "4 4"] | None = None,
) -> None:
    """Write views as a capture folder that nerfstudio reads; ``CaptureWriter`` writes them one by one.

    Images become PNG files under the views' names, depth 16-bit PNG in millimetres in ``depth/`` (0 beyond 65
    m), masks PNG in ``masks/``, the cloud ``points.ply``. ``transforms.json`` is written last and an old one
    removed first, so that a folder with one is complete.

    Args:
        folder: The folder, made if missing.
        views: Pinhole views; two views must not share the last part of their names.
        point_cloud: World points and their 8-bit colours.
        T_base_world: Rigid transform from the world to the robot base.

    Raises:
        CaptureError: A name leaves the folder or is taken, or a size, type or pose could not be read back.
    """
    folder = Path(folder)
    names = [image_name(view) for view in views]
    twice = [stem for stem, count in Counter(name_key(name) for name in names).items() if count > 1]
    if not views or twice:
        raise CaptureError(
            f"{folder} cannot be written: {len(views)} views, {twice} named twice; name each view once"
        )
    for view in views:
        check_view(view)
    document = new_document(T_base_world)
    (folder / NAME).unlink(missing_ok=True)
    if point_cloud is not None:
        write_ply(folder / "points.ply", colored_points(*point_cloud))
        document["ply_file_path"] = "points.ply"
    entries = [json_line(write_view(folder, view, name)) for view, name in zip(views, names, strict=True)]
    write_text(folder / NAME, transforms_text(document, entries, complete=True))


def image_name(view: View) -> PurePosixPath:
    """Return the path of a view's image in the folder. Raises ``CaptureError`` for unusable names."""
    text = view.name.replace("\\", "/")
    path = PurePosixPath(text)
    if PureWindowsPath(text).anchor or path.is_absolute() or ".." in path.parts:
        raise CaptureError(f"the view name {view.name!r} leaves the capture's folder: use a name within it")
    taken = len(path.parts) == 2 and path.parts[0].casefold() in _RESERVED
    if taken or not path.name or not text.isprintable():
        raise CaptureError(
            f"the view name {view.name!r} cannot be an image's: use one like images/0000, not in "
            f"{' or '.join(_RESERVED)}, which hold other files"
        )
    return path.with_suffix(".png")


def name_key(name: PurePosixPath) -> str:
    """Return the name of depth and mask files, case-folded: two views must not share it."""
    return name.stem.casefold()


def check_view(view: View) -> None:
    """Raise ``CaptureError`` for a view that could not be read back unchanged."""
    camera = view.camera
    size = (camera.height, camera.width)
    _check_array(f"{view.name}: rgb", view.rgb, (*size, 3), np.uint8)
    if view.depth is not None:
        _check_array(f"{view.name}: depth", view.depth, size, np.floating)
    if view.mask is not None:
        _check_array(f"{view.name}: mask", view.mask, size, np.bool_)
    check_camera(view.name, camera)
    rigid(view.T_world_cam, f"{view.name}: T_world_cam")


def new_document(T_base_world: Float[np.ndarray, "4 4"] | None) -> dict[str, Any]:
    """Return the top level of a transforms.json without ``frames`` and ``complete``."""
    document: dict[str, Any] = {"camera_model": "PINHOLE", "depth_unit_scale_factor": DEPTH_UNIT}
    if T_base_world is not None:
        rigid(T_base_world, "T_base_world")
        document["T_base_world"] = np.asarray(T_base_world, dtype=np.float64).tolist()
    return document


def write_view(folder: Path, view: View, name: PurePosixPath) -> dict[str, Any]:
    """Write the files of one view atomically and return its entry for transforms.json."""
    camera = view.camera
    intrinsics = {"fl_x": camera.fx, "fl_y": camera.fy, "cx": camera.cx, "cy": camera.cy}
    entry: dict[str, Any] = {"file_path": str(name)}
    entry |= {key: float(value) for key, value in intrinsics.items()}
    entry |= {"w": int(camera.width), "h": int(camera.height)}
    entry["transform_matrix"] = opengl_to_opencv(view.T_world_cam).tolist()
    write_png(folder / name, view.rgb)
    if view.depth is not None:
        entry["depth_file_path"] = f"depth/{name.stem}.png"
        write_bytes(folder / entry["depth_file_path"], depth_png(view.depth))
    if view.mask is not None:
        entry["mask_path"] = f"masks/{name.stem}.png"
        write_png(folder / entry["mask_path"], view.mask.astype(np.uint8) * 255)
    return entry


def transforms_text(document: dict[str, Any], entries: Sequence[str], *, complete: bool) -> str:
    """Return the text of a transforms.json from the JSON lines of its frames, which are only made once."""
    top = [f" {json_line(key)}: {json_line(value)},\n" for key, value in document.items()]
    mark = f' "complete": {json_line(complete)},\n'
    return "{\n" + "".join(top) + mark + ' "frames": [\n  ' + ",\n  ".join(entries) + "\n ]\n}\n"


def json_line(value: Any) -> str:
    """Return strict JSON (finite numbers only) on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _check_array(place: str, array: np.ndarray, shape: tuple[int, ...], kind: type[np.generic]) -> None:
    if array.shape != shape or array.size == 0 or not np.issubdtype(array.dtype, kind):
        raise CaptureError(
            f"{place} is {array.dtype} of shape {array.shape}: give {_KINDS[kind]}, {shape} as the camera"
        )


def check_camera(name: str, camera: Camera) -> None:
    """Raise ``CaptureError`` for intrinsics that are not finite, or focal lengths that are not positive."""
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy)
    if not np.isfinite(numbers).all() or min(camera.fx, camera.fy) <= 0:
        raise CaptureError(
            f"{name}: the camera's fx, fy, cx, cy are {', '.join(f'{number:g}' for number in numbers)}: give "
            "finite pixels, and focal lengths above zero"
        )


def depth_png(depth: Float[np.ndarray, "h w"]) -> bytes:
    """Encode depth in metres as a 16-bit PNG in millimetres, 0 where it is too large or not positive."""
    units = np.rint(np.divide(depth, DEPTH_UNIT, dtype=np.float64))
    return png_bytes(np.where((units > 0) & (units < 2**16), units, 0.0).astype(np.uint16))


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write an image as PNG, atomically."""
    write_bytes(path, png_bytes(pixels))


def png_bytes(pixels: np.ndarray) -> bytes:
    """Encode an image as PNG."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=_COMPRESSION)
    return buffer.getvalue()
