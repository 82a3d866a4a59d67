"""From a model's own units to pixels of the image that it was shown."""

from __future__ import annotations

import math
from collections.abc import Iterable

from point2act.core.errors import ReplyError
from point2act.vlm.parsers.reading import Mark, UnreadableError

# What Qwen2-VL's and Qwen2.5-VL's released preprocessor_config.json say.
_QWEN_FACTOR = 28
_QWEN_MIN_PIXELS = 56 * 56
_QWEN_MAX_PIXELS = 16384 * 28 * 28
# Longer images are refused by Qwen's own processor.
_QWEN_MAX_ASPECT = 200


def qwen_input_size(
    image_size: tuple[int, int],
    *,
    factor: int = _QWEN_FACTOR,
    min_pixels: int = _QWEN_MIN_PIXELS,
    max_pixels: int = _QWEN_MAX_PIXELS,
) -> tuple[int, int]:
    """Size ``(height, width)`` to which Qwen's processor resizes an image of ``image_size``, pixels.

    Both sides become multiples of ``factor``, the area stays between ``min_pixels`` and ``max_pixels``, and
    the aspect about as it was. Follows the rule of Qwen2-VL's processor (``smart_resize`` in transformers);
    the limits are those of the released models, which servers may be told to change. Raises
    ``ReplyError`` for images that the processor refuses.
    """
    height, width = image_size
    if min(image_size) < 1 or max(image_size) > _QWEN_MAX_ASPECT * min(image_size):
        raise ReplyError(
            f"Qwen's processor takes no image of {width}x{height} pixels: "
            f"crop it until one side is at most {_QWEN_MAX_ASPECT} times the other"
        )
    sides = [round(side / factor) * factor for side in image_size]
    scale = 1.0
    if sides[0] * sides[1] > max_pixels:
        scale = math.sqrt(height * width / max_pixels)
        sides = [max(factor, math.floor(side / scale / factor) * factor) for side in image_size]
    elif sides[0] * sides[1] < min_pixels:
        scale = math.sqrt(min_pixels / (height * width))
        sides = [math.ceil(side * scale / factor) * factor for side in image_size]
    return sides[0], sides[1]


def to_pixels(
    marks: Iterable[Mark], span: tuple[float, float], image_size: tuple[int, int], *, tolerance: float
) -> list[tuple[float, float]]:
    """Pixels ``(x, y)`` of points and of the centres of boxes.

    ``span`` is what the right and the lower border are called in the marks' units; the left and the upper
    one are 0. Up to ``tolerance`` of it outside is rounding and clipped; beyond is an error.
    """
    height, width = image_size
    points = []
    for mark in marks:
        xs = [_inside(x, span[0], tolerance) for x in mark.numbers[0::2]]
        ys = [_inside(y, span[1], tolerance) for y in mark.numbers[1::2]]
        if xs[0] > xs[-1] or ys[0] > ys[-1]:
            raise UnreadableError(f"the corners {_listed(mark)} are not a box's left, top, right and bottom")
        points.append((sum(xs) / len(xs) * width / span[0], sum(ys) / len(ys) * height / span[1]))
    return points


def check_whole(marks: Iterable[Mark]) -> None:
    """Raise ``UnreadableError`` where numbers that should run to hundreds look like fractions."""
    numbers = [value for mark in marks for value in mark.numbers]
    if any(value % 1 for value in numbers) and max(numbers) <= 1:
        raise UnreadableError(
            f"coordinates like {numbers[0]:g} and {numbers[1]:g} look like fractions of the image"
        )


def _inside(value: float, span: float, tolerance: float) -> float:
    if not -tolerance * span <= value <= (1 + tolerance) * span:
        raise UnreadableError(f"{value:g} lies outside the image, which goes from 0 to {span:g}")
    return min(max(value, 0.0), float(span))


def _listed(mark: Mark) -> str:
    return ", ".join(f"{value:g}" for value in mark.numbers)
