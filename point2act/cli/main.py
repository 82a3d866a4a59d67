"""The command line: ``point2act run | ask | plan | grasp | …``. A skin; every import is made late."""

from __future__ import annotations

import atexit
import gc
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from importlib import import_module

from point2act.core.errors import Point2ActError

COMMANDS = {
    "capture": "RGB-D recordings, photographs or a video to a capture folder.",
    "check": "What is wrong or weak with a capture, in plain words.",
    "run": "A capture, and what to find in it, to grasps, in one process.",
    "ask": "Have a model point at things in every image of a capture.",
    "plan": "Have a model work out what an instruction needs.",
    "grasp": "Grasps from a trained run; or a new question to it, without training again.",
    "view": "Look at a scene in a browser: ask, point, see the grasps.",
    "demo": "The whole way on a simulated table, and a look at it.",
    "simulate": "Make a simulated capture of a tabletop, or try grasps in physics.",
    "gripper": "Check a gripper's file and draw its hand.",
}

EVERYWHERE = {
    "--verbose": "also tell what helps to hunt a problem, such as every request",
    "--quiet": "tell warnings and errors only, and results",
    "--json-log": "tell it in JSON, one object a line of standard error",
    "--debug": "tracebacks where something goes wrong",
}
"""What may be said with every command."""

_SIGPIPE = 141
"""The exit code that shells give for a program which wrote to a pipe that nobody reads."""

_EVERY_COMMAND = "\nWith every command:\n" + "\n".join(
    f"  {flag:<12} {EVERYWHERE[flag]}" for flag in EVERYWHERE
)

_OVERVIEW = """\
usage: point2act COMMAND [OPTIONS]

Ask for "the handle of the blue mug" and get grasps for it: what a model points
at in many photographs becomes one place on 3D Gaussians, to be grasped there.

Commands:
{commands}

A first time, on a simulated table (which needs MuJoCo: pip install mujoco),
all at once with `point2act demo --view`, or step by step:
  point2act simulate --output table/         photographs, depth, answers
  point2act run table/ --output out/         places and grasps
  point2act simulate --try out/grasps.json   a simulated hand tries them
  point2act view out/                        ask and point in a browser

With photographs of your own:
  point2act capture photos DIR --output capture/
                            makes a capture; also video FILE, rgbd DIR, …
  capture/transforms.json   or by yourself: intrinsics and poses as nerfstudio
                            has them; images, and best of all depth
  point2act run capture/ --output out/ --query "the handle of the mug"
      --model qwen3_vl_8b --server http://localhost:8000/v1
                            asks a model; --follow: while the robot still moves
  point2act run capture/ --output out/
                            takes points from capture/points.json, as ask writes

What `run` writes into out/:
  grasps.json    per query the place, and grasps or why there are none
  report.html    all of it in pictures, on one page
  scene.ply      the Gaussians, for any splat viewer
  relevancy.ply  the same, coloured by what was asked for
  timings.json   seconds per stage
  points.json    what the model answered, where one was asked
  run.json       what `point2act grasp` asks the same scene anew with

More:
  point2act COMMAND --help             every option of a command
{flags}
  point2act --version
  ns-train point2act --data capture/   the same in nerfstudio: viewer, export
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; exit with 2 and one sentence when the user can mend what went wrong."""
    given = list(sys.argv[1:] if argv is None else argv)
    flags = {argument for argument in given if argument in EVERYWHERE}
    arguments = [argument for argument in given if argument not in EVERYWHERE]
    for stream in (sys.stdout, sys.stderr):
        # Names of files need not be in letters that the terminal has, nor in any at all.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            _obey(arguments, flags)
        finally:
            _flush()
    except BrokenPipeError:
        _hang_up()


def _obey(arguments: Sequence[str], flags: Set[str]) -> None:
    """What was asked for, with everything that is told on standard error."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
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
            _fail("--verbose and --quiet contradict each other: leave one of them away")
        if verbose:
            log_environment(arguments)
        _run(arguments[0], arguments[1:], debug="--debug" in flags)


def _run(name: str, rest: Sequence[str], *, debug: bool) -> None:
    if name not in COMMANDS:
        _fail(f"there is no command '{name}': use one of {', '.join(COMMANDS)}")
    # At the end all memory goes back at once; searching it for garbage first takes half a second after torch.
    atexit.register(gc.freeze)
    try:
        _command(name)(rest)
    except Point2ActError as err:
        if debug:
            raise
        _fail(str(err))
    except KeyboardInterrupt:
        # At once: threads that wait for a slow server would hold up the end for a minute. What this thread
        # had under way is cleaned up by now, and all files are written whole or not at all.
        with suppress(OSError):
            _flush()
        os._exit(130)
    finally:
        if {"-h", "--help"} & set(rest):
            print(_EVERY_COMMAND)


def _overview() -> str:
    lines = [f"  {name:<10} {summary}" for name, summary in COMMANDS.items()]
    flags = [f"  point2act COMMAND {flag:<19}{summary}" for flag, summary in EVERYWHERE.items()]
    return _OVERVIEW.format(commands="\n".join(lines), flags="\n".join(flags)).rstrip()


def _command(name: str) -> Callable[[Sequence[str]], None]:
    """A command's own main. Nothing that libraries make while they load is garbage: none is looked for."""
    gc.disable()
    try:
        return import_module(f"point2act.cli.{name}").main
    finally:
        gc.enable()


def _fail(message: str) -> None:
    logging.getLogger(__name__).error("%s", message)
    raise SystemExit(2)


def _flush() -> None:
    """Standard output may be closed from the beginning."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _hang_up() -> None:
    """Whoever read standard output has read enough, as ``head`` does: end without a word."""
    # What is left to write, the interpreter writes at its end: to nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(_SIGPIPE)
