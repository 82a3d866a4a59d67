"""Parsing of replies in the dialects of pointing models; see ``parse_reply``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

from point2act.core.errors import ReplyError
from point2act.vlm.parsers.formats import (
    Form,
    read_corners,
    read_internvl,
    read_molmo,
    read_molmo2,
    read_objects,
    read_rows,
)
from point2act.vlm.parsers.negation import has_coordinates, says_none, says_only_none
from point2act.vlm.parsers.units import centre, check_whole, from_tangents, qwen_input_size
from point2act.vlm.parsers.values import Annotation, ParsedReply, UnreadableError, shorten, truncated

Size = tuple[int, int]

# Maximum length of a reply without its reasoning, characters: several hundred points in any dialect. Chosen.
_LONGEST = 50_000
# Fraction of the image's side by which points may lie outside, because models round. Chosen.
_ROUNDING = 0.01


@dataclass(frozen=True)
class _Dialect:
    read: Callable[[str], ParsedReply]
    span: float | Literal["image", "input"]
    """Coordinate of the right and the lower border: a number, or that of the image or the model's input."""
    tolerance: float = _ROUNDING
    fractions: bool = False
    """Whether the coordinates are fractions, or have decimals."""


_QWEN = partial(read_objects, forms=(Form(("point_2d",), (0, 1)), Form(("bbox_2d",), (0, 1, 2, 3))))
# y first: [y, x] and [ymin, xmin, ymax, xmax].
_GEMINI = partial(read_objects, forms=(Form(("point",), (1, 0)), Form(("box_2d",), (1, 0, 3, 2))))
_MOONDREAM = partial(
    read_objects, forms=(Form(("x", "y"), (0, 1)), Form(("x_min", "y_min", "x_max", "y_max"), (0, 1, 2, 3)))
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

# Patterns that only one dialect writes.
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
    """Read the points in a pointing model's reply.

    Boxes are replaced by their centres. Code fences and prose around the answer, and reasoning up to
    ``</think>``, are skipped. Points up to a hundredth of the image's side outside are moved to the border.

    Args:
        text: The reply.
        dialect: Format of the reply, one of ``DIALECTS``; ``"auto"`` reads only what a single dialect would
            write.
        image_size: ``(height, width)`` of the image that was shown, pixels.
        input_size: ``(height, width)`` to which the model's processor resized the image, for dialects that
            count in pixels of that; by default ``qwen_input_size`` computes Qwen2.5-VL's.

    Returns:
        Continuous pixels ``(x, y)`` of the image; an empty list if the reply says that the target is not
        visible.

    Raises:
        ReplyError: The reply cannot be read without guessing: unknown units, points far outside,
            contradictory answers, a truncated reply. The message shows the reply.
    """
    with _as_reply_error(text, dialect):
        chosen, annotations = _annotations(text, dialect, image_size, input_size)
        if chosen is None:
            return []
        span = _borders(chosen, image_size, input_size)
        return from_tangents(annotations, span, image_size, tolerance=chosen.tolerance)


def parse_anywhere(
    text: str, dialect: str = "auto", *, image_size: Size, frame: Size, input_size: Size | None = None
) -> list[tuple[float, float]]:
    """Read the points in a reply as ``parse_reply`` does, also points that lie outside the image.

    For benchmarks, which count those as misses. A coordinate is divided by that of the border before it is
    multiplied by the side of the frame, as their evaluations do.

    Args:
        text: The reply.
        dialect: Format of the reply, one of ``DIALECTS``.
        image_size: ``(height, width)`` of the image that was shown, pixels.
        frame: ``(height, width)`` of the image in the units to return, such as ``(1, 1)`` for fractions.
        input_size: As in ``parse_reply``.

    Returns:
        Points ``(x, y)`` in the frame; an empty list if the reply says that the target is not visible.

    Raises:
        ReplyError: The reply cannot be read without guessing.
    """
    with _as_reply_error(text, dialect):
        chosen, annotations = _annotations(text, dialect, image_size, input_size)
        if chosen is None:
            return []
        span = _borders(chosen, image_size, input_size)
        return [centre(annotation, span, frame) for annotation in annotations]


@contextmanager
def _as_reply_error(text: str, dialect: str) -> Iterator[None]:
    """Turn ``UnreadableError`` into a ``ReplyError`` that shows the reply."""
    try:
        yield
    except UnreadableError as err:
        likely = [name for name in _likely(text) if name != dialect]
        guess = (
            f"it resembles {' or '.join(likely)}: if that is the model's dialect, name it" if likely else ""
        )
        remedy = err.remedy or guess or "ask again, or name the model's dialect"
        raise ReplyError(
            f"a reply cannot be read in the dialect {dialect!r}: {err.wrong}; {remedy}. "
            f"The reply: {shorten(text, 200)}"
        ) from err


def _annotations(
    text: str, dialect: str, image_size: Size, input_size: Size | None
) -> tuple[_Dialect | None, tuple[Annotation, ...]]:
    """Return a reply's dialect, points and boxes; None and nothing if it says that there is nothing."""
    if dialect not in DIALECTS:
        raise UnreadableError("there is no such dialect", f"use one of {', '.join(DIALECTS)}")
    if min(*image_size, *(input_size or image_size)) < 1:
        raise UnreadableError("an image without pixels was given", "give sizes as (height, width)")
    answer = _answer(text)
    if dialect == "auto":
        dialect = _recognised(answer)
    chosen = _TABLE.get(dialect)
    parsed = chosen.read(answer) if chosen else read_objects(answer, ())
    if chosen is None or not parsed.annotations:
        _check_negation(parsed)
        return None, ()
    if says_none(parsed.prose) or any(says_none(annotation.label) for annotation in parsed.annotations):
        raise UnreadableError("it says that there is nothing, and points at something", "ask again")
    if not chosen.fractions:
        check_whole(parsed.annotations)
    return chosen, parsed.annotations


def _answer(text: str) -> str:
    """Return the reply without the reasoning before it."""
    answer = text.rpartition("</think>")[2].strip()
    if "<think>" in answer:
        raise truncated("its reasoning")
    if not answer:
        raise UnreadableError(
            "it is empty", "ask again, with a larger max_tokens where the model reasons first"
        )
    if len(answer) > _LONGEST:
        raise UnreadableError(f"it has {len(answer)} characters, as in an endless repetition")
    return answer


def _recognised(answer: str) -> str:
    """Return the only dialect that fits; ``"auto"`` if there is nothing like coordinates."""
    likely = _likely(answer)
    if len(likely) > 1:
        names = ", ".join(likely)
        raise UnreadableError(f"it may be any of {names}", "name the dialect, as the model's file does")
    return likely[0] if likely else "auto"


def _likely(text: str) -> list[str]:
    """Return the dialects whose patterns a reply contains."""
    text = text[-_LONGEST:]
    found = [name for name, sign in _SIGNS.items() if re.search(sign, text)]
    if re.search(_QWEN_SIGN, text):
        found += ["qwen3_vl", "qwen2_5_vl"]
    if not found and re.search(_LIST_SIGN, text):
        found = ["robopoint", "robobrain2", "qwen2_vl", "internvl"]
    return found


def _check_negation(parsed: ParsedReply) -> None:
    """Raise ``UnreadableError`` unless the reply says that nothing is visible."""
    empty = parsed.answered or read_objects(parsed.prose, ()).answered
    if says_only_none(parsed.prose) or (empty and not has_coordinates(parsed.prose)):
        return
    raise UnreadableError(
        "there are no points in it, and it does not say clearly that there is nothing to point at"
    )


def span(dialect: str, image_size: Size, input_size: Size | None = None) -> tuple[float, float]:
    """Return what a dialect other than "auto" calls the right and the lower border of an image.

    Args:
        dialect: One of ``DIALECTS`` but ``"auto"``.
        image_size: ``(height, width)`` of the image, pixels.
        input_size: As in ``parse_reply``.
    """
    return _borders(_TABLE[dialect], image_size, input_size)


def _borders(dialect: _Dialect, image_size: Size, input_size: Size | None) -> tuple[float, float]:
    """Return the coordinates of the right and the lower border."""
    if dialect.span == "image":
        return float(image_size[1]), float(image_size[0])
    if dialect.span == "input":
        height, width = input_size or qwen_input_size(image_size)
        return float(width), float(height)
    return float(dialect.span), float(dialect.span)
