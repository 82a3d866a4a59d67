"""The help text of a command: its options in groups, wrapped to the width of the terminal."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING

from point2act.cli.options import Option
from point2act.cli.overview import EVERYWHERE

_COLUMN = 24
"""Width of the column of the options."""

_WIDEST = 100

_EVERY_COMMAND = {
    "-h, --help": "Show the options that most users need.",
    "--help-all": "Show every option.",
    "--config FILE.toml": "Read options from a file; tables are named as the option groups.",
    **EVERYWHERE,
}


def format_help(arguments: type, options: Sequence[Option], command: str, *, everything: bool) -> str:
    """Return the help text of a command.

    Args:
        arguments: Dataclass whose docstring describes the command.
        options: Options to show.
        command: Name of the command.
        everything: Show advanced options too, those with a dot in their name.
    """
    shown = [option for option in options if everything or "." not in option.path]
    required = [_invocation(option) for option in shown if option.default is MISSING]
    required += [
        f"[{option.metavar}]" for option in shown if option.positional and option.default is not MISSING
    ]
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    lines = [" ".join(["usage: point2act", command, *required, "[OPTIONS]"]), ""]
    lines += _paragraphs(inspect.getdoc(arguments) or "", width)
    for group in dict.fromkeys(option.group for option in shown):
        lines += ["", f"{group}:"]
        for option in shown:
            if option.group == group:
                lines += _entry(_invocation(option), _explained(option), width)
    lines += ["", "every command:"]
    for invocation, text in _EVERY_COMMAND.items():
        lines += _entry(invocation, text, width)
    return "\n".join(lines)


def _paragraphs(text: str, width: int) -> Iterator[str]:
    """Wrap paragraphs; indented lines stay as they are."""
    for number, block in enumerate(text.split("\n\n")):
        if number:
            yield ""
        yield from block.splitlines() if block.startswith(" ") else textwrap.wrap(block, width)


def _invocation(option: Option) -> str:
    if option.positional:
        return option.metavar
    if option.kind is bool and option.default is True:
        group, dot, name = option.path.rpartition(".")
        return f"--{group}{dot}[no-]{name}"
    return f"{option.flags[0]} {option.metavar}".rstrip()


def _explained(option: Option) -> str:
    if option.default is MISSING:
        return f"{option.text} (required)"
    if option.default is None or option.default is False or option.default == ():
        return option.text
    value = "yes" if option.default is True else option.default
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    return f"{option.text} (default: {value})"


def _entry(invocation: str, text: str, width: int) -> list[str]:
    """Return an option and its text in two columns."""
    column = " " * _COLUMN
    wrapped = textwrap.wrap(text, width - _COLUMN, break_on_hyphens=False, break_long_words=False) or [""]
    if len(invocation) > _COLUMN - 4:
        return [f"  {invocation}", *(f"{column}{line}" for line in wrapped)]
    return [
        f"  {invocation:<{_COLUMN - 2}}{wrapped[0]}".rstrip(),
        *(f"{column}{line}" for line in wrapped[1:]),
    ]


def format_kinds(command: str, kinds: Mapping[str, type]) -> str:
    """Return the help text of a command whose first argument selects one of several dataclasses."""
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    lines = [f"usage: point2act {command} {{{','.join(kinds)}}} [OPTIONS]", ""]
    for name, arguments in kinds.items():
        lines += _entry(name, " ".join((inspect.getdoc(arguments) or "").split("\n\n")[0].split()), width)
    lines += ["", f"point2act {command} {next(iter(kinds))} --help shows its options, and so on.", ""]
    lines += ["every command:"]
    for invocation, text in _EVERY_COMMAND.items():
        lines += _entry(invocation, text, width)
    return "\n".join(lines)
