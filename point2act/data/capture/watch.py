"""A capture that is still being written → its frames, as they come."""

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

_AT_ONCE = 0.1  # Seconds that frames are checked for before those that are whole are given out. Chosen.

_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, eq=False)
class Arrived:
    """What came since last time."""

    capture: Capture
    """All frames so far, in the order of transforms.json."""
    new_frames: tuple[Frame, ...]
    """Those of them that came; none where all that came is the word that the capture is complete."""
    complete: bool
    """Whether transforms.json says that these are all (``"complete": true``)."""


def watch_capture(
    folder: Path | str,
    *,
    allow_outside: bool = False,
    quiet: float = 5.0,
    start: float = 60.0,
    poll: float = 0.05,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Arrived]:
    """Give out the frames of a capture as they are written, each once, when all its files are whole.

    Who writes need not be careful: a transforms.json that is half written, a frame listed before its files
    are there, and images that do not decode to their end yet are looked at again when they change. Frames
    come in the order of the file, a later one never before an earlier one that is not whole. It ends when
    transforms.json says ``"complete": true`` and all it lists is there, or, for writers that never say so,
    when nothing changed for ``quiet`` seconds. Until the first frame is listed it waits ``start`` seconds,
    also for the folder. It looks every ``poll`` seconds, at the stamps of the files only if nothing changed.

    The world frame, order and checks are those of ``read_capture``; each frame is checked once. Files
    outside the folder are an error unless ``allow_outside``.

    Raises ``CaptureError`` where no capture began, where anything stays broken for ``quiet`` seconds
    (then with what ``read_capture`` would say), and where a frame that was given out is taken away or
    changed: what was made of it would be wrong.
    """
    growing = _Growing(transforms_path(folder), clock, allow_outside)
    state, since = growing.state, clock()
    while True:
        waited = clock() - since
        late = waited >= (quiet if growing.begun else start)
        if late or growing.changed():
            arrived = growing.look()
            if growing.state != state:
                state, since, late = growing.state, clock(), False
            if arrived is not None:
                yield arrived
                if arrived.complete:
                    return
                continue
        if late and growing.trouble is not None:
            raise growing.trouble
        if late:
            return
        sleep(poll)


class _Growing:
    """A capture as far as it was read."""

    def __init__(self, path: Path, clock: Callable[[], float], allow_outside: bool) -> None:
        self.path = path
        self.begun = False
        """Whether there is a transforms.json that lists frames, or is too broken to tell."""
        self.trouble: CaptureError | None = None
        """Why not all was read that is listed."""
        self._clock, self._allow_outside = clock, allow_outside
        self._entries: dict[str, Entry] = {}
        self._frames: dict[str, Frame] = {}
        self._watched: tuple[Path, ...] = (path,)
        self._stamps: tuple[_Stamp, ...] = ()  # Of the watched files before they were read; none: look again

    @property
    def state(self) -> tuple[Any, ...]:
        """Another one means that something moved.

        The stamp of a transforms.json does not count while something is in the way: that other frames are
        listed does not mend this one.
        """
        if self.trouble is None:
            return len(self._frames), self._stamps
        return len(self._frames), str(self.trouble), self._stamps[1:]

    def changed(self) -> bool:
        """Whether looking again may tell more."""
        return self._stamps != tuple(map(_stamp, self._watched))

    def look(self) -> Arrived | None:
        """Read what is new, for a while; None where nothing is. Sets ``begun`` and ``trouble``."""
        self._watched, self._stamps, self.trouble = (self.path,), (_stamp(self.path),), None
        self.begun = bool(self._frames) or self._stamps != (None,)
        try:
            document = self._read_document()
            entries = read_entries(self.path, document)
            check_files(self.path, document, [], allow_outside=self._allow_outside)
            make_capture(self.path, document, [])
        except CaptureError as err:
            self.trouble = err
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
            raise CaptureError(f"there is no {self.path}: name the folder that the capture is written to")
        document = read_document(self.path)
        self.begun = bool(self._frames) or document.get("frames") != []
        return document

    def _check_kept(self, entries: Sequence[Entry]) -> None:
        """Raise an error where a frame that was given out is not there any more, or not the same."""
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
        """The frames of entries in their order, up to one that is not whole, or until time is up."""
        new: list[Frame] = []
        began = self._clock()
        for entry in waiting:
            if new and self._clock() - began > _AT_ONCE:
                self._stamps = ()
                break
            files = _files(entry, self.path.parent)
            stamps = tuple(map(_stamp, files))
            try:
                frame = _read_whole(entry, self.path, self._allow_outside)
            except CaptureError as err:
                self._watched, self._stamps, self.trouble = (self.path, *files), (*self._stamps, *stamps), err
                break
            self._entries[frame.name], self._frames[frame.name] = entry, frame
            new.append(frame)
        return new


def _read_whole(entry: Entry, path: Path, allow_outside: bool) -> Frame:
    """A frame whose files were decoded to their end. Raises ``CaptureError`` where one cannot be."""
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
    """What changes when a file does; None where there is none that can be read."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
