"""The scene of an unfinished run, saved so that ``--resume`` continues from it."""

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
from point2act.data.scene_ply import write_splat_ply

NAME = ".unfinished"
"""Folder in a run's output that holds the scene until all other files are written."""
_DRAFT = ".part"


def fingerprint(capture: Capture, *settings: object) -> str:
    """Hash the files of a capture and the settings that a scene is made with to 64 hexadecimal digits.

    Files count by their names, sizes and modification times. Raises ``Point2ActError`` if a file is gone.
    """
    try:
        files = [
            (path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in capture_files(capture)
        ]
    except OSError as err:
        raise Point2ActError(f"{err.filename} is gone since the capture was read: restore it") from err
    return hashlib.sha256(json.dumps([files, repr(settings)]).encode()).hexdigest()


def check_writable(folder: Path) -> None:
    """Raise ``Point2ActError`` if an output folder cannot be made or written to; leaves nothing behind."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    with writing(folder):
        TemporaryFile(dir=place).close()


def save_scene(
    folder: Path, run: RunManifest, scene: GaussianScene, geometry: GaussianScene | None = None
) -> None:
    """Save a scene in an output folder, beside the results of an earlier run: all of it or nothing.

    Raises ``Point2ActError`` if it cannot be written.
    """
    draft = folder / f"{NAME}.{os.getpid()}{_DRAFT}"
    saved = replace(
        run,
        scene=draft / run.scene.name,
        geometry=None if run.geometry is None else draft / run.geometry.name,
    )
    try:
        write_splat_ply(saved.scene, scene)
        if saved.geometry is not None and geometry is not None:
            write_splat_ply(saved.geometry, geometry)
        write_run(draft, saved)
        shutil.rmtree(folder / NAME, ignore_errors=True)
        with writing(folder):
            draft.rename(folder / NAME)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def find_saved(folder: Path, fingerprint: str) -> RunManifest | None:
    """Find a scene in an output folder, of an unfinished or a finished run, by its fingerprint."""
    for place in (folder / NAME, folder):
        try:
            run = read_run(place)
        except RunError:
            continue  # Absent, incomplete or changed.
        if run.fingerprint == fingerprint:
            return run
    return None


def remove_saved(folder: Path) -> None:
    """Remove the saved scene from an output folder, and incomplete ones of processes that are gone."""
    for path in (folder / NAME, *folder.glob(f"{NAME}.*{_DRAFT}")):
        process = path.name[len(NAME) + 1 : -len(_DRAFT)]
        # Process numbers have at most nine digits; psutil fails for larger ones.
        if not (process.isdecimal() and len(process) < 10 and psutil.pid_exists(int(process))):
            shutil.rmtree(path, ignore_errors=True)


def capture_files(capture: Capture) -> Iterator[Path]:
    """Yield every file that a capture is read from, with symbolic links resolved."""
    yield capture.folder.resolve() / TRANSFORMS
    if capture.point_cloud_path is not None:
        yield capture.point_cloud_path.resolve()
    for frame in capture.frames:
        paths = (frame.image_path, frame.depth_path, frame.mask_path)
        yield from (path.resolve() for path in paths if path is not None)
