"""Captures from archives of strangers: nothing is written outside of a folder, nor more than is allowed."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from point2act.core.errors import CaptureError
from point2act.data.capture.read import NAME as TRANSFORMS
from point2act.service.limits import ServiceLimits

_BLOCK = 1 << 20
# Bytes of a name, and folders above a file: more than captures have, and less than file systems allow.
_LONGEST, _DEEPEST = 200, 20
# Bytes of the end of a zip file's directory, of the longest comment behind it, of the locator before it, and
# of an entry with its name.
_END, _COMMENT, _LOCATOR, _ENTRY = 22, 65_535, 20, 512
# Bytes: a header of tar with long names has some kilobytes.
_LONGEST_READ = 4 << 20


def extract(archive: Path, folder: Path, limits: ServiceLimits) -> Path:
    """Extract a zip or tar archive into a folder that does not exist yet.

    Only regular files are written. Sizes are counted as they are written, whatever the archive claims.

    Args:
        archive: The archive; its kind is read from its content.
        folder: Folder to make.
        limits: Maximum number and size of the files.

    Returns:
        The folder with ``transforms.json``: the given one, or the only one in it.

    Raises:
        CaptureError: It is not an archive, breaks a limit, or has a link, a device, or a name that leads
            elsewhere; the folder may be incomplete.
    """
    try:
        with _members(archive, limits) as members:
            _write_all(members, folder, limits)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as err:
        raise CaptureError(f"the archive cannot be read ({err}): send a .zip or .tar.gz file") from err
    except (OSError, RuntimeError, ValueError) as err:  # An encrypted zip is a RuntimeError.
        raise CaptureError(f"the archive cannot be extracted ({type(err).__name__}): make it again") from err
    found = [folder, *(path for path in folder.iterdir() if path.is_dir())]
    with_transforms = [path for path in found if (path / TRANSFORMS).is_file()]
    if len(with_transforms) != 1:
        raise CaptureError(f"the archive has no {TRANSFORMS} at its top: send one capture")
    return with_transforms[0]


_Member = tuple[str, IO[bytes] | None]
"""Name and content of a file; None for a folder."""


@contextmanager
def _members(archive: Path, limits: ServiceLimits) -> Iterator[Iterator[_Member]]:
    with archive.open("rb") as file:
        if zipfile.is_zipfile(file):
            _check_directory(file, limits)
            with zipfile.ZipFile(file) as opened:
                yield _of_zip(opened)
            return
        file.seek(0)
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        content = gzip.GzipFile(fileobj=file) if zipped else file
        with tarfile.TarFile(fileobj=_ShortReads(content)) as tar:
            yield _of_tar(tar)


def _check_directory(file: IO[bytes], limits: ServiceLimits) -> None:
    """Raise ``CaptureError`` for a zip file with a long list of members, which would be read into memory.

    Source: .ZIP File Format Specification 6.3.10, sections 4.3.15 and 4.3.16.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END - _COMMENT - _LOCATOR))
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < _END:
        raise CaptureError("the archive is truncated: send it again")
    (listed,) = struct.unpack_from("<I", tail, end + 12)
    zip64 = tail[max(0, end - _LOCATOR) : end].startswith(b"PK\x06\x07")
    if zip64 or listed > limits.max_files * _ENTRY:
        raise CaptureError(f"the archive lists over {limits.max_files} files: send fewer images")


class _ShortReads(io.RawIOBase):
    """A file that refuses long reads: tarfile reads headers into memory, as long as they claim to be."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile):
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes."""
        if not 0 <= size <= _LONGEST_READ:
            raise CaptureError("the archive has a header of many megabytes: make it again")
        return self._file.read(size)

    def seek(self, offset: int, start: int = os.SEEK_SET) -> int:
        """Move to a position."""
        return self._file.seek(offset, start)


def _of_zip(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        # The upper 16 bits are the mode of Unix, whose highest 4 are the kind: 0o12 is a link.
        if (info.external_attr >> 28) == 0o12:
            raise CaptureError(f"the archive has a link, {info.filename!r}: send files alone")
        if info.is_dir():
            yield info.filename, None
        else:
            with archive.open(info) as file:
                yield info.filename, file


def _of_tar(archive: tarfile.TarFile) -> Iterator[_Member]:
    for info in archive:
        if info.isdir():
            yield info.name, None
        elif info.isreg():
            yield info.name, archive.extractfile(info)
        else:
            raise CaptureError(f"the archive has a link or a device, {info.name!r}: send files alone")


def _write_all(members: Iterator[_Member], folder: Path, limits: ServiceLimits) -> None:
    folder.mkdir(parents=True)
    left, count = limits.max_upload, 0
    for name, file in members:
        count += 1
        if count > limits.max_files:
            raise CaptureError(f"the archive has over {limits.max_files} files: send fewer images")
        if file is None:
            continue
        target = folder / _safe(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        # O_EXCL: a name that comes twice does not overwrite, and no link is followed.
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as written:
            while block := file.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise CaptureError(
                        f"the files of the archive have over {limits.max_upload / 2**20:g} MB: send fewer"
                    )
                written.write(block)


def _safe(name: str) -> PurePosixPath:
    """Return the name of a member as a relative path that stays in its folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    bad = path.is_absolute() or ".." in path.parts or ":" in name or not name.isprintable()
    if bad or not path.parts or len(path.parts) > _DEEPEST or len(os.fsencode(str(path))) > _LONGEST:
        raise CaptureError(f"the archive has the name {name[:80]!r}: send names inside of the capture")
    return path
