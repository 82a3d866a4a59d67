"""From replies to points, in a dialect or as the evaluation of a data set's authors reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from point2act.core.errors import ReplyError
from point2act.core.files import brief
from point2act.scoring.questions import Mark, Size
from point2act.vlm.parsers import DIALECTS, parse_anywhere

PUBLISHED = "published"
"""Name of the reading that the data set's own evaluation has."""


@dataclass(frozen=True)
class Frame:
    """Units of a reply and of a target."""

    size: Size
    """Height and width of the image in the target's units."""
    shown: Size
    """Height and width of the image that the model was shown, pixels."""
    input: Size | None = None
    """Height and width to which the model's processor resized it; None if unknown."""


@dataclass(frozen=True)
class Reading:
    """What was read in a reply."""

    marks: tuple[Mark, ...] = ()
    problem: str = ""
    """Why nothing could be read; empty if something was, or if the reply says that there is nothing."""
    skipped: bool = False
    """Whether the data set's own evaluation leaves the question out of its mean."""


class SkippedError(Exception):
    """The evaluation of the data set's authors fails on a reply, and goes on without it."""


# Far outside any image, and exact as a float. Chosen.
_LARGEST = 2**53

Reader = Callable[[str, Frame], list[Mark]]


def read_reply(text: str, dialect: str, frame: Frame, readers: Mapping[str, Reader]) -> Reading:
    """Read the points of a reply.

    Args:
        text: The reply.
        dialect: One of ``dialects(readers)``.
        frame: Units of the reply and of the target.
        readers: Readers of the format, by the dialect that they stand in for.
    """
    reader = readers.get(dialect)
    try:
        marks = tuple(_parse(text, dialect, frame) if reader is None else reader(text, frame))
    except ReplyError as err:
        return Reading(problem=str(err))
    except OverflowError:
        return Reading(problem=f"its numbers are too large: {brief(text)}")
    except SkippedError as err:
        return Reading(problem=f"the data set's own evaluation fails ({err}): {brief(text)}", skipped=True)
    if not all(abs(number) <= _LARGEST for mark in marks for number in mark):
        return Reading(problem=f"its numbers are too large: {brief(text)}")
    if marks or reader is None or _says_nothing(text):
        return Reading(marks)
    return Reading(problem=f"there are no points in it in the dialect {dialect!r}: {brief(text)}")


def dialects(readers: Mapping[str, Reader]) -> tuple[str, ...]:
    """Return the dialects in which replies of a format can be read."""
    return tuple(dict.fromkeys((*readers, *DIALECTS)))


def _parse(text: str, dialect: str, frame: Frame) -> list[tuple[float, float]]:
    return parse_anywhere(text, dialect, image_size=frame.shown, frame=frame.size, input_size=frame.input)


def _says_nothing(text: str) -> bool:
    """Return whether a reply says clearly that there is nothing to point at."""
    try:
        return not parse_anywhere(text, image_size=(1, 1), frame=(1, 1))
    except ReplyError:
        return False
