"""Entry point of the command line: ``point2act run | ask | plan | grasp | …``. All other imports are late."""

from __future__ import annotations

import atexit
import gc
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType

from point2act.cli.overview import COMMANDS, EVERYWHERE, module_of, overview
from point2act.core.errors import Point2ActError

_SIGPIPE = 141
"""Exit code of shells for a program that wrote to a closed pipe."""

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command.

    Args:
        argv: Arguments after the program's name. None for those of this process, which then also ends the
            process quickly; otherwise the process is left as it was.

    Raises:
        SystemExit: With code 2 after an error, whose message is one sentence on standard error.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    flags = {argument for argument in given if argument in EVERYWHERE}
    arguments = [argument for argument in given if argument not in EVERYWHERE]
    owns_process = argv is None
    if owns_process:
        # At the end all memory is freed at once; collecting garbage first takes half a second after torch.
        atexit.register(gc.freeze)
    try:
        with _any_name_printable():
            try:
                _dispatch(arguments, flags)
            finally:
                _flush()
    except BrokenPipeError:
        if owns_process:
            # The interpreter writes what is left at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(_SIGPIPE) from None
    except KeyboardInterrupt:
        if not owns_process:
            raise SystemExit(_INTERRUPTED) from None
        # Threads that wait for a slow server would delay a normal exit by a minute. Temporary files are
        # removed by now, and output files are written atomically.
        with suppress(OSError):
            _flush()
        os._exit(_INTERRUPTED)


def import_quickly(name: str) -> ModuleType:
    """Import a module without garbage collection: what libraries create while they load is not garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        return import_module(name)
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _any_name_printable() -> Iterator[None]:
    """Escape characters of file names that the terminal's encoding lacks."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    before = [stream.errors or "strict" for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors=errors)


def _dispatch(arguments: Sequence[str], flags: Set[str]) -> None:
    """Run a command with its log on standard error."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        raise SystemExit(0 if arguments else 2)
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(version("point2act"))
        return
    from point2act.core.logs import log_environment, log_to_stderr

    contradiction = {"--verbose", "--quiet"} <= flags
    verbose, quiet = "--verbose" in flags, "--quiet" in flags and not contradiction
    with log_to_stderr(verbose=verbose, quiet=quiet, json_log="--json-log" in flags):
        if contradiction:
            _fail("do not combine --verbose with --quiet")
        if verbose:
            log_environment(arguments)
        _run(arguments[0], arguments[1:], debug="--debug" in flags)


def _run(name: str, rest: Sequence[str], *, debug: bool) -> None:
    if name not in COMMANDS:
        _fail(f"there is no command '{name}': use one of {', '.join(COMMANDS)}")
    try:
        import_quickly(module_of(name)).main(rest)
    except Point2ActError as err:
        if debug:
            raise
        _fail(str(err))


def _fail(message: str) -> None:
    logging.getLogger(__name__).error("%s", message)
    raise SystemExit(2)


def _flush() -> None:
    """Flush standard output, which may be closed from the start."""
    if sys.stdout is not None:
        sys.stdout.flush()
