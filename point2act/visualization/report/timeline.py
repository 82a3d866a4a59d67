"""Timeline of a run: what took time, to scale, one row for each name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from math import floor, log10

from point2act.core.progress import Span
from point2act.visualization.headlines import count
from point2act.visualization.report.rendering import duration, render

_TICKS = 6
"""About how many numbers stand below the rows."""


def timeline(spans: Sequence[Span], timings: Mapping[str, float]) -> str:
    """Draw a row for each name, ordered by first start; empty if nothing took time.

    Args:
        spans: Start and end of everything that took time.
        timings: Seconds per stage, drawn one after another if there are no spans.
    """
    ends = accumulate(timings.values())
    spans = tuple(spans) or [
        Span(name, end - timings[name], end) for name, end in zip(timings, ends, strict=True)
    ]
    if not spans:
        return ""
    end = max(1e-9, *(span.end for span in spans))
    rows: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: span.start):
        rows.setdefault(span.name, []).append(span)
    step = _round_up(end / _TICKS)
    return render(
        "time.html",
        rows=[(name, _bars(entries, end), _total(entries)) for name, entries in rows.items()],
        end=end,
        ticks=[number * step for number in range(int(end / step) + 1)],
    )


def _bars(spans: Sequence[Span], end: float) -> list[tuple[float, float]]:
    """Return the left edge and the width of each bar, percent."""
    return [(100 * span.start / end, 100 * (span.end - span.start) / end) for span in spans]


def _total(spans: Sequence[Span]) -> str:
    """Return the sum of the times; the number of spans if some overlap or none took time."""
    overlap = any(after.start < before.end for before, after in pairwise(spans))
    if overlap or all(span.start == span.end for span in spans):
        return count(len(spans), "time", "times")
    return duration(sum(span.end - span.start for span in spans))


def _round_up(value: float) -> float:
    """Return the next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** floor(log10(value)) if value > 0 else 1.0
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= value)
