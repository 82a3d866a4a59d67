"""Incremental writing of a capture folder that other programs may already read."""

from __future__ import annotations

import errno
import os
from pathlib import Path, PurePosixPath
from types import TracebackType

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.files import as_utf8, replacing, writing
from point2act.core.types import View
from point2act.data.capture.entry import FILES
from point2act.data.capture.read import NAME, read_capture, read_document
from point2act.data.capture.write import (
    check_view,
    image_name,
    json_line,
    name_key,
    new_document,
    transforms_text,
    write_view,
)


class CaptureWriter:
    """Writer of a capture folder, frame by frame, for robot programs.

    ::

        with CaptureWriter("capture", T_base_world=T_base_world) as writer:
            for view in ...:
                writer.add(view)

    The files are those of ``write_capture``. At any time the folder is a valid capture of the frames so far,
    marked ``"complete": false`` until ``finish``: the files of a frame are written and synced to disk
    (fsync), then a new transforms.json replaces the old one. A killed program or a loss of power loses only
    the frame being added. A sync took 2 ms per frame on the disk of a virtual machine, 20 ms while other
    programs used it.

    An unfinished folder is continued: ``names`` lists its images. Only one program and thread may write to a
    folder at a time. Leaving ``with`` without an exception finishes the capture.
    """

    def __init__(self, folder: Path | str, *, T_base_world: Float[np.ndarray, "4 4"] | None = None) -> None:
        """Start a capture in a new folder, or continue an unfinished one.

        Args:
            folder: The folder, which may not exist yet.
            T_base_world: Rigid transform from the world to the robot base.

        Raises:
            CaptureError: The folder holds a finished capture, one of another writer, or another
                ``T_base_world``.
        """
        self.folder = Path(folder)
        self._document = new_document(T_base_world)
        self._entries: dict[str, str] = {}  # The lines of transforms.json by the image's name
        self._keys: set[str] = set()
        self._finished = False
        if os.path.exists(self.folder / NAME):
            self._resume()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images so far, as in transforms.json and points.json."""
        return tuple(self._entries)

    def add(self, view: View) -> None:
        """Add one frame; if it fails, the capture is unchanged.

        Args:
            view: An undistorted view. Its name is the path of the image (``images/0000``); depth and mask
                take its last part, which must be unique.

        Raises:
            CaptureError: The name is taken or leaves the folder, a size, type or pose could not be read back,
                or the capture is finished.
            Point2ActError: A file cannot be written.
        """
        self._check_open()
        name = image_name(view)
        if name_key(name) in self._keys:
            raise CaptureError(
                f"{self.folder} has an image called {name.stem} already: name each view once, folders aside"
            )
        check_view(view)
        entry = write_view(self.folder, view, name)
        _sync_all([self.folder / entry[key] for key in FILES if key in entry])
        entries = self._entries | {str(name): json_line(entry)}
        self._write(entries, complete=False)
        self._entries = entries
        self._keys.add(name_key(name))

    def finish(self) -> None:
        """Mark the capture as complete. Raises ``CaptureError`` if it has no frame."""
        if self._finished:
            return
        if not self._entries:
            raise CaptureError(f"{self.folder} has no frames yet: add a view before the capture is finished")
        self._write(self._entries, complete=True)
        self._finished = True

    def __enter__(self) -> CaptureWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()

    def _check_open(self) -> None:
        if self._finished:
            raise CaptureError(f"{self.folder} is a finished capture: start another one in another folder")

    def _resume(self) -> None:
        path = self.folder / NAME
        document = read_document(path)
        self._finished = document.get("complete") is True
        self._check_open()
        if document.get("complete") is not False:
            raise CaptureError(
                f"{path} was not written by CaptureWriter (it has no 'complete'): choose another folder"
            )
        base = self._document.get("T_base_world")
        if base is not None and base != document.get("T_base_world"):
            raise CaptureError(
                f"{path} was started with another T_base_world: give that, or choose another folder"
            )
        names = [frame.name for frame in read_capture(self.folder).frames]
        self._entries = dict(zip(names, map(json_line, document["frames"]), strict=True))
        self._keys = {name_key(PurePosixPath(name)) for name in names}
        self._document = {key: document[key] for key in document if key not in ("complete", "frames")}

    def _write(self, entries: dict[str, str], *, complete: bool) -> None:
        """Replace transforms.json, synced to disk before and after."""
        text = transforms_text(self._document, list(entries.values()), complete=complete)
        with replacing(self.folder / NAME) as draft:
            draft.write_bytes(as_utf8(text))
            _sync(draft)
        with writing(self.folder / NAME):
            _sync_folder(self.folder)


def _sync_all(paths: list[Path]) -> None:
    """Sync files and their folders to disk."""
    for path in paths:
        with writing(path):
            _sync(path)
    for folder in dict.fromkeys(path.parent for path in paths):
        with writing(folder):
            _sync_folder(folder)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot open folders.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as err:
        # Some network file systems cannot sync folders.
        if err.errno not in (errno.EBADF, errno.EINVAL):
            raise
    finally:
        os.close(descriptor)
