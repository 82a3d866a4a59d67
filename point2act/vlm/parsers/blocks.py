"""Bracketed values amid prose and fences: found, checked for being whole, and read as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from point2act.vlm.parsers.reading import UnreadableError, cut_off, short

_CLOSING = {"[": "]", "{": "}", "(": ")"}
# Answers are nested three or four deep: {"points": [{"point_2d": [x, y]}]}. Chosen.
_DEPTH = 8
# An object for each of a thousand points would still be read. Chosen.
_MOST = 1000
_TUPLES = str.maketrans("()", "[]")


@dataclass(frozen=True)
class Block:
    """One bracketed value of a reply."""

    value: Any
    joined: bool
    """Whether nothing but a comma and space lies between it and the block before it."""


def read_blocks(text: str, openings: str) -> tuple[list[Block], str]:
    """Every outermost bracketed value, and the prose around them.

    ``openings`` are the brackets that count: ``"[{"`` for JSON, ``"[("`` for Python's lists and tuples, which
    are read as lists. Brackets without a digit that hold no JSON are prose. Takes time linear in the text.
    Raises ``UnreadableError`` for brackets that do not match, for values
    that are not JSON, and for a value that is not finished.
    """
    blocks: list[Block] = []
    prose: list[str] = []
    end = 0
    for count, (start, stop) in enumerate(_spans(text, openings)):
        if count == _MOST:
            raise UnreadableError(f"it has more than {_MOST} values in brackets, which is no answer")
        source = text[start:stop]
        try:
            value = _JSON.decode(source.translate(_TUPLES) if "(" in openings else source)
        except (ValueError, RecursionError) as err:
            # Braces do not count where tuples do: only JSON's own limit stops them.
            if re.search(r"\d", source):
                raise UnreadableError(f"{short(source)} is not a list or JSON") from err
            continue
        between = text[end:start]
        blocks.append(Block(value, joined=bool(blocks) and not between.strip(", \t\r\n")))
        prose.append(between)
        end = stop
    return blocks, " ".join([*prose, text[end:]])


def _spans(text: str, openings: str) -> Iterator[tuple[int, int]]:
    """Where each outermost bracket opens and closes. Brackets in JSON's strings do not count."""
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
            if len(expected) > _DEPTH:
                raise UnreadableError("its brackets are nested too deeply")
        elif expected and mark == expected[-1]:
            expected.pop()
            if not expected:
                yield start, match.end()
        elif expected and mark in closings:
            raise UnreadableError("its brackets do not match")
    if expected and re.search(r"\d", text[start:]):
        raise cut_off(f"the value {short(text[start:])}")


def _constant(name: str) -> None:
    raise UnreadableError(f"{name} is not a coordinate")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """As json's own, which would keep the last of two values under one key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnreadableError("an object has one key twice")
    return found


_JSON = json.JSONDecoder(parse_constant=_constant, object_pairs_hook=_object)
