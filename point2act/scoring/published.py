"""Reading of replies as the evaluations of the data sets' authors read them."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from point2act.scoring.questions import Mark
from point2act.scoring.replies import Frame, SkippedError

_Numbers = tuple[int | float, ...]
"""Numbers of a tuple as they are written, with or without a decimal point."""


# ── tuples, as RoboPoint and RoboRefer write them ──────────────────────────────────────────────
_TUPLE = re.compile(r"\(([-+]?\d+\.?\d*(?:,\s*[-+]?\d+\.?\d*)*)\)")


def read_tuples(text: str, frame: Frame) -> list[Mark]:
    """Read ``(x, y)`` and ``(left, top, right, bottom)``: integers are pixels, others fractions.

    Boxes end at the border of the image.

    Source: ``text2pts`` of RoboPoint's ``summarize_vqa.py``.
    """
    marks: list[Mark] = []
    for numbers in _tuples(text):
        if len(numbers) == 2:
            marks.append(_scaled(numbers, frame) if _any_fraction(numbers) else _plain(numbers))
        elif len(numbers) == 4:
            if isinstance(numbers[0], int) and _any_fraction(numbers):
                raise SkippedError("a box has integers and fractions")
            box = _scaled(numbers, frame) if _any_fraction(numbers) else _plain(numbers)
            marks += _clipped(box, frame)
    return marks


def read_tuples_unclipped(text: str, frame: Frame) -> list[Mark]:
    """Read tuples as ``read_tuples`` does, but all numbers of boxes as fractions, also beyond the border.

    Source: ``text2pts`` of RoboRefer's ``summarize_acc.py``.
    """
    marks: list[Mark] = []
    for numbers in _tuples(text):
        if len(numbers) == 2:
            marks.append(_scaled(numbers, frame) if _any_fraction(numbers) else _plain(numbers))
        elif len(numbers) == 4:
            marks += _filled(_scaled(numbers, frame))
    return marks


def read_absolute_tuples(text: str, frame: Frame) -> list[Mark]:
    """Read tuples whose numbers are all pixels of the image that was shown.

    Source: ``text2pts`` with ``is_absolute`` of RoboRefer's ``summarize_acc.py``, for RoboBrain.
    """
    marks: list[Mark] = []
    for numbers in _tuples(text):
        if len(numbers) in (2, 4):
            scaled = tuple(
                number if side == shown else number / shown * side
                for number, shown, side in zip(
                    numbers, frame.shown[::-1] * 2, frame.size[::-1] * 2, strict=False
                )
            )
            marks += [scaled] if len(scaled) == 2 else _filled(scaled)
    return marks


def _tuples(text: str) -> list[_Numbers]:
    try:
        return [
            tuple(float(number) if "." in number else int(number) for number in found.split(","))
            for found in _TUPLE.findall(text)
        ]
    except ValueError as err:  # Thousands of digits.
        raise SkippedError(err) from err


def _plain(numbers: _Numbers) -> Mark:
    return tuple(float(number) for number in numbers)


def _any_fraction(numbers: _Numbers) -> bool:
    return any(isinstance(number, float) for number in numbers)


def _scaled(numbers: _Numbers, frame: Frame) -> Mark:
    """Return fractions of the image in the units of the frame."""
    return tuple(float(number * side) for number, side in zip(numbers, frame.size[::-1] * 2, strict=False))


def _clipped(box: Mark, frame: Frame) -> list[Mark]:
    """Return the part of a box in the image, negative borders counted from its end as Python's slices do."""
    left, top, right, bottom = (int(number) for number in box)
    left, right, _ = slice(left, right).indices(frame.size[1])
    top, bottom, _ = slice(top, bottom).indices(frame.size[0])
    return [_plain((left, top, right, bottom))] if left < right and top < bottom else []


def _filled(box: Mark) -> list[Mark]:
    left, top, right, bottom = (int(number) for number in box)
    if left > right or top > bottom:
        raise SkippedError("the corners of a box are not left, top, right, bottom")
    return [_plain((left, top, right, bottom))] if left < right and top < bottom else []


# ── tags and JSON, as PointArena and RoboRefer read them ───────────────────────────────────────
_NUMBER = r"-?\d+\.?\d*"
_TAG = re.compile(rf'x\d*="\s*({_NUMBER})"\s+y\d*="\s*({_NUMBER})"')
_PAIR = re.compile(r"\[\s*(\d+\.?\d*)\s*,\s*(\d+\.?\d*)\s*\]")
# Further forms: Click(61.5, 40.4), which is then read twice, (61.5, 40.4) and p=615,404.
_CLICK = re.compile(r"Click\(([0-9]+\.[0-9]), ?([0-9]+\.[0-9])\)")
_PERCENTAGES = re.compile(r"\(([0-9]+\.[0-9]),? ?([0-9]+\.[0-9])\)")
_THOUSANDTHS = re.compile(r"(?:\d+|p)\s*=\s*([0-9]{3})\s*,\s*([0-9]{3})")


def read_tags(text: str, frame: Frame) -> list[Mark]:
    """Read ``<points x1="61.5" y1="40.4" …>``, per cent of the image.

    Source: ``xml2pts`` of RoboRefer's ``summarize_acc.py``; a number after x and y is not needed.
    """
    return [_from_percent(float(x), float(y), frame) for x, y in _TAG.findall(text)]


def read_molmo_forms(text: str, frame: Frame) -> list[Mark]:
    """Read tags and Molmo's other forms, without points over 100 per cent.

    Source: ``extract_points`` of PointArena's ``molmo_evaluator.py``.
    """
    pairs = [(float(x), float(y)) for form in (_CLICK, _PERCENTAGES, _TAG) for x, y in form.findall(text)]
    pairs += [(int(x) / 10, int(y) / 10) for x, y in _THOUSANDTHS.findall(text)]
    return [_from_percent(x, y, frame) for x, y in pairs if min(x, y) >= 0 and max(x, y) <= 100]


def read_point_bench(text: str, frame: Frame) -> list[Mark]:
    """Read Molmo's forms if there are any, else JSON with ``[x, y]`` in pixels.

    Source: ``call_molmo`` of PointArena's ``molmo_evaluator.py``, and ``call_openai`` and others of its
    ``model_evaluator.py``.
    """
    found = read_molmo_forms(text, frame)
    if found:
        return found
    listed = text[text.find("[") : text.rfind("]") + 1] if "[" in text else ""
    return _json_points(listed) or [(float(x), float(y)) for x, y in _PAIR.findall(listed)]


def _json_points(text: str) -> list[Mark]:
    """Return the points of a list of ``{"point": [x, y]}``; nothing where it is anything else."""
    try:
        entries = json.loads(text)
        return [(float(x), float(y)) for x, y in (entry["point"] for entry in entries)]
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return []


def _from_percent(x: float, y: float, frame: Frame) -> Mark:
    return x / 100 * frame.size[1], y / 100 * frame.size[0]


# ── the first pair of numbers, as RoboSpatial reads it ─────────────────────────────────────────
_PAIRS = (
    re.compile(r"\(\s*(\d+\.?\d*)\s*,\s*(\d+\.?\d*)\s*\)"),
    re.compile(r"\[\s*(\d+\.?\d*)\s*,\s*(\d+\.?\d*)\s*\]"),
)


def read_first_pair(text: str, frame: Frame) -> list[Mark]:
    """Read the first ``(x, y)``, else the first ``[x, y]``, else the first list of Python, as fractions.

    Source: ``evaluate_answer`` of RoboSpatial's ``evaluation.py``.
    """
    for form in _PAIRS:
        if found := form.search(text):
            return [(float(found[1]), float(found[2]))]
    listed = re.search(r"\[(.*?)\]", text, re.DOTALL)
    return [] if listed is None else _first_of(listed[1])


def _first_of(content: str) -> list[Mark]:
    """Return the first point of the content of a list."""
    content = re.sub(r",(\S)", r", \1", content).strip().removesuffix(",")
    try:
        values: Any = ast.literal_eval(f"[{content}]")
        numbers = len(values) == 2 and all(isinstance(value, (int, float)) for value in values)
        x, y = values if numbers else values[0]
        return [(float(x), float(y))]
    except (ValueError, SyntaxError, TypeError, IndexError, MemoryError, RecursionError, OverflowError):
        return []
