"""Atomic file writing and strict JSON reading."""

from __future__ import annotations

import json
import logging
import os
import re
import reprlib
import stat
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from point2act.core.errors import Point2ActError

_log = logging.getLogger(__name__)
# Bytes. 10 000 frames with all their replies stay below a quarter of it. Chosen.
_MAX_BYTES = 256 * 2**20
# Bytes that are read at once. Chosen.
_BLOCK = 2**18
# Our files nest 8 deep at most; some hundreds more and printing a value overflows the stack. Chosen.
_MAX_DEPTH = 50
# Name of a temporary file: the target's name, the process, the thread.
_DRAFT = re.compile(r"\..+\.([1-9]\d{0,8})\.\d+\.part", re.DOTALL)
# Age in seconds from which a temporary file is removed: of a process that is not running here (one on another
# machine may share the folder), and of one whose number is running (it may have been reused). Chosen.
_STALE, _STALE_IF_RUNNING = 60, 24 * 3600

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = 80


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a file atomically, making missing folders. Raises ``Point2ActError`` if it cannot be written."""
    with replacing(path) as draft:
        draft.write_bytes(data)


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary file beside ``path`` that replaces it when the block ends without an error.

    Missing folders are made, and temporary files of killed processes in the folder are removed. Raises
    ``Point2ActError`` if the file cannot be written.
    """
    path = Path(path)
    with writing(path):
        # Each writer has its own, also two threads that write the same file.
        draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            os.replace(draft, path)
            _log.debug("wrote %s, %d bytes", path, path.stat().st_size)
        finally:
            draft.unlink(missing_ok=True)
        # At most once a minute per folder: listing ten thousand files takes milliseconds.
        _remove_stale_drafts(path.parent.absolute(), int(time.monotonic() // _STALE))


def check_free(output: Path, error: type[Point2ActError]) -> None:
    """Raise ``error`` if ``output`` exists and is not an empty folder."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise error(f"{output} already exists: choose another --output, or delete it")


@contextmanager
def new_folder(output: Path, error: type[Point2ActError]) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``output`` at the end of a block without an error.

    Raises ``error`` at once if ``output`` exists, and ``Point2ActError`` if it cannot be written.
    """
    check_free(output, error)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as draft:
            folder = Path(draft) / "new"
            folder.mkdir()
            yield folder
            os.replace(folder, output)
    except OSError as err:
        raise Point2ActError(f"{output} cannot be written ({err}): choose another --output") from err


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn any error of writing a file or folder within the block into a ``Point2ActError``."""
    try:
        yield
    except (OSError, ValueError) as err:  # ValueError: a name that no file can have
        raise Point2ActError(f"{path} cannot be written ({err}): choose another place for it") from err


@lru_cache(maxsize=64)
def _remove_stale_drafts(folder: Path, minute: int) -> None:
    """Remove temporary files of killed processes; the cache limits this to once per ``minute``."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # Removed meanwhile, or owned by another user.
                if _is_stale(entry):
                    os.unlink(entry.path)


def _is_stale(entry: os.DirEntry[str]) -> bool:
    import psutil

    draft = _DRAFT.fullmatch(entry.name)
    if draft is None or not entry.is_file(follow_symlinks=False):
        return False
    age = time.time() - entry.stat(follow_symlinks=False).st_mtime
    return age > (_STALE_IF_RUNNING if psutil.pid_exists(int(draft[1])) else _STALE)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically, see ``as_utf8``."""
    write_bytes(path, as_utf8(text))


def as_utf8(text: str) -> bytes:
    """Encode text as UTF-8, lone surrogates (of file names that are not UTF-8) as backslash escapes."""
    return text.encode("utf-8", errors="backslashreplace")


def write_json(path: Path | str, document: Any) -> None:
    """Write strict JSON (finite numbers only) atomically."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_bytes(path: Path | str, error: type[Point2ActError], *, max_bytes: int = _MAX_BYTES) -> bytes:
    """Read a regular file of up to ``max_bytes``. Raises ``error`` for others: a pipe may never end."""
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise error(
                f"{path} cannot be read (it is a folder, a pipe or a device): give the path of a file"
            )
        with path.open("rb") as file:
            data = _read_at_most(file, max_bytes + 1)
    except FileNotFoundError as err:
        raise error(f"{path} does not exist: check the path") from err
    except OSError as err:
        raise error(f"{path} cannot be read ({err.strerror}): check the path and its permissions") from err
    except ValueError as err:
        raise error(f"{str(path)!r} cannot be read ({err}): check the path") from err
    if len(data) > max_bytes:
        size = f"{max_bytes / 2**20:g} MB"
        raise error(f"{path} has more than {size}: give the right file, or a part of this one")
    return data


def _read_at_most(file: IO[bytes], count: int) -> bytes:
    """Read up to ``count`` bytes in blocks: ``file.read(count)`` allocates all of them for any small file."""
    blocks = []
    while count and (block := file.read(min(count, _BLOCK))):
        blocks.append(block)
        count -= len(block)
    return b"".join(blocks)


def read_json(path: Path | str, error: type[Point2ActError]) -> Any:
    """Read strict JSON: UTF-8, finite numbers, no repeated keys, limited nesting. Raises ``error`` if not."""
    data = read_bytes(path, error)
    try:
        return parse_json(data.decode("utf-8-sig"))
    except ValueError as err:
        raise error(f"{path} is not valid JSON ({err}): fix it or write it again") from err


def parse_json(text: str) -> Any:
    """Parse strict JSON: finite numbers, no repeated keys, limited nesting. Raises ``ValueError`` if not."""
    try:
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=unique_keys)
    except RecursionError as err:
        raise ValueError("nested too deeply") from err
    check_nesting(document)
    return document


def read_json_lines(path: Path, error: type[Point2ActError]) -> list[tuple[str, Any]]:
    """Read a file with one strict JSON value a line; empty lines are skipped.

    Args:
        path: File to read.
        error: Raised if the file cannot be read, or a line is not JSON.

    Returns:
        For each value its place, as ``FILE, line 3``, and the value.
    """
    try:
        text = read_bytes(path, error).decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise error(f"{path} is not UTF-8 text ({err.reason}): save it as UTF-8") from err
    values = []
    # Not splitlines: JSON strings may hold other separators of lines.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{path}, line {number}"
            try:
                values.append((place, parse_json(line)))
            except ValueError as err:
                raise error(f"{place} is not valid JSON ({err}): write one JSON object a line") from err
    return values


def check_nesting(document: Any) -> None:
    """Raise a ``ValueError`` for lists and objects nested deeper than any file format here allows."""
    if next(islice(levels(document), _MAX_DEPTH, None), None) is not None:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep")


def levels(document: Any) -> Iterator[list[Any]]:
    """Yield the values of a document level by level, without recursion."""
    level = [document]
    while level:
        yield level
        holders = [value for value in level if isinstance(value, (dict, list))]
        level = [value for held in holders for value in (held.values() if isinstance(held, dict) else held)]


def brief(value: Any) -> str:
    """Return a short one-line representation of a value, control characters escaped."""
    return _brief.repr(value)


def is_text(words: str, *, allowed: str = "") -> bool:
    """Return whether text has no control characters (other than ``allowed``) and no lone surrogates."""
    return words.isprintable() or all(
        unicodedata.category(sign) not in ("Cc", "Cs") or sign in allowed for sign in words
    )


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, refusing repeated keys."""
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"an object has the key {brief(name)} twice")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
