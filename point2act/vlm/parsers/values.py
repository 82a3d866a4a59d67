"""Numbers and bracketed JSON values in a reply, amid prose and code fences."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_CLOSING = {"[": "]", "{": "}", "(": ")"}
# Replies are nested three or four deep: {"points": [{"point_2d": [x, y]}]}. Chosen.
_MAX_DEPTH = 8
# Enough for an object for each of a thousand points. Chosen.
_MAX_BLOCKS = 1000
_TUPLES = str.maketrans("()", "[]")


class UnreadableError(Exception):
    """What is wrong with a reply and, if known, what to do; callers turn it into a ``ReplyError``."""

    def __init__(self, wrong: str, remedy: str = ""):
        super().__init__(wrong)
        self.wrong = wrong
        self.remedy = remedy


@dataclass(frozen=True)
class Annotation:
    """A point or a box, in the model's own units."""

    numbers: tuple[float, ...]
    """``(x, y)``, or the opposite corners ``(x1, y1, x2, y2)``."""
    label: str = ""


@dataclass(frozen=True)
class ParsedReply:
    """A reply, separated into annotations and prose."""

    annotations: tuple[Annotation, ...]
    prose: str
    """Text around the annotations."""
    answered: bool
    """Whether there is an answer in the dialect's own form, even an empty one."""


def truncated(what: str) -> UnreadableError:
    """Return the error of a reply that ends too early; points before its end are not read."""
    return UnreadableError(
        f"{what} is not finished, so the reply was truncated", "raise max_tokens and ask again"
    )


# ASCII only: float() does not read all other digits and spaces.
_DECIMAL = re.compile(r"\s*-?(?:\d+(?:\.\d*)?|\.\d+)\s*", re.ASCII)


def number(value: Any) -> float:
    """Return a JSON number or a decimal as a float; raise ``UnreadableError`` if it is non-finite."""
    if isinstance(value, str) and not re.fullmatch(_DECIMAL, value):
        raise UnreadableError(f"{shorten(value)} is not a number")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UnreadableError(f"{shorten(value)} is in place of a number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise UnreadableError("a number is not finite")
    return found


def consistent(answers: list[tuple[Annotation, ...]]) -> tuple[Annotation, ...]:
    """Return the one answer of a reply, which may repeat it. Raise ``UnreadableError`` if answers differ."""
    if len({tuple(annotation.numbers for annotation in answer) for answer in answers}) > 1:
        raise UnreadableError(f"it gives {len(answers)} answers that contradict one another", "ask again")
    return answers[0] if answers else ()


def shorten(value: Any, length: int = 60) -> str:
    """Return a value for a message: control characters escaped, the middle omitted if it is long."""
    text = repr(value)
    return text if len(text) <= length else f"{text[: length - length // 3]} … {text[-(length // 3) :]}"


@dataclass(frozen=True)
class Block:
    """A bracketed value of a reply."""

    value: Any
    joined: bool
    """Whether only a comma and space separate the value from the one before it."""


def read_blocks(text: str, openings: str) -> tuple[list[Block], str]:
    """Find the outermost bracketed values of a reply, in time linear in its length.

    Args:
        text: The reply.
        openings: Brackets that count: ``"[{"`` for JSON, ``"[("`` for Python's lists and tuples, which are
            read as lists. Brackets without a digit that hold no JSON are prose.

    Returns:
        The values, and the prose around them.

    Raises:
        UnreadableError: Brackets do not match, a value is not JSON, or a value is not finished.
    """
    blocks: list[Block] = []
    prose: list[str] = []
    end = 0
    for count, (start, stop) in enumerate(_spans(text, openings)):
        if count == _MAX_BLOCKS:
            raise UnreadableError(f"it has more than {_MAX_BLOCKS} values in brackets")
        source = text[start:stop]
        try:
            value = _JSON.decode(source.translate(_TUPLES) if "(" in openings else source)
        except (ValueError, RecursionError) as err:
            # Where tuples count, braces do not: only JSON's own limit of nesting applies to them.
            if re.search(r"\d", source):
                raise UnreadableError(f"{shorten(source)} is not a list or JSON") from err
            continue
        between = text[end:start]
        blocks.append(Block(value, joined=bool(blocks) and not between.strip(", \t\r\n")))
        prose.append(between)
        end = stop
    return blocks, " ".join([*prose, text[end:]])


def _spans(text: str, openings: str) -> Iterator[tuple[int, int]]:
    """Yield the span of each outermost pair of brackets; brackets in JSON's strings do not count."""
    closings = [_CLOSING[opening] for opening in openings]
    expected: list[str] = []
    start, quoted = 0, False
    for match in re.finditer(r'\\.|["\[\](){}]', text, re.DOTALL):
        mark = match.group()
        if quoted:
            quoted = mark != '"'
        elif mark == '"':
            quoted = bool(expected)
        elif mark in openings:
            start = start if expected else match.start()
            expected.append(_CLOSING[mark])
            if len(expected) > _MAX_DEPTH:
                raise UnreadableError("its brackets are nested too deeply")
        elif expected and mark == expected[-1]:
            expected.pop()
            if not expected:
                yield start, match.end()
        elif expected and mark in closings:
            raise UnreadableError("its brackets do not match")
    if expected and re.search(r"\d", text[start:]):
        raise truncated(f"the value {shorten(text[start:])}")


def _constant(name: str) -> None:
    raise UnreadableError(f"{name} is not a coordinate")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object; unlike json's own hook, raise ``UnreadableError`` for a repeated key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnreadableError("an object has one key twice")
    return found


_JSON = json.JSONDecoder(parse_constant=_constant, object_pairs_hook=_object)
