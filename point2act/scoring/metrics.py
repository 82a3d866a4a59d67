"""Metrics of pointing benchmarks, as the evaluation code of each data set computes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from point2act.scoring.questions import Mark, Question, Target


def mean_in_mask(marks: Sequence[Mark], question: Question, target: Target) -> float:
    """Return the mean value of the mask at all points, where points outside count as 0.

    Coordinates are truncated towards zero; a box counts as all of its pixels.

    Source: RoboPoint's ``summarize_vqa.py`` (Where2Place) and RoboRefer's ``summarize_acc.py``
    (RefSpatial-Bench).
    """
    assert target.values is not None
    parts = [_pixels(mark, target) for mark in marks]
    count = sum(number for _, number in parts)
    return sum(total for total, _ in parts) / count if count else 0.0


def all_in_mask(marks: Sequence[Mark], question: Question, target: Target) -> float:
    """Return 1 if every point is in the mask, where a counting question needs exactly its number of points.

    Other questions are answered by the first point.

    Source: PointArena's ``model_evaluator.py`` and ``molmo_evaluator.py`` (Point-Bench).
    """
    assert target.values is not None
    if not marks or (question.count is not None and len(marks) != question.count):
        return 0.0
    counted = marks if question.count is not None else marks[:1]
    return float(all(_value(*_middle(mark), target) > 0 for mark in counted))


def first_in_mask(marks: Sequence[Mark], question: Question, target: Target) -> float:
    """Return 1 if the first point is in the mask, or if there is none where nothing is to be found."""
    return _best_in_mask(marks[:1], question, target)


def three_in_mask(marks: Sequence[Mark], question: Question, target: Target) -> float:
    """Return 1 if one of the first three points is in the mask, or none where nothing is to be found."""
    return _best_in_mask(marks[:3], question, target)


def _best_in_mask(marks: Sequence[Mark], question: Question, target: Target) -> float:
    if question.absent:
        return float(not marks)
    return float(any(_value(*_middle(mark), target) > 0 for mark in marks))


def first_in_polygon(marks: Sequence[Mark], question: Question, target: Target) -> float:
    """Return 1 if the first point is in the polygon.

    Source: RoboSpatial's ``evaluation.py`` (RoboSpatial-Home).
    """
    assert target.polygon is not None
    return float(bool(marks) and in_polygon(*_middle(marks[0]), target.polygon))


def in_polygon(x: float, y: float, polygon: Float[np.ndarray, "n 2"]) -> bool:
    """Return whether a ray from the point to the right crosses an odd number of edges of the polygon."""
    start, end = polygon, np.roll(polygon, 1, axis=0)
    crossed = (start[:, 1] > y) != (end[:, 1] > y)
    (x0, y0), (x1, y1) = start[crossed].T, end[crossed].T
    return bool(np.count_nonzero(x < (x1 - x0) * (y - y0) / (y1 - y0) + x0) % 2)


def _middle(mark: Mark) -> tuple[float, float]:
    xs, ys = mark[0::2], mark[1::2]
    return sum(xs) / len(xs), sum(ys) / len(ys)


def _value(x: float, y: float, target: Target) -> float:
    """Return the value of the mask at a pixel; 0 outside the image and outside the mask."""
    assert target.values is not None
    height, width = np.minimum(target.frame, target.values.shape)
    column, row = int(x), int(y)
    return float(target.values[row, column]) if 0 <= row < height and 0 <= column < width else 0.0


def _pixels(mark: Mark, target: Target) -> tuple[float, int]:
    """Return the sum of the values at a mark's pixels, and their number with those outside."""
    assert target.values is not None
    if len(mark) == 2:
        return _value(*mark, target), 1
    left, top, right, bottom = (int(number) for number in mark)
    inside = target.values[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    return float(inside.sum()), (right - left) * (bottom - top)
