"""When what was done, drawn to scale: what went on at the same time stands below one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from math import floor, log10

from point2act.core.progress import Span
from point2act.visualization.report.words import count, seconds

# About so many numbers stand below the rows.
_NUMBERS = 6


def timeline(spans: Sequence[Span], timings: Mapping[str, float]) -> str:
    """A row for each thing that took time, by its first beginning.

    Without ``spans`` the ``timings``, seconds per stage, are laid end to end.
    """
    spans = tuple(spans) or _end_to_end(timings)
    if not spans:
        return ""
    end = max(1e-9, *(span.end for span in spans))
    rows: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: span.begin):
        rows.setdefault(span.name, []).append(span)
    body = "".join(_row(name, entries, end) for name, entries in rows.items())
    return f'<div class="panel times">{body}{_axis(end)}</div>'


def _end_to_end(timings: Mapping[str, float]) -> tuple[Span, ...]:
    spans, now = [], 0.0
    for name, took in timings.items():
        spans.append(Span(name, now, now + took))
        now += took
    return tuple(spans)


def _row(name: str, spans: Sequence[Span], end: float) -> str:
    percent = [(100 * span.begin / end, 100 * (span.end - span.begin) / end) for span in spans]
    marks = "".join(f'<i style="left: {left:.2f}%; width: {width:.2f}%"></i>' for left, width in percent)
    took = count(len(spans), "time", "times")
    if not _overlap(spans):
        took = seconds(sum(span.end - span.begin for span in spans))
    return f'<span>{escape(name)}</span><div class="track">{marks}</div><span>{took}</span>'


def _overlap(spans: Sequence[Span]) -> bool:
    """Whether some went on at the same time, or took none, so that a sum would say little."""
    meet = any(after.begin < before.end for before, after in pairwise(spans))
    return meet or all(span.begin == span.end for span in spans)


def _axis(end: float) -> str:
    step = _round_up(end / _NUMBERS)
    marks = int(end / step) + 1
    numbers = "".join(
        f'<b style="left: {100 * n * step / end:.2f}%">{n * step:g} s</b>' for n in range(marks)
    )
    total = f'<span class="sum">{seconds(end)}</span>'
    return f'<span class="sum">in all</span><div class="axis">{numbers}</div>{total}'


def _round_up(value: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** floor(log10(value)) if value > 0 else 1.0
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= value)
