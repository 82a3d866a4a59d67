"""A capture folder written view by view, while others may already read it."""

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
    """What a robot program writes a capture folder with, frame by frame.

    ::

        with CaptureWriter("capture", T_base_world=T_base_world) as writer:
            for view in ...:
                writer.add(view)

    The files are those of ``write_capture``. At any moment the folder is a valid capture of the frames
    added so far (from the first on), marked ``"complete": false`` until ``finish``: a frame's files come
    first, then a new transforms.json that lists it takes the old one's place. A program that is killed
    loses the frame it was adding, no other; so does a machine that loses power, since every file is on the
    disk (fsync) before the transforms.json that lists it. That was measured to take 2 ms a frame on the disk
    of a virtual machine, 20 while others used the disk too; an SD card may take longer.

    A folder that was left unfinished is gone on with: ``names`` tells which images are there, what a
    crash left of another is overwritten or never read. One program, and one thread of it, may write to
    a folder at a time.

    Leaving ``with`` normally finishes the capture; an exception leaves it unfinished.
    """

    def __init__(self, folder: Path | str, *, T_base_world: Float[np.ndarray, "4 4"] | None = None) -> None:
        """Begin a capture in a folder that may not exist yet, or go on with an unfinished one.

        ``T_base_world``, rigid, says where the world is seen from the robot's base.

        Raises ``CaptureError`` where the folder holds a finished capture, one that somebody else
        writes, or one with another ``T_base_world``.
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
        """The images in the folder so far, as transforms.json and points.json call them."""
        return tuple(self._entries)

    def add(self, view: View) -> None:
        """Add one frame, of a pinhole camera: undistort the pixels first where the lens is another.

        ``view.name`` says where the image goes (``images/0000``); depth and mask are named after its last
        part, which therefore no two frames may share.

        Raises ``CaptureError`` for a name that is taken or leads elsewhere, for sizes, types or a pose
        that could not be read back, and after ``finish``; ``Point2ActError`` where a file cannot be
        written. The capture is then as before.
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
        """Say that no more frames will come: who waits for them need not. Once is enough.

        Raises ``CaptureError`` where no frame was added.
        """
        if self._finished:
            return
        if not self._entries:
            raise CaptureError(f"{self.folder} has no frames yet: add a view before the capture is finished")
        self._write(self._entries, complete=True)
        self._finished = True

    def __enter__(self) -> CaptureWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()

    def _check_open(self) -> None:
        if self._finished:
            raise CaptureError(f"{self.folder} is a finished capture: begin another one in another folder")

    def _resume(self) -> None:
        path = self.folder / NAME
        document = read_document(path)
        self._finished = document.get("complete") is True
        self._check_open()
        if document.get("complete") is not False:
            raise CaptureError(
                f"{path} was not begun by CaptureWriter (it has no 'complete'): choose another folder"
            )
        base = self._document.get("T_base_world")
        if base is not None and base != document.get("T_base_world"):
            raise CaptureError(
                f"{path} was begun with another T_base_world: give that, or choose another folder"
            )
        names = [frame.name for frame in read_capture(self.folder).frames]
        self._entries = dict(zip(names, map(json_line, document["frames"]), strict=True))
        self._keys = {name_key(PurePosixPath(name)) for name in names}
        self._document = {key: document[key] for key in document if key not in ("complete", "frames")}

    def _write(self, entries: dict[str, str], *, complete: bool) -> None:
        """Let a new transforms.json take the place of the old one, on the disk before and after."""
        text = transforms_text(self._document, list(entries.values()), complete=complete)
        with replacing(self.folder / NAME) as draft:
            draft.write_bytes(as_utf8(text))
            _sync(draft)
        with writing(self.folder / NAME):
            _sync_folder(self.folder)


def _sync_all(paths: list[Path]) -> None:
    """Bring files to the disk, and their names in their folders."""
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
        return  # Folders cannot be opened there.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as err:
        # Some file systems, mostly of networks, do not sync folders.
        if err.errno not in (errno.EBADF, errno.EINVAL):
            raise
    finally:
        os.close(descriptor)
