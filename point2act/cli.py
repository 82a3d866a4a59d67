"""The command line: ``point2act run | grasp | simulate``. A skin; every import is made late."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from point2act.errors import Point2ActError

COMMANDS = {
    "run": "A capture and its points to grasps, in one process.",
    "grasp": "Grasps from a trained run; or a new question to it, without training again.",
    "simulate": "Make a simulated capture of a tabletop, or try grasps in physics.",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; exit with 2 and one sentence when the user can mend what went wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        raise SystemExit(0 if arguments else 2)
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(version("point2act"))
        return
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        _fail(f"there is no command '{name}': use one of {', '.join(COMMANDS)}")
    try:
        _command(name)(rest)
    except Point2ActError as err:
        if debug:
            raise
        _fail(str(err))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _overview() -> str:
    lines = [f"  {name:<10} {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: point2act COMMAND [OPTIONS]",
            "",
            "Find and grasp the right thing from a sentence.",
            "",
            *lines,
            "",
            "point2act COMMAND --help explains a command; --debug shows tracebacks; --version.",
            "Train, view, render and export with nerfstudio: ns-train point2act --data CAPTURE",
        ]
    )


def _command(name: str) -> Callable[[Sequence[str]], None]:
    return import_module(f"point2act.commands.{name}").main


def _fail(message: str) -> None:
    print(f"point2act: {message}", file=sys.stderr)
    raise SystemExit(2)
