"""Options of a command: declared as dataclasses, parsed by tyro, also read from a TOML file.

A command has user-level options, whose dataclass is quick to import, and may have advanced ones, whose
dataclass is imported only when one of them is used.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

from point2act.core import config_files
from point2act.core.errors import Point2ActError
from point2act.core.files import brief

T = TypeVar("T")
Texts = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
"""An option that may be repeated."""

_METAVARS = {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH"}
# Longest list of choices that fits a line of help; a longer one is in the option's text.
_LONGEST = 60
_HIDDEN = (tyro.conf.Fixed, tyro.conf.Suppress, tyro.conf.SuppressFixed)


@dataclass(frozen=True)
class Option:
    """One option of the command line."""

    path: str
    """Name without dashes, such as ``fit.iterations``."""
    group: str
    owner: type
    """Dataclass that declares it."""
    field: str
    kind: Any
    """Type without None and annotations."""
    default: Any
    """MISSING if it is required."""
    positional: bool
    repeatable: bool

    @property
    def text(self) -> str:
        """Return the docstring below the field, on one line and without markup."""
        return _field_texts(self.owner).get(self.field, "").replace("``", "")

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the option strings; none for a positional argument."""
        if self.positional:
            return ()
        group, dot, name = self.path.rpartition(".")
        return (f"--{self.path}", *([f"--{group}{dot}no-{name}"] if self.kind is bool else []))

    @property
    def choices(self) -> tuple[str, ...]:
        """Return the values of a Literal; none for other types."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def metavar(self) -> str:
        """Return the placeholder of the value."""
        if self.positional:
            return self.path.upper()
        if self.kind is bool:
            return ""
        if get_origin(self.kind) is tuple:
            return "TEXT" if self.repeatable else "VALUE ..."
        if not self.choices:
            return _METAVARS.get(self.kind, "VALUE")
        values = f"{{{','.join(self.choices)}}}"
        return values if len(values) <= _LONGEST else "ONE"

    def count(self, following: Sequence[str]) -> int:
        """Return how many of the following tokens are values of this option."""
        if self.kind is bool:
            return 0
        if get_origin(self.kind) is not tuple or self.repeatable:
            return 1
        if ... not in get_args(self.kind):
            return len(get_args(self.kind))
        ends = (number for number, token in enumerate(following) if token.startswith("--"))
        return next(ends, len(following))


def list_options(config: Any, *, prefix: str = "", group: str | None = None) -> list[Option]:
    """Return all options of a configuration dataclass or an instance, which then provides the defaults.

    A field that is a dataclass is a group: titled with its field's name, or its prefix where it has one.
    """
    cls = config if isinstance(config, type) else type(config)
    hints = get_type_hints(cls, include_extras=True)
    options: list[Option] = []
    for field in fields(cls):
        kind, marks = _unwrap(hints[field.name])
        if any(mark in _HIDDEN for mark in marks):
            continue
        named = [mark.name for mark in marks if isinstance(getattr(mark, "name", None), str)]
        path = ".".join(filter(None, (prefix, named[0] if named else field.name.replace("_", "-"))))
        default = _default(config, field)
        if is_dataclass(kind):
            title = path if path != prefix else group or field.name.replace("_", " ")
            options += list_options(kind if default is MISSING else default, prefix=path, group=title)
        else:
            marked = (tyro.conf.Positional in marks, tyro.conf.UseAppendAction in marks)
            options.append(Option(path, group or "options", cls, field.name, kind, default, *marked))
    return options


def _default(config: Any, field: Any) -> Any:
    if not isinstance(config, type):
        return getattr(config, field.name)
    return field.default if field.default_factory is MISSING else field.default_factory()


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type without None and annotations, and the annotations."""
    marks: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        marks = tuple(rest)
    if get_origin(hint) in (Union, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        hint = kinds[0] if len(kinds) == 1 else hint
    return hint, marks


@cache
def _field_texts(cls: type) -> dict[str, str]:
    """Return the docstrings below the fields of a dataclass, each on one line."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        except OSError:  # A program that is shipped without its source has no texts.
            continue
        assert isinstance(body, ast.ClassDef)
        for field, text in pairwise(body.body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                assert isinstance(field.target, ast.Name)
                texts[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return texts


def parse(arguments: type[T], argv: Sequence[str], command: str) -> T:
    """Parse the options of a command that has no advanced ones, or show its help."""
    return parse_user_level(arguments, argv, command, advanced=None)[0]


def parse_kind(
    kinds: Mapping[str, type], argv: Sequence[str], command: str, error: type[Point2ActError], verb: str
) -> Any:
    """Parse the arguments of a command whose first argument selects one of several dataclasses.

    Args:
        kinds: The dataclasses by name.
        argv: The arguments behind the command.
        command: The command.
        error: What is raised if the first argument is none of the names.
        verb: What is done with it, such as ``do``.

    Raises:
        SystemExit: Help was asked for, and is shown.
    """
    if argv and argv[0] in kinds:
        return parse(kinds[argv[0]], argv[1:], f"{command} {argv[0]}")
    if not {"-h", "--help", "--help-all"} & set(argv):
        raise error(f"point2act {command} needs what to {verb} as its first argument: {', '.join(kinds)}")
    from point2act.cli.help import format_kinds

    print(format_kinds(command, kinds))
    raise SystemExit(0)


def parse_user_level(
    arguments: type[T], argv: Sequence[str], command: str, *, advanced: Callable[[], Any] | None
) -> tuple[T, list[str]]:
    """Parse the user-level options of a command, or show its help.

    Args:
        arguments: Dataclass of the user-level options.
        argv: Arguments after the command's name.
        command: Name of the command.
        advanced: Imports and returns the dataclass of the advanced options.

    Returns:
        The parsed options, and the tokens of the advanced ones, for ``parse_advanced``.

    Raises:
        Point2ActError: If an option is unknown, on the command line or in the file of ``--config``.
    """
    options = list_options(arguments)
    if {"-h", "--help", "--help-all"} & set(argv):
        from point2act.cli.help import format_help

        everything = "--help-all" in argv
        options += _further(advanced, options) if everything else []
        print(format_help(arguments, options, command, everything=everything))
        raise SystemExit(0)
    typed, file = _take_config(argv)
    table = {} if file is None else _read_table(file)
    further: list[Option] = []
    if _unknown(typed, table, options):
        further = _further(advanced, options)
        _refuse_unknown(typed, table, [*options, *further], file, command)
    tokens = [*_as_tokens(table, [*options, *further], typed, file), *typed]
    split: tuple[list[str], list[str]] = ([], [])
    for option, words in _walk(tokens, [*options, *further]):
        split[option in further].extend(words)
    return tyro.cli(arguments, args=split[0], prog=f"point2act {command}"), split[1]


def parse_advanced(default: T, tokens: Sequence[str], command: str) -> T:
    """Return a configuration with some values replaced by the tokens of advanced options."""
    if not tokens:
        return default
    return tyro.cli(type(default), default=default, args=tokens, prog=f"point2act {command}")


def _further(advanced: Callable[[], Any] | None, options: Sequence[Option]) -> list[Option]:
    """Return the advanced options that are not user-level ones."""
    names = {option.path for option in options}
    return [] if advanced is None else [o for o in list_options(advanced()) if o.path not in names]


def _walk(tokens: Sequence[str], options: Sequence[Option]) -> Iterator[tuple[Option | None, Sequence[str]]]:
    """Yield each option with its tokens, and each other token by itself."""
    flags = {flag: option for option in options for flag in option.flags}
    start = 0
    while start < len(tokens):
        flag, equals, _ = tokens[start].partition("=")
        option = flags.get(flag.replace("_", "-"))
        end = start + 1 + (0 if option is None or equals else option.count(tokens[start + 1 :]))
        yield option, tokens[start:end]
        start = end


def _take_config(argv: Sequence[str]) -> tuple[list[str], Path | None]:
    """Separate ``--config FILE`` from the other arguments."""
    option = Option("config", "", Path, "", Path, None, positional=False, repeatable=False)
    walked = list(_walk(argv, [option]))
    rest = [word for found, words in walked if found is None for word in words]
    values = [words[-1].removeprefix("--config=") for found, words in walked if found is not None]
    if values and values[-1] == "--config":
        raise Point2ActError("--config needs the path of a TOML file")
    return rest, Path(values[-1]) if values else None


def _read_table(path: Path) -> dict[str, Any]:
    """Read a TOML file as values by the path of their option."""
    if path.suffix != ".toml" or not path.is_file():
        raise Point2ActError(f"--config {path}: there is no such .toml file")
    return dict(_flatten(config_files.load("configs", path, Point2ActError)[1]))


def _flatten(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        path = prefix + key.replace("_", "-")
        if isinstance(value, dict):
            yield from _flatten(value, f"{path}.")
        else:
            yield path, value


def _unknown(
    typed: Sequence[str], table: dict[str, Any], options: Sequence[Option]
) -> tuple[list[str], list[str]] | None:
    """Return the unknown options of the command line and those of the file; None if there are none."""
    names = {option.path for option in options}
    words = [words[0] for option, words in _walk(typed, options) if option is None]
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    keys = [key for key in table if key not in names]
    return (flags, keys) if flags or keys else None


def _refuse_unknown(
    typed: Sequence[str], table: dict[str, Any], options: Sequence[Option], file: Path | None, command: str
) -> None:
    unknown = _unknown(typed, table, options)
    if unknown is None:
        return
    flags, keys = unknown
    known = [option.path for option in options] if not flags else [f for o in options for f in o.flags]
    close = difflib.get_close_matches((flags or keys)[0].replace("_", "-"), known)
    what = f"unknown option {flags[0]}" if flags else f"{file}: unknown key '{keys[0]}'"
    hint = f": did you mean {' or '.join(close)}?" if close else ""
    raise Point2ActError(f"{what}{hint}; point2act {command} --help-all lists all options")


def _as_tokens(
    table: dict[str, Any], options: Sequence[Option], typed: Sequence[str], file: Path | None
) -> Iterator[str]:
    """Yield a file's values as arguments, without those that the command line has."""
    walked = list(_walk(typed, options))
    given = {option.path for option, _ in walked if option is not None}
    positional = any(option is None for option, _ in walked)
    for option in options:
        if option.path not in table or option.path in given or (option.positional and positional):
            continue
        value = table[option.path]
        if isinstance(value, bool) != (option.kind is bool) or isinstance(value, list) > (
            get_origin(option.kind) is tuple
        ):
            raise Point2ActError(f"{file}: '{option.path}' is {brief(value)}: see --help-all for its type")
        if option.positional:
            yield str(value)
        elif option.kind is bool:
            yield option.flags[0 if value else 1]
        elif option.repeatable:
            yield from (f"{option.flags[0]}={item}" for item in _leaves(value))
        elif isinstance(value, list):
            yield from (option.flags[0], *_leaves(value))
        else:
            yield f"{option.flags[0]}={value}"


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield str(value)
