"""A scene kept while the rest of its run is under way, for a run that was cut off to go on with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile

import psutil

from point2act.core.errors import Point2ActError, RunError
from point2act.core.files import writing
from point2act.core.types import Capture, GaussianScene
from point2act.data.capture.read import NAME as TRANSFORMS
from point2act.data.run_manifest import RunManifest, read_run, write_run
from point2act.data.scene_ply import read_splat_ply, write_splat_ply

NAME = ".unfinished"
"""The folder in a run's output that a scene is kept in until all else is written."""
_DRAFT = ".part"


def fingerprint(capture: Capture, *how: object) -> str:
    """What a scene is made from, and ``how`` (configs, numbers, words), as one word of 64 digits.

    Another capture, or the same in another way, has another. Files count by their names, sizes and times of
    change; no pixel is read. Raises ``Point2ActError`` where a file is gone.
    """
    try:
        files = [
            (path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in _files_of(capture)
        ]
    except OSError as err:
        raise Point2ActError(f"{err.filename} is gone since the capture was read: bring it back") from err
    return hashlib.sha256(json.dumps([files, repr(how)]).encode()).hexdigest()


def check_writable(folder: Path) -> None:
    """See whether an output folder can be made and written to: better known before the work than after.

    Leaves nothing behind. Raises ``Point2ActError`` where it cannot.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    with writing(folder):
        TemporaryFile(dir=place).close()


def save_scene(folder: Path, saved: RunManifest, scene: GaussianScene) -> GaussianScene:
    """Keep a scene in an output folder, beside whatever an earlier run left there: all of it or nothing.

    Returns it as it will be read, which differs in last digits: what goes on with that comes to the same as
    who reads it later.

    Raises ``Point2ActError`` where it cannot be written.
    """
    draft = folder / f"{NAME}.{os.getpid()}{_DRAFT}"
    path = draft / saved.scene.name
    try:
        write_splat_ply(path, scene)
        write_run(draft, replace(saved, scene=path))
        shutil.rmtree(folder / NAME, ignore_errors=True)
        with writing(folder):
            draft.rename(folder / NAME)
        return read_splat_ply(folder / NAME / path.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def find_saved(folder: Path, made: str) -> RunManifest | None:
    """A scene that is in an output folder, kept or finished, and was made from and as ``made`` says."""
    for place in (folder / NAME, folder):
        try:
            saved = read_run(place)
        except RunError:
            continue  # None, or one that was cut off or changed: as good as none.
        if saved.made == made:
            return saved
    return None


def remove_saved(folder: Path) -> None:
    """Remove what was kept in an output folder, also what was cut off while it was being kept.

    What a process that still runs is about to keep there is its own.
    """
    for path in (folder / NAME, *folder.glob(f"{NAME}.*{_DRAFT}")):
        whose = path.name[len(NAME) + 1 : -len(_DRAFT)]
        # Ten digits are no process's, and more than psutil takes.
        if not (whose.isdecimal() and len(whose) < 10 and psutil.pid_exists(int(whose))):
            shutil.rmtree(path, ignore_errors=True)


def _files_of(capture: Capture) -> Iterator[Path]:
    yield capture.folder.resolve() / TRANSFORMS
    if capture.point_cloud_path is not None:
        yield capture.point_cloud_path.resolve()
    for frame in capture.frames:
        paths = (frame.image_path, frame.depth_path, frame.mask_path)
        yield from (path.resolve() for path in paths if path is not None)
