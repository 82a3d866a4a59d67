"""A reply, its dialect and the image's size make pixels; see ``parse_reply``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from point2act.core.errors import ReplyError
from point2act.vlm.parsers.lists import Form, read_corners, read_internvl, read_objects, read_rows
from point2act.vlm.parsers.reading import Reading, UnreadableError, cut_off, short
from point2act.vlm.parsers.tags import read_molmo, read_molmo2
from point2act.vlm.parsers.units import check_whole, qwen_input_size, to_pixels
from point2act.vlm.parsers.words import has_coordinates, says_none, says_only_none

Size = tuple[int, int]

# Longest reply, reasoning aside, in characters. Several hundred points in any dialect; chosen.
_LONGEST = 50_000
# How far outside points may lie, of the image's side: models round. Chosen.
_ROUNDING = 0.01


@dataclass(frozen=True)
class _Dialect:
    read: Callable[[str], Reading]
    span: float | Literal["image", "input"]
    """What the right and the lower border are called: a number, or pixels of the image or model's input."""
    tolerance: float = _ROUNDING
    fractions: bool = False
    """Whether coordinates below one are to be expected with digits after the point."""


_QWEN = partial(read_objects, forms=(Form(("point_2d",), (0, 1)), Form(("bbox_2d",), (0, 1, 2, 3))))
# y first: [y, x] and [ymin, xmin, ymax, xmax].
_GEMINI = partial(read_objects, forms=(Form(("point",), (1, 0)), Form(("box_2d",), (1, 0, 3, 2))))
_MOONDREAM = partial(
    read_objects,
    forms=(Form(("x", "y"), (0, 1)), Form(("x_min", "y_min", "x_max", "y_max"), (0, 1, 2, 3))),
)

_TABLE = {
    # Its authors take any number over 100 for an invalid point.
    "molmo": _Dialect(read_molmo, 100.0, tolerance=0.0, fractions=True),
    "molmo2": _Dialect(read_molmo2, 1000.0),
    "qwen2_vl": _Dialect(read_corners, 1000.0),
    "qwen2_5_vl": _Dialect(_QWEN, "input"),
    "qwen3_vl": _Dialect(_QWEN, 1000.0),
    "gemini": _Dialect(_GEMINI, 1000.0),
    # Four numbers may be corners or a corner and a size.
    "robopoint": _Dialect(partial(read_rows, lengths=(2,)), 1.0, fractions=True),
    "robobrain2": _Dialect(partial(read_rows, lengths=(2, 4)), "image"),
    "internvl": _Dialect(read_internvl, 1000.0),
    "moondream": _Dialect(_MOONDREAM, 1.0, fractions=True),
}

DIALECTS: tuple[str, ...] = (*_TABLE, "auto")

# What one dialect alone writes.
_SIGNS = {
    "molmo": r"<points?\s[^<>]*\bx\d*\s*=",
    "molmo2": r"<points?\s[^<>]*\bcoords\s*=",
    "qwen2_vl": r"<\|box_start\|>",
    "gemini": r'"(?:point|box_2d)"\s*:',
    "internvl": r"<(?:point|box)>\s*\[",
    "moondream": r'"x(?:_min)?"\s*:',
}
_QWEN_SIGN = r'"(?:point|bbox)_2d"\s*:'
_LIST_SIGN = r"[\[(]\s*[-+]?\.?\d"


def parse_reply(
    text: str, dialect: str = "auto", *, image_size: Size, input_size: Size | None = None
) -> list[tuple[float, float]]:
    """The points ``(x, y)`` in a model's reply; none where it says that the target is not there.

    Points are continuous pixels of the image that was shown, of ``image_size`` ``(height, width)``; those up
    to a hundredth of its side outside are moved to the border. Boxes stand for their centres. Fences and
    prose around the answer, and reasoning up to ``</think>``, are passed over. ``dialect`` is one of
    ``DIALECTS``; ``"auto"`` reads only what a single dialect would write. ``input_size`` is the size
    ``(height, width)`` to which the model's processor resized the image, for dialects that answer in pixels
    of that; without it, Qwen2.5-VL's is worked out by ``qwen_input_size``.

    Raises ``ReplyError``, which shows the reply, for whatever cannot be read without guessing: units
    that cannot be told, points far outside, answers that contradict one another, replies that were cut off.
    """
    try:
        return _parse(text, dialect, image_size, input_size)
    except UnreadableError as err:
        likely = [name for name in _likely(text) if name != dialect]
        looks = (
            f"it looks like {' or '.join(likely)}: if the model writes so, name that dialect"
            if likely
            else ""
        )
        remedy = err.remedy or looks or "ask again, or name the dialect in which the model writes"
        raise ReplyError(
            f"a reply cannot be read in the dialect {dialect!r}: {err.wrong}; {remedy}. "
            f"The reply: {short(text, 200)}"
        ) from err


def _parse(text: str, dialect: str, image_size: Size, input_size: Size | None) -> list[tuple[float, float]]:
    if dialect not in DIALECTS:
        raise UnreadableError("there is no such dialect", f"use one of {', '.join(DIALECTS)}")
    if min(*image_size, *(input_size or image_size)) < 1:
        raise UnreadableError("an image without pixels was given", "give sizes as (height, width)")
    answer = _answer(text)
    if dialect == "auto":
        dialect = _recognised(answer)
    chosen = _TABLE.get(dialect)
    reading = chosen.read(answer) if chosen else read_objects(answer, ())
    if chosen is None or not reading.marks:
        return _nothing(reading)
    if says_none(reading.prose) or any(says_none(mark.label) for mark in reading.marks):
        raise UnreadableError("it says that there is nothing, and points at it", "ask again")
    if not chosen.fractions:
        check_whole(reading.marks)
    span = _span(chosen, image_size, input_size)
    return to_pixels(reading.marks, span, image_size, tolerance=chosen.tolerance)


def _answer(text: str) -> str:
    """The reply without the reasoning before it."""
    answer = text.rpartition("</think>")[2].strip()
    if "<think>" in answer:
        raise cut_off("its reasoning")
    if not answer:
        raise UnreadableError(
            "it is empty", "ask again, with a larger max_tokens where the model reasons first"
        )
    if len(answer) > _LONGEST:
        raise UnreadableError(f"it has {len(answer)} characters, which is no answer but a loop")
    return answer


def _recognised(answer: str) -> str:
    """The only dialect that would write so; ``"auto"`` where there is nothing like coordinates."""
    likely = _likely(answer)
    if len(likely) > 1:
        names = ", ".join(likely)
        raise UnreadableError(f"it may be any of {names}", "name the dialect, as the model's file does")
    return likely[0] if likely else "auto"


def _likely(text: str) -> list[str]:
    """Dialects that a reply may be written in, by its looks."""
    text = text[-_LONGEST:]
    found = [name for name, sign in _SIGNS.items() if re.search(sign, text)]
    if re.search(_QWEN_SIGN, text):
        found += ["qwen3_vl", "qwen2_5_vl"]
    if not found and re.search(_LIST_SIGN, text):
        found = ["robopoint", "robobrain2", "qwen2_vl", "internvl"]
    return found


def _nothing(reading: Reading) -> list[tuple[float, float]]:
    """The empty list, if nothing is really what was said."""
    empty = reading.answered or read_objects(reading.prose, ()).answered
    if says_only_none(reading.prose) or (empty and not has_coordinates(reading.prose)):
        return []
    raise UnreadableError(
        "there are no points in it, and it does not say plainly that there is nothing to point at"
    )


def _span(dialect: _Dialect, image_size: Size, input_size: Size | None) -> tuple[float, float]:
    """What the right and the lower border are called."""
    if dialect.span == "image":
        return float(image_size[1]), float(image_size[0])
    if dialect.span == "input":
        height, width = input_size or qwen_input_size(image_size)
        return float(width), float(height)
    return float(dialect.span), float(dialect.span)
