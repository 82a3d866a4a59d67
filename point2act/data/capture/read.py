"""Reading of a capture from its transforms.json; files are checked by their headers, no pixels are loaded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from point2act.core.errors import CaptureError
from point2act.core.files import read_json
from point2act.core.types import Capture, Frame
from point2act.data.capture.entry import DISTORTION, FILES, Entry, read_frame
from point2act.data.capture.validators import depth_unit, file_name, rigid

NAME = "transforms.json"
_LISTED = 10
# ScanNet's longest recordings have under 10 000. Chosen.
_MOST_FRAMES = 100_000


def read_capture(folder: Path | str, *, allow_outside: bool = False) -> Capture:
    """Read a capture.

    The world frame is that of the ``transform_matrix`` entries; ``applied_transform``, ``applied_scale`` and
    the lists of training and test files have no effect. Frames keep the order of the file. Lengths are metres
    if a frame has depth or the file says ``"metric": true``. EXIF orientation is not applied, since the
    intrinsics are those of the stored pixels. A capture that is still being written (``"complete": false``)
    is read as far as it goes.

    Args:
        folder: A folder with nerfstudio's ``transforms.json``, or the path of such a file.
        allow_outside: Accept files outside the folder, also through symbolic links in it. They are an error
            otherwise, because a capture from another person could name any file of this machine.

    Raises:
        CaptureError: Missing files (all at once), wrong sizes, poses that are not rigid, or unknown camera
            models.
    """
    path = transforms_path(folder)
    if not os.path.isfile(path):
        raise CaptureError(
            f"there is no {path}: give a folder with nerfstudio's transforms.json, or its path"
        )
    document = read_document(path)
    entries = read_entries(path, document)
    check_files(path, document, entries, allow_outside=allow_outside)
    return make_capture(path, document, [read_frame(entry, path.parent) for entry in entries])


def transforms_path(path: Path | str) -> Path:
    """Return the path of a capture's transforms.json: ``path`` itself if it is a ``.json``, else in it."""
    path = Path(path)
    is_file = os.path.isfile(path) or (path.suffix == ".json" and not os.path.isdir(path))
    return path if is_file else path / NAME


def read_document(path: Path) -> dict[str, Any]:
    """Read a transforms.json. Raises ``CaptureError`` if it is not a JSON object."""
    document = read_json(path, CaptureError)
    if not isinstance(document, dict):
        raise CaptureError(f"{path} holds no JSON object: write one with 'frames', as nerfstudio does")
    return document


def read_entries(path: Path, document: dict[str, Any]) -> list[Entry]:
    """Return the frames that a transforms.json lists, without checking their files.

    Raises ``CaptureError`` if it lists none, one without an image, or an image twice.
    """
    frames = document.get("frames")
    if not isinstance(frames, list) or not frames:
        raise CaptureError(f"{path} lists no frames: write at least one entry under 'frames'")
    if len(frames) > _MOST_FRAMES:
        raise CaptureError(f"{path} lists {len(frames)} frames: keep {_MOST_FRAMES} or fewer")
    shared = {key: value for key, value in document.items() if key not in ("frames", "complete")}
    if shared.keys() & set(DISTORTION):
        # nerfstudio takes the coefficients from one place or the other, never some from each.
        shared = dict.fromkeys(DISTORTION) | shared
    entries = []
    for index, own in enumerate(frames):
        if not isinstance(own, dict) or not isinstance(own.get("file_path"), str) or not own["file_path"]:
            raise CaptureError(f"{path}: frame {index} has no 'file_path': write the path of its image")
        file_name(own["file_path"], f"{path}: frame {index}: file_path")
        entries.append(Entry(shared, own, f"{path}: frame {index} ({own['file_path']})"))
    _check_names(path, entries)
    return entries


def check_files(
    path: Path, document: dict[str, Any], entries: Sequence[Entry], *, allow_outside: bool = False
) -> None:
    """Raise ``CaptureError`` for the first file outside the folder, or for all missing files."""
    named: dict[Path, str] = {}
    for entry in (*entries, Entry({}, document, str(path))):
        for key in ("ply_file_path",) if entry.own is document else FILES:
            file = entry.path(path.parent, key)
            if file is not None:
                named.setdefault(file, f"{entry.place}: {key}")
    if not allow_outside:
        _check_inside(path.parent, named)
    for file in named:
        if os.path.exists(file) and not os.path.isfile(file) and not os.path.isdir(file):
            raise CaptureError(f"{named[file]} is a pipe or a device, {file}: put an ordinary file there")
    missing = [str(file) for file in named if not os.path.isfile(file)]
    if len(missing) == 1:
        raise CaptureError(
            f"{path} names a file that does not exist, {missing[0]}: put it there or remove its entry"
        )
    if missing:
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise CaptureError(
            f"{path} names {len(missing)} files that do not exist, {', '.join(missing[:_LISTED])}{more}: "
            "put them there or remove their entries"
        )


def _check_inside(folder: Path, named: dict[Path, str]) -> None:
    """Raise ``CaptureError`` for a file that ``..`` or symbolic links lead out of the folder."""
    root = Path(os.path.realpath(folder))
    for file, place in named.items():
        target = Path(os.path.realpath(file))
        if not target.is_relative_to(root):
            raise CaptureError(
                f"{place} leads to {target}, outside the capture's folder: copy the file into {folder}, or "
                "allow it with --allow-outside (in Python, allow_outside=True)"
            )


def make_capture(path: Path, document: dict[str, Any], frames: Sequence[Frame]) -> Capture:
    """Build the capture of a transforms.json from its frames."""
    T_base_world = document.get("T_base_world")
    cloud = Entry({}, document, str(path)).path(path.parent, "ply_file_path")
    return Capture(
        folder=path.parent,
        frames=tuple(frames),
        depth_unit=depth_unit(
            document.get("depth_unit_scale_factor", 1e-3), f"{path}: depth_unit_scale_factor"
        ),
        point_cloud_path=cloud,
        T_base_world=None if T_base_world is None else rigid(T_base_world, f"{path}: T_base_world"),
        metric=document.get("metric") is True or any(frame.depth_path for frame in frames),
    )


def _check_names(path: Path, entries: Sequence[Entry]) -> None:
    images = Counter(os.path.normpath(entry.own["file_path"].replace("\\", "/")) for entry in entries)
    image, count = images.most_common(1)[0]
    if count > 1:
        raise CaptureError(f"{path} lists {path.parent / image} {count} times: keep one frame an image")
