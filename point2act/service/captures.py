"""The captures of all clients."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from point2act.data.capture import read_capture
from point2act.service.archives import extract
from point2act.service.jobs import BusyError, MissingError
from point2act.service.limits import ServiceLimits
from point2act.service.requests import CaptureReply


class Captures:
    """Captures in a folder, with names that cannot be guessed.

    Args:
        folder: Folder of the service.
        limits: What clients may ask for.
    """

    def __init__(self, folder: Path, limits: ServiceLimits):
        self._kept, self._uploads = folder / "captures", folder / "uploads"
        self._limits = limits
        self._kept.mkdir(parents=True, exist_ok=True)
        # Uploads of a service that was killed.
        shutil.rmtree(self._uploads, ignore_errors=True)
        self._uploads.mkdir()

    def new_upload(self) -> Path:
        """Return the path of a file to write an archive to.

        Raises:
            BusyError: There are as many captures as may be kept.
        """
        if sum(1 for _ in self._kept.iterdir()) >= self._limits.max_captures:
            raise BusyError(f"{self._limits.max_captures} captures are kept: delete one first")
        return self.new_path()

    def new_path(self) -> Path:
        """Return the path of a file that no one else uses, and that does not outlive the service."""
        return self._uploads / secrets.token_hex(16)

    def add(self, archive: Path) -> CaptureReply:
        """Extract an archive, check that it is a capture, and keep it.

        Raises:
            CaptureError: It is not.
        """
        name, extracted = secrets.token_hex(8), archive.with_suffix(".files")
        try:
            found = extract(archive, extracted, self._limits)
            read_capture(found)
            found.rename(self._kept / name)
        finally:
            shutil.rmtree(extracted, ignore_errors=True)
        return self.describe(name)

    def describe(self, name: str) -> CaptureReply:
        """Return what is known of a capture.

        Raises:
            MissingError: There is none of this name.
        """
        capture = read_capture(self.folder(name))
        depth = any(frame.depth_path is not None for frame in capture.frames)
        return CaptureReply(capture=name, images=len(capture.frames), depth=depth)

    def remove(self, name: str) -> None:
        """Delete a capture; jobs on it that are not done fail, results stay."""
        doomed = self.new_path()
        self.folder(name).rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def folder(self, name: str) -> Path:
        """Return the folder of a capture. Raises ``MissingError`` if there is none of this name."""
        folder = self._kept / name
        # Names are hexadecimal: no path leads elsewhere.
        if not (name.isalnum() and folder.is_dir()):
            raise MissingError("there is no capture of this name")
        return folder
