"""Logging of the command line to standard error: text or JSON lines, without API keys.

The package itself only logs to ``logging.getLogger("point2act…")``; a program that uses it as a library
configures its own handlers.
"""

from __future__ import annotations

import io
import json
import logging
import math
import os
import platform
import re
import shlex
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any

from point2act.core.secrets import hide_keys

# Without it, Python would print warnings on the terminal of a program that has configured no logging.
logging.getLogger("point2act").addHandler(logging.NullHandler())

_log = logging.getLogger(__name__)

# Packages whose versions are logged.
_LIBRARIES = (
    "numpy",
    "scipy",
    "torch",
    "numba",
    "open3d",
    "pycolmap",
    "nerfstudio",
    "openai",
    "transformers",
)
# What tyro puts around an error.
_FRAME = " \t\r│|"
_PICTURE = re.compile(r"(data:image/\w+;base64,)[\w+/=]{64,}")
# Attributes of every record; the others were passed as ``extra``.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "drawn"}


def printable(text: str) -> str:
    """Escape the control characters of untrusted text for a terminal."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def bars_enabled() -> bool:
    """Return whether progress bars may be drawn: not with ``quiet`` or ``json_log``."""
    return all(handler.bars for handler in logging.getLogger().handlers if isinstance(handler, StderrHandler))


@contextmanager
def log_to_stderr(*, verbose: bool = False, quiet: bool = False, json_log: bool = False) -> Iterator[None]:
    """Log records, Python warnings and uncaught exceptions to standard error within the block.

    Args:
        verbose: Also log debug messages, and messages of other libraries.
        quiet: Log warnings and errors only.
        json_log: Write each line as one JSON object, also what other code prints to standard error.
    """
    ours = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    others = logging.INFO if verbose else logging.WARNING
    handler = StderrHandler(
        _JsonFormatter() if json_log else _TextFormatter(),
        levels=(ours, others),
        bars=not (quiet or json_log),
        stream=sys.stderr if json_log else None,
    )
    root, package = logging.getLogger(), logging.getLogger("point2act")
    before = root.level, package.level, warnings.showwarning, threading.excepthook, sys.stderr
    root.setLevel(others if verbose else root.level)
    package.setLevel(ours)
    root.addHandler(handler)
    warnings.showwarning = _log_warning
    threading.excepthook = lambda crash: handler.log_exception(
        crash.exc_type, crash.exc_value, crash.exc_traceback
    )
    if json_log and sys.stderr is not None:
        sys.stderr = _PrintsToRecords(sys.stderr)
    try:
        yield
    except Exception:
        sys.excepthook = handler.log_exception  # Called at the exit of the program.
        raise
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        package.setLevel(before[1])
        warnings.showwarning, threading.excepthook, sys.stderr = before[2:]


def log_environment(arguments: Sequence[str]) -> None:
    """Log the command line, the machine and the versions of libraries, as a bug report needs them."""
    versions = []
    for name in ("point2act", *_LIBRARIES):
        with suppress(PackageNotFoundError):
            versions.append(f"{name} {version(name)}")
    system = f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} processors"
    _log.debug("point2act %s", shlex.join(arguments))
    _log.debug("%s; %s", system, ", ".join(versions))


class StderrHandler(logging.Handler):
    """A handler that writes to the current ``sys.stderr``, above progress bars if there are some."""

    def __init__(
        self, formatter: logging.Formatter, *, levels: tuple[int, int], bars: bool, stream: Any = None
    ):
        """Take the lowest levels of this package's and of others' records; ``stream`` replaces sys.stderr."""
        super().__init__()
        self.setFormatter(formatter)
        self.bars = bars
        self._levels, self._stream = levels, stream

    def filter(self, record: logging.LogRecord) -> Any:
        """Drop records below the level, and those that a progress bar shows."""
        least = self._levels[0 if _is_ours(record) else 1]
        return record.levelno >= least and not getattr(record, "drawn", False) and super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; a closed or missing stream is ignored."""
        stream = self._stream or sys.stderr
        try:
            line = self.format(record) + "\n"
        except Exception:
            return self.handleError(record)
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.write(line)
                stream.flush()

    def log_exception(
        self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Log an uncaught exception; has the signature of ``sys.excepthook``."""
        if error is not None and not issubclass(kind, SystemExit):
            words = f"stopped by {kind.__name__}: {error}"
            info = (kind, error, trace)
            self.handle(_log.makeRecord(_log.name, logging.ERROR, "", 0, "%s", (words,), info))


class _TextFormatter(logging.Formatter):
    """A text line per record, followed by its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        library = record.name.split(".")[0]
        words = _safe(record.getMessage())
        if hasattr(record, "stage"):
            fields = vars(record)
            note = _safe(fields["note"] or "")
            line = f"{fields['stage']:<24} {fields['seconds']:7.1f} s  {note}".rstrip()
        elif record.levelno >= logging.ERROR:
            line = f"{library}: {words}"
        elif record.levelno >= logging.WARNING:
            line = f"{library}: warning: {words}"
        elif record.levelno >= logging.INFO and _is_ours(record):
            line = words
        else:
            line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.name}: {words}"
        return "\n".join([line, *_traceback(record)])


class _JsonFormatter(logging.Formatter):
    """An ASCII JSON object per record: time, level, logger, message, traceback and extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        time_of = datetime.fromtimestamp(record.created, timezone.utc)
        document = {name: _json_value(value) for name, value in vars(record).items() if name not in _STANDARD}
        document |= {
            "time": time_of.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _safe(record.getMessage()),
        }
        trace = _traceback(record)
        return json.dumps(document | ({"traceback": "\n".join(trace)} if trace else {}))


class _PrintsToRecords(io.TextIOBase):
    """A replacement of standard error that logs every printed line."""

    encoding = "utf-8"

    def __init__(self, stream: Any):
        self._stream, self._rest = stream, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if any(sign.isalnum() for sign in line):
                logging.getLogger("stderr").warning("%s", line.strip(_FRAME))
        return len(text)

    def fileno(self) -> int:
        return self._stream.fileno()


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """Log a Python warning; has the signature of ``warnings.showwarning``."""
    logging.getLogger("py.warnings").warning("%s (%s, %s:%d)", message, category.__name__, filename, lineno)


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.split(".")[0] == "point2act"


def _safe(text: str) -> str:
    """Return text on one line, without keys and base64 images."""
    return printable(hide_keys(_PICTURE.sub(r"\1…", " ".join(text.splitlines()))))


def _traceback(record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    return [_safe(line) for line in logging.Formatter().formatException(record.exc_info).splitlines()]


def _json_value(value: object) -> object:
    """Return a field as JSON can hold it: other types and non-finite numbers as text."""
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _safe(str(value))
