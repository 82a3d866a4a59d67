"""What is found in a reply before anybody knows its units, and why nothing could be found."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any


class UnreadableError(Exception):
    """What is wrong with a reply and, where it is known, what to do; leaves the package as a ReplyError."""

    def __init__(self, wrong: str, remedy: str = ""):
        super().__init__(wrong)
        self.wrong = wrong
        self.remedy = remedy


@dataclass(frozen=True)
class Mark:
    """A point or a box, in the model's own units."""

    numbers: tuple[float, ...]
    """``(x, y)`` or ``(x1, y1, x2, y2)``: opposite corners."""
    label: str = ""


@dataclass(frozen=True)
class Reading:
    """A reply, taken apart."""

    marks: tuple[Mark, ...]
    prose: str
    """What was written around the marks."""
    answered: bool
    """Whether there was an answer in the dialect's own form, if perhaps an empty one."""


def cut_off(what: str) -> UnreadableError:
    """The reply ends too early. Points before the cut are not read: nobody knows what would have followed."""
    return UnreadableError(
        f"{what} is not finished, so the reply was cut off", "raise max_tokens and ask again"
    )


# In ASCII: what else counts as a digit or a space, float() may not read.
_DECIMAL = re.compile(r"\s*-?(?:\d+(?:\.\d*)?|\.\d+)\s*", re.ASCII)


def number(value: Any) -> float:
    """A finite number that JSON or text gave; text is a plain decimal. Raises ``UnreadableError``."""
    if isinstance(value, str) and not re.fullmatch(_DECIMAL, value):
        raise UnreadableError(f"{short(value)} is not a number")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UnreadableError(f"{short(value)} stands where a number should")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise UnreadableError("a number is not finite")
    return found


def agreed(answers: list[tuple[Mark, ...]]) -> tuple[Mark, ...]:
    """The one answer that a reply gives, if perhaps several times."""
    if len({tuple(mark.numbers for mark in marks) for marks in answers}) > 1:
        raise UnreadableError(f"it gives {len(answers)} answers that contradict one another", "ask again")
    return answers[0] if answers else ()


def short(value: Any, length: int = 60) -> str:
    """A value as people may read it in a message: control characters visible, the middle left out."""
    text = repr(value)
    return text if len(text) <= length else f"{text[: length - length // 3]} … {text[-(length // 3) :]}"
