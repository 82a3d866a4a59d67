"""Copying of a capture with new poses or new depth, all else unchanged."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.files import read_bytes, write_bytes, write_json
from point2act.core.geometry import at_pixels, inside, opengl_to_opencv, pixel_centers
from point2act.core.types import Frame, ProgressCallback, View
from point2act.data.capture.entry import FILES
from point2act.data.capture.load import disk_to_view
from point2act.data.capture.read import NAME, read_document, read_entries, transforms_path
from point2act.data.capture.write import DEPTH_UNIT, depth_png

_POINTS = "points.json"
_MAX_BYTES = 2**31  # A file that is copied is read whole.


def rewrite_capture(
    capture: Path | str,
    folder: Path,
    *,
    poses: Mapping[str, Float[np.ndarray, "4 4"]],
    depth: Callable[[str], Float[np.ndarray, "h w"] | None] | None = None,
    progress: ProgressCallback | None = None,
) -> None:
    """Copy a capture into a folder with new poses and, if given, new depth, byte for byte otherwise.

    Args:
        capture: Folder of the capture.
        folder: Folder of the copy.
        poses: New ``T_world_cam`` by the name of the frame; other frames keep theirs.
        depth: Returns the depth of a frame by its name, metres in the pixels of the image on disk; all depth
            is then written in millimetres.
        progress: Called after each frame.

    Raises:
        CaptureError: The capture names a file outside its folder, which cannot be copied.
    """
    path = transforms_path(capture)
    document = read_document(path)
    entries = read_entries(path, document)
    frames = []
    for done, entry in enumerate(entries, start=1):
        own: dict[str, Any] = dict(entry.own)
        name = own["file_path"]
        if name in poses:
            own["transform_matrix"] = opengl_to_opencv(poses[name]).tolist()
        metres = None if depth is None else depth(name)
        if metres is not None:
            own["depth_file_path"] = f"depth/{PurePosixPath(name).with_suffix('').as_posix()}.png"
            write_bytes(folder / own["depth_file_path"], depth_png(metres))
        for key in FILES:
            if key in own and not (key == "depth_file_path" and metres is not None):
                _copy(path.parent, folder, own[key], f"{entry.place}: {key}")
        frames.append(own)
        if progress is not None:
            progress(done, len(entries))
    if isinstance(document.get("ply_file_path"), str):
        _copy(path.parent, folder, document["ply_file_path"], f"{path}: ply_file_path")
    if os.path.isfile(path.parent / _POINTS):
        _copy(path.parent, folder, _POINTS, str(path))
    unit = {} if depth is None else {"depth_unit_scale_factor": DEPTH_UNIT}
    write_json(folder / NAME, document | unit | {"frames": frames})


def depth_on_disk(frame: Frame, view: View) -> Float[np.ndarray, "h w"]:
    """Resample the depth of a full-size view to the pixels of its image on disk: nearest, 0 without depth."""
    assert view.depth is not None
    height, width = frame.camera.height, frame.camera.width
    pixels = disk_to_view(frame, view, pixel_centers(height, width).reshape(-1, 2))
    covered = inside(view.camera, pixels)
    # Pixels that no ray reaches may be too large for an integer.
    depth = at_pixels(view.depth, np.where(covered[:, None], pixels, 0.0))
    return np.where(covered, depth, np.float32(0)).reshape(height, width)


def _copy(source: Path, target: Path, name: str, place: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise CaptureError(f"{place} is {name}, outside the capture's folder: copy the file into {source}")
    write_bytes(target / name, read_bytes(source / name, CaptureError, max_bytes=_MAX_BYTES))
