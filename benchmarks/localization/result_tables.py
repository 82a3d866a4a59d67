"""Text tables of methods and levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.localization.measures import Mean, Record, Summary, confidences, reliability, summarise

COLUMNS: dict[str, Callable[[Summary], str]] = {
    "inside": lambda s: _share(s.inside),
    "by scene": lambda s: f"{100 * s.inside_scenes:.0f}",
    "1 cm": lambda s: f"{100 * s.inside_1cm.value:.0f}",
    "top 2": lambda s: f"{100 * s.top2.value:.0f}",
    "refused": lambda s: _share(s.refused),
    "mm": lambda s: f"{1000 * s.error:.1f}",
    "to centre": lambda s: f"{1000 * s.center_error:.0f}",
    "ece": lambda s: f"{s.ece:.2f}",
    "answered": lambda s: f"{s.ece_answered:.2f}",
    "roc": lambda s: f"{s.roc_area:.2f}",
}
"""Columns: percent with standard error, millimetres, or calibration error."""


def tables(records: Sequence[Record]) -> str:
    """Return one table for each level, with one line for each method."""
    blocks = []
    for level in dict.fromkeys(record.level for record in records):
        here = [record for record in records if record.level == level]
        rows = [[level, "n", *COLUMNS]]
        for method in dict.fromkeys(record.method for record in here):
            summary = summarise([record for record in here if record.method == method])
            rows.append([method, str(summary.queries), *(cell(summary) for cell in COLUMNS.values())])
        blocks.append(_aligned(rows))
    return "\n\n".join(blocks)


def reliability_table(records: Sequence[Record]) -> str:
    """Return how often one method's hypotheses were right, by confidence."""
    confidence, right = confidences(records)
    rows = [["confidence", "n", "mean", "right"]]
    for bar in reliability(confidence, right):
        if bar.count:
            shown = [
                f"{bar.low:.1f}-{bar.high:.1f}",
                str(bar.count),
                f"{bar.confidence:.2f}",
                f"{bar.right:.2f}",
            ]
            rows.append(shown)
    return _aligned(rows)


def _share(mean: Mean) -> str:
    return f"{100 * mean.value:.1f}±{100 * mean.error:.1f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *cells in rows:
        shown = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *shown]))
    return "\n".join(lines)
