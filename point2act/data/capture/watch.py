"""Watching of a capture folder that is still being written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from point2act.core.errors import CaptureError
from point2act.core.types import Capture, Frame
from point2act.data.capture.entry import FILES, Entry, read_frame
from point2act.data.capture.images import read_depth, read_mask, read_rgb
from point2act.data.capture.read import (
    check_files,
    make_capture,
    read_document,
    read_entries,
    transforms_path,
)

_BATCH_SECONDS = 0.1  # Time for which frames are checked before the complete ones are yielded. Chosen.

_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, eq=False)
class Arrived:
    """The frames that arrived since the last update."""

    capture: Capture
    """The capture with all frames so far, in the order of transforms.json."""
    new_frames: tuple[Frame, ...]
    """The frames that are new; empty if only the mark of completion is new."""
    complete: bool
    """Whether transforms.json marks the capture as complete (``"complete": true``)."""


def watch_capture(
    folder: Path | str,
    *,
    allow_outside: bool = False,
    quiet: float = 5.0,
    startup_timeout: float = 60.0,
    poll: float = 0.05,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Arrived]:
    """Yield the frames of a capture as they are written, each once, when all its files are complete.

    A half-written transforms.json, frames listed before their files exist and images that do not decode to
    their end are read again when they change. Frames come in the order of the file. It ends when
    transforms.json says ``"complete": true`` and all it lists has arrived, or when nothing has changed for
    ``quiet`` seconds. World frame and checks are those of ``read_capture``.

    Args:
        folder: The capture folder, which may not exist yet.
        allow_outside: Accept files outside the folder.
        quiet: Seconds without a change after which the capture counts as complete.
        startup_timeout: Seconds to wait for the first frame.
        poll: Seconds between checks of the files.
        clock: Returns the time in seconds.
        sleep: Waits for a number of seconds.

    Raises:
        CaptureError: No capture started, a file stayed invalid for ``quiet`` seconds, or a frame that was
            yielded was removed or changed.
    """
    growing = _Growing(transforms_path(folder), clock, allow_outside)
    state, since = growing.state, clock()
    while True:
        waited = clock() - since
        late = waited >= (quiet if growing.started else startup_timeout)
        if late or growing.changed():
            arrived = growing.update()
            if growing.state != state:
                state, since, late = growing.state, clock(), False
            if arrived is not None:
                yield arrived
                if arrived.complete:
                    return
                continue
        if late and growing.problem is not None:
            raise growing.problem
        if late:
            return
        sleep(poll)


class _Growing:
    """A capture as far as it has been read."""

    def __init__(self, path: Path, clock: Callable[[], float], allow_outside: bool) -> None:
        self.path = path
        self.started = False
        """Whether there is a transforms.json that lists frames or cannot be parsed."""
        self.problem: CaptureError | None = None
        """Why a listed frame could not be read."""
        self._clock, self._allow_outside = clock, allow_outside
        self._entries: dict[str, Entry] = {}
        self._frames: dict[str, Frame] = {}
        self._watched: tuple[Path, ...] = (path,)
        self._stamps: tuple[_Stamp, ...] = ()  # Of the watched files before they were read

    @property
    def state(self) -> tuple[Any, ...]:
        """A value that differs when the capture has made progress.

        While there is a problem the stamp of transforms.json does not count: further entries do not solve it.
        """
        if self.problem is None:
            return len(self._frames), self._stamps
        return len(self._frames), str(self.problem), self._stamps[1:]

    def changed(self) -> bool:
        """Return whether a watched file has changed since it was read."""
        return self._stamps != tuple(map(_stamp, self._watched))

    def update(self) -> Arrived | None:
        """Read new frames for a while, None if there are none. Sets ``started`` and ``problem``."""
        self._watched, self._stamps, self.problem = (self.path,), (_stamp(self.path),), None
        self.started = bool(self._frames) or self._stamps != (None,)
        try:
            document = self._read_document()
            entries = read_entries(self.path, document)
            check_files(self.path, document, [], allow_outside=self._allow_outside)
            make_capture(self.path, document, [])
        except CaptureError as err:
            self.problem = err
            return None
        self._check_kept(entries)
        waiting = [entry for entry in entries if entry.own["file_path"] not in self._entries]
        new = self._read_frames(waiting)
        complete = document.get("complete") is True and len(new) == len(waiting)
        if not new and not complete:
            return None
        names = [entry.own["file_path"] for entry in entries]
        frames = [self._frames[name] for name in names if name in self._frames]
        return Arrived(make_capture(self.path, document, frames), tuple(new), complete)

    def _read_document(self) -> dict[str, Any]:
        if self._stamps == (None,):
            raise CaptureError(f"there is no {self.path}: give the folder that the capture is written to")
        document = read_document(self.path)
        self.started = bool(self._frames) or document.get("frames") != []
        return document

    def _check_kept(self, entries: Sequence[Entry]) -> None:
        """Raise ``CaptureError`` if a frame that was yielded is gone or has changed."""
        listed = {entry.own["file_path"]: entry for entry in entries}
        for name, entry in self._entries.items():
            if name not in listed:
                raise CaptureError(f"{self.path} no longer lists {name}: follow a capture that only grows")
            key = None if entry == listed[name] else entry.difference(listed[name])
            if key is not None:
                raise CaptureError(
                    f"{self.path} changed {key} of {name} after it was read: follow a capture that only "
                    "grows, or wait until it is done"
                )

    def _read_frames(self, waiting: Sequence[Entry]) -> list[Frame]:
        """Read frames in order, up to one that is incomplete or until the time for a batch is over."""
        new: list[Frame] = []
        t0 = self._clock()
        for entry in waiting:
            if new and self._clock() - t0 > _BATCH_SECONDS:
                self._stamps = ()
                break
            files = _files(entry, self.path.parent)
            stamps = tuple(map(_stamp, files))
            try:
                frame = _read_complete(entry, self.path, self._allow_outside)
            except CaptureError as err:
                self._watched, self._stamps, self.problem = (self.path, *files), (*self._stamps, *stamps), err
                break
            self._entries[frame.name], self._frames[frame.name] = entry, frame
            new.append(frame)
        return new


def _read_complete(entry: Entry, path: Path, allow_outside: bool) -> Frame:
    """Read a frame and decode its files to their end. Raises ``CaptureError`` if that fails."""
    check_files(path, {}, [entry], allow_outside=allow_outside)
    frame = read_frame(entry, path.parent)
    read_rgb(frame.image_path)
    if frame.depth_path is not None:
        read_depth(frame.depth_path, 1.0)
    if frame.mask_path is not None:
        read_mask(frame.mask_path)
    return frame


def _files(entry: Entry, folder: Path) -> tuple[Path, ...]:
    values = (entry.own.get(key) for key in FILES)
    return tuple(folder / value.replace("\\", "/") for value in values if isinstance(value, str))


def _stamp(path: Path) -> _Stamp:
    """Return a value that changes with the file, None if it is not readable."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
