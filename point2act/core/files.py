"""Files written whole or not at all, JSON read strictly, and the JSON Schemas that ship with the package."""

from __future__ import annotations

import json
import logging
import os
import re
import reprlib
import stat
import sys
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from point2act.core.errors import Point2ActError

_log = logging.getLogger(__name__)
_SCHEMAS = Path(__file__).resolve().parent / "schemas"
# Bytes. 10 000 frames with all their replies stay below a quarter of it. Chosen.
_LARGEST = 256 * 2**20
# What is read here nests 8 deep at most; some hundreds more and printing a value overflows the stack. Chosen.
_DEEPEST = 50
# What jsonschema checks in a minute (measured: 20 000 a second); 5000 answers have 50 000.
_MOST_VALUES = 1_000_000
# What a file is called while it is written: its name, the process, the thread.
_DRAFT = re.compile(r"\..+\.([1-9]\d{0,8})\.\d+\.part", re.DOTALL)
# Seconds. A draft of no running program was left by one that was killed, unless it is of another machine's
# that shares the folder: that would still be writing it. A number that is running again may be of another
# program: then a day tells. Chosen.
_STILL_WRITING, _FORGOTTEN = 60, 24 * 3600

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = 80


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a file atomically: readers see the old file or the new one, never half of one.

    Makes missing folders. Raises ``Point2ActError`` where the file cannot be written.
    """
    with replacing(path) as draft:
        draft.write_bytes(data)


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A draft beside a file, to be written within ``with``; at its end it takes the file's place.

    After an error the file is as it was and the draft is gone. Makes missing folders, and removes drafts that
    a program left in this one when it was killed. Raises ``Point2ActError`` where the file cannot be
    written.
    """
    path = Path(path)
    with writing(path):
        # A draft of its own for each writer, also for two threads that write the same file.
        draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            os.replace(draft, path)
            _log.debug("wrote %s, %d bytes", path, path.stat().st_size)
        finally:
            draft.unlink(missing_ok=True)
        # Not with every file: to list a folder of ten thousand takes milliseconds.
        _remove_drafts(path.parent.absolute(), int(time.monotonic() // _STILL_WRITING))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise ``Point2ActError`` for any trouble with writing a file or folder within ``with``."""
    try:
        yield
    except (OSError, ValueError) as err:
        # A ValueError is a name that no file can have.
        raise Point2ActError(f"{path} cannot be written ({err}): choose another place for it") from err


@lru_cache(maxsize=64)
def _remove_drafts(folder: Path, minute: int) -> None:
    """Remove the drafts of programs that are gone; once in a minute, which is there to be remembered."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            # One may be gone meanwhile, or not ours to remove.
            with suppress(OSError):
                if _is_left(entry):
                    os.unlink(entry.path)


def _is_left(entry: os.DirEntry[str]) -> bool:
    """Whether a file is a draft that nobody is writing any more."""
    draft = _DRAFT.fullmatch(entry.name)
    if draft is None or not entry.is_file(follow_symlinks=False):
        return False
    age = time.time() - entry.stat(follow_symlinks=False).st_mtime
    return age > (_FORGOTTEN if _is_running(int(draft[1])) else _STILL_WRITING)


def _is_running(process: int) -> bool:
    """Whether a process of this number is running; also where the system does not say."""
    if os.name == "nt":
        return True  # To ask for it would end it there.
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # It is somebody else's.
    return True


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically, see ``as_utf8``."""
    write_bytes(path, as_utf8(text))


def as_utf8(text: str) -> bytes:
    """The bytes of a text.

    What UTF-8 cannot say, as in the name of a folder that is not UTF-8, is written as JSON would write it.
    """
    return text.encode("utf-8", errors="backslashreplace")


def write_json(path: Path | str, document: Any) -> None:
    """Write strict JSON (no NaN, no infinity) atomically."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_bytes(path: Path | str, error: type[Point2ActError], *, largest: int = _LARGEST) -> bytes:
    """The content of a file, which is a regular one: a pipe or a device might never end.

    Raises ``error`` where there is none, where it cannot be read, or is larger than ``largest`` bytes.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise error(
                f"{path} cannot be read (it is a folder, a pipe or a device): give the path of a file"
            )
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except FileNotFoundError as err:
        raise error(f"{path} does not exist: check the path") from err
    except OSError as err:
        raise error(f"{path} cannot be read ({err.strerror}): check the path and its permissions") from err
    except ValueError as err:
        raise error(f"{str(path)!r} cannot be read ({err}): check the path") from err
    if len(data) > largest:
        raise error(
            f"{path} has more than {largest / 2**20:g} MB: give the right file, or a part of this one"
        )
    return data


def read_json(path: Path | str, error: type[Point2ActError]) -> Any:
    """Read strict JSON. Raises ``error``, naming the line, where it is not.

    Strict: UTF-8, numbers that are some, no key twice in an object.
    """
    data = read_bytes(path, error)
    try:
        document = json.loads(
            data.decode("utf-8-sig"), parse_constant=_no_constant, object_pairs_hook=_object
        )
        check_nesting(document)
        return document
    except (ValueError, RecursionError) as err:
        why = "nested too deeply" if isinstance(err, RecursionError) else err
        raise error(f"{path} is not valid JSON ({why}): mend it or write it again") from err


def check_nesting(document: Any) -> None:
    """Raise a ``ValueError`` where lists and tables are nested deeper than any file of ours has them."""
    if next(islice(levels(document), _DEEPEST, None), None) is not None:
        raise ValueError(f"nested more than {_DEEPEST} deep")


def levels(document: Any) -> Iterator[list[Any]]:
    """The values of a document, level by level, without recursion."""
    level = [document]
    while level:
        yield level
        holders = [value for value in level if isinstance(value, (dict, list))]
        level = [value for held in holders for value in (held.values() if isinstance(held, dict) else held)]


def brief(value: Any) -> str:
    """A value of a file as an error may show it: on one line, control characters visible, not long."""
    return _brief.repr(value)


def is_text(words: str, *, but: str = "") -> bool:
    """Whether terminals and files can hold words: no control characters but these, no half surrogates."""
    return all(unicodedata.category(sign) not in ("Cc", "Cs") or sign in but for sign in words)


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a file format: ``"points"`` or ``"grasps"``."""
    return json.loads((_SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


def schema_problem(document: Any, name: str) -> str | None:
    """What keeps a document from following a schema, in words, or None.

    The words name the place, what is there, and what belongs there (the ``description`` in the schema).
    """
    with _without_grammar_of_addresses():
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match

    if sum(map(len, levels(document))) > _MOST_VALUES:
        return f"it has more than {_MOST_VALUES} values: write less, or several files"
    problem = best_match(Draft202012Validator(schema(name)).iter_errors(document))
    if problem is None:
        return None
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem.absolute_path)
    belongs = problem.schema.get("description") if isinstance(problem.schema, dict) else None
    message = (
        problem.message
        if len(problem.message) <= 160
        else f"{problem.message[:80]} … {problem.message[-70:]}"
    )
    return f"at {place.lstrip('.') or 'the top level'}, {message}: {belongs or 'mend it'}"


@contextmanager
def _without_grammar_of_addresses() -> Iterator[None]:
    """Import jsonschema without what it would check international addresses by, which no schema of ours has.

    Where that is installed (notebooks bring it), it builds 38 parsers on import: a second for nothing.
    """
    name = "rfc3987_syntax"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say: not there
    try:
        yield
    finally:
        del sys.modules[name]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """As json's own, which would keep the last of two values under one key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"an object has the key {brief(name)} twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
