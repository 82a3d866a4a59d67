"""What goes to standard error: lines for people, or JSON for programs, and never a key.

The package logs to ``logging.getLogger("point2act…")`` and leaves it at that: whoever uses it as a library
decides what becomes of the records. Here is what the command line makes of them.
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

# Without it, warnings would reach the terminals of those who have not asked for any log.
logging.getLogger("point2act").addHandler(logging.NullHandler())

_log = logging.getLogger(__name__)

# Which versions are worth knowing.
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
# What every record has; all else was given to be told.
_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "drawn"}


def printable(text: str) -> str:
    """Text from outside as a terminal may be given it: control characters as Python would write them."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def bars_enabled() -> bool:
    """Whether progress may be drawn: not where the command line tells JSON, or as little as possible."""
    return all(teller.bars for teller in logging.getLogger().handlers if isinstance(teller, StderrHandler))


@contextmanager
def log_to_stderr(*, verbose: bool = False, quiet: bool = False, json_log: bool = False) -> Iterator[None]:
    """Tell on standard error, for as long as the ``with`` lasts, what is logged and what Python warns of.

    ``verbose`` also tells what helps to hunt a problem, and what other libraries have to say; ``quiet``
    warnings and errors alone. With ``json_log`` each line is one JSON object, also what others print there.
    Exceptions that nobody catches are told the same way, even those that end the ``with``.
    """
    ours = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    others = logging.INFO if verbose else logging.WARNING
    teller = StderrHandler(
        _Objects() if json_log else _Lines(),
        levels=(ours, others),
        bars=not (quiet or json_log),
        stream=sys.stderr if json_log else None,
    )
    root, package = logging.getLogger(), logging.getLogger("point2act")
    before = root.level, package.level, warnings.showwarning, threading.excepthook, sys.stderr
    root.setLevel(others if verbose else root.level)
    package.setLevel(ours)
    root.addHandler(teller)
    warnings.showwarning = _warned
    threading.excepthook = lambda crash: teller.crashed(crash.exc_type, crash.exc_value, crash.exc_traceback)
    if json_log and sys.stderr is not None:
        sys.stderr = _Printed(sys.stderr)
    try:
        yield
    except Exception:
        # Called when everything has been left.
        sys.excepthook = teller.crashed
        raise
    finally:
        root.removeHandler(teller)
        root.setLevel(before[0])
        package.setLevel(before[1])
        warnings.showwarning, threading.excepthook, sys.stderr = before[2:]


def log_environment(arguments: Sequence[str]) -> None:
    """Log what is run, by what, on what: what a report of a problem should begin with."""
    versions = []
    for name in ("point2act", *_LIBRARIES):
        with suppress(PackageNotFoundError):
            versions.append(f"{name} {version(name)}")
    system = f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} processors"
    _log.debug("point2act %s", shlex.join(arguments))
    _log.debug("%s; %s", system, ", ".join(versions))


class StderrHandler(logging.Handler):
    """Writes records to standard error, whatever that is at the time: above bars, where some are drawn."""

    def __init__(
        self,
        formatter: logging.Formatter,
        *,
        levels: tuple[int, int],
        bars: bool,
        stream: Any = None,
    ):
        """``levels``: the least of ours, and of others', that are told. ``stream`` in place of sys.stderr."""
        super().__init__()
        self.setFormatter(formatter)
        self.bars = bars
        self._levels, self._stream = levels, stream

    def filter(self, record: logging.LogRecord) -> Any:
        """Leave out what is not worth telling, and what a bar shows already."""
        least = self._levels[0 if _is_ours(record) else 1]
        return record.levelno >= least and not getattr(record, "drawn", False) and super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one."""
        stream = self._stream or sys.stderr
        try:
            line = self.format(record) + "\n"
        except Exception:
            return self.handleError(record)
        # Where nobody reads it any more, or ever did, the work goes on.
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.write(line)
                stream.flush()

    def crashed(
        self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell an exception that nobody has caught, as ``sys.excepthook`` does."""
        if error is not None and not issubclass(kind, SystemExit):
            told = (kind, error, trace)
            words = f"stopped by {kind.__name__}: {error}"
            self.handle(_log.makeRecord(_log.name, logging.ERROR, "", 0, "%s", (words,), told))


class _Lines(logging.Formatter):
    """A line for people; a traceback has more."""

    def format(self, record: logging.LogRecord) -> str:
        library = record.name.split(".")[0]
        words = _words(record)
        if hasattr(record, "stage"):
            line = _stage(vars(record))
        elif record.levelno >= logging.ERROR:
            line = f"{library}: {words}"
        elif record.levelno >= logging.WARNING:
            line = f"{library}: warning: {words}"
        elif record.levelno >= logging.INFO and _is_ours(record):
            line = words
        else:
            line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.name}: {words}"
        return "\n".join([line, *_trace(record)])


class _Objects(logging.Formatter):
    """A JSON object on one line, in ASCII: time, level, logger, message, and what else was given."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, timezone.utc)
        document = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _words(record),
        }
        given = {name: _value(value) for name, value in vars(record).items() if name not in _ORDINARY}
        trace = _trace(record)
        return json.dumps(given | document | ({"traceback": "\n".join(trace)} if trace else {}))


class _Printed(io.TextIOBase):
    """Standard error for those who print there: every line becomes a record."""

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


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """As ``warnings.showwarning``, on one line."""
    logging.getLogger("py.warnings").warning("%s (%s, %s:%d)", message, category.__name__, filename, lineno)


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.split(".")[0] == "point2act"


def _safe(text: str) -> str:
    """On one line, without keys and pictures."""
    return printable(hide_keys(_PICTURE.sub(r"\1…", " ".join(text.splitlines()))))


def _words(record: logging.LogRecord) -> str:
    return _safe(record.getMessage())


def _trace(record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    return [_safe(line) for line in logging.Formatter().formatException(record.exc_info).splitlines()]


def _stage(fields: dict[str, Any]) -> str:
    """A stage's line, in columns."""
    note = _safe(fields["note"] or "")
    return f"{fields['stage']:<24} {fields['seconds']:7.1f} s  {note}".rstrip()


def _value(value: object) -> object:
    """A field as JSON has it: numbers that are some, else words."""
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _safe(str(value))
