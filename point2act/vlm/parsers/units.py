"""Conversion from a model's own units to pixels of the image that it was shown."""

from __future__ import annotations

import math
from collections.abc import Iterable

from point2act.core.errors import ReplyError
from point2act.vlm.parsers.values import Annotation, UnreadableError

# From the released preprocessor_config.json of Qwen2-VL and Qwen2.5-VL.
_QWEN_FACTOR = 28
_QWEN_MIN_PIXELS = 56 * 56
_QWEN_MAX_PIXELS = 16384 * 28 * 28
# Qwen's own processor refuses a larger ratio of the sides.
_QWEN_MAX_ASPECT = 200


def qwen_input_size(
    image_size: tuple[int, int],
    *,
    factor: int = _QWEN_FACTOR,
    min_pixels: int = _QWEN_MIN_PIXELS,
    max_pixels: int = _QWEN_MAX_PIXELS,
) -> tuple[int, int]:
    """Compute the size to which Qwen's processor resizes an image.

    Both sides become multiples of ``factor``, the area stays between ``min_pixels`` and ``max_pixels``, and
    the aspect ratio changes little. Source: ``smart_resize`` of Qwen2-VL's processor in transformers. The
    default limits are those of the released models; a server may use others.

    Args:
        image_size: ``(height, width)`` of the image, pixels.
        factor: Unit of the sides, pixels.
        min_pixels: Minimum number of pixels after resizing.
        max_pixels: Maximum number of pixels after resizing.

    Returns:
        ``(height, width)`` after resizing, pixels.

    Raises:
        ReplyError: The processor refuses images of this shape.
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


def from_tangents(
    annotations: Iterable[Annotation],
    span: tuple[float, float],
    image_size: tuple[int, int],
    *,
    tolerance: float,
) -> list[tuple[float, float]]:
    """Convert points and the centres of boxes to pixels ``(x, y)``.

    Args:
        annotations: Points and boxes, in the model's units.
        span: Coordinates of the right and the lower border in these units; the others are 0.
        image_size: ``(height, width)`` of the image, pixels.
        tolerance: Fraction of ``span`` by which rounding may move a point outside; it is clipped.

    Raises:
        UnreadableError: A point lies farther outside, or the corners of a box are not in order.
    """
    height, width = image_size
    points = []
    for annotation in annotations:
        xs = [_inside(x, span[0], tolerance) for x in annotation.numbers[0::2]]
        ys = [_inside(y, span[1], tolerance) for y in annotation.numbers[1::2]]
        if xs[0] > xs[-1] or ys[0] > ys[-1]:
            raise UnreadableError(
                f"the corners {_listed(annotation)} of a box are not left, top, right, bottom"
            )
        points.append((sum(xs) / len(xs) * width / span[0], sum(ys) / len(ys) * height / span[1]))
    return points


def centre(annotation: Annotation, span: tuple[float, float], frame: tuple[int, int]) -> tuple[float, float]:
    """Convert a point or the centre of a box to a frame of ``(height, width)``, also from outside the image.

    Args:
        annotation: Point or box, in the model's units.
        span: Coordinates of the right and the lower border in these units; the others are 0.
        frame: ``(height, width)`` of the image in the units to return.
    """
    middles = [
        sum(numbers) / len(numbers) for numbers in (annotation.numbers[0::2], annotation.numbers[1::2])
    ]
    x, y = (
        # Exact where the units are the same.
        value if border == side else value / border * side
        for value, border, side in zip(middles, span, frame[::-1], strict=True)
    )
    return x, y


def check_whole(annotations: Iterable[Annotation]) -> None:
    """Raise ``UnreadableError`` if numbers that should run to hundreds look like fractions."""
    numbers = [value for annotation in annotations for value in annotation.numbers]
    if any(value % 1 for value in numbers) and max(numbers) <= 1:
        raise UnreadableError(
            f"coordinates like {numbers[0]:g} and {numbers[1]:g} look like fractions of the image"
        )


def _inside(value: float, span: float, tolerance: float) -> float:
    if not -tolerance * span <= value <= (1 + tolerance) * span:
        raise UnreadableError(f"{value:g} lies outside the image, which goes from 0 to {span:g}")
    return min(max(value, 0.0), float(span))


def _listed(annotation: Annotation) -> str:
    return ", ".join(f"{value:g}" for value in annotation.numbers)
