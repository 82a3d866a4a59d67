"""Reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from benchmarks.localization.measures import Record, calibration_error, confidences, reliability

COLOR, IDEAL = "#2b6cb0", "0.6"


def draw_reliability(records: Sequence[Record], path: Path) -> None:
    """Draw a panel for all levels together and one for each; the area of a dot is the number of queries."""
    levels = list(dict.fromkeys(record.level for record in records))
    with matplotlib.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        columns = (len(levels) + 2) // 2
        figure = Figure(figsize=(1.9 * columns, 4.2), layout="constrained")
        panels = figure.subplots(2, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for panel, level in zip(panels, ["all levels", *levels], strict=False):
            _draw_panel(panel, level, [r for r in records if level in ("all levels", r.level)])
        for panel in panels[len(levels) + 1 :]:
            panel.set_axis_off()
        figure.supxlabel("confidence")
        figure.supylabel("share inside the part's box")
        figure.savefig(path, dpi=110, format="png")


def _draw_panel(panel, name: str, records: Sequence[Record]) -> None:
    confidence, right = confidences(records)
    bars = [bar for bar in reliability(confidence, right) if bar.count]
    x, y = [bar.confidence for bar in bars], [bar.right for bar in bars]
    panel.plot([0, 1], [0, 1], color=IDEAL, lw=0.8, ls=":")
    panel.plot(x, y, color=COLOR, lw=1.2)
    panel.scatter(
        x,
        y,
        [6 + 120 * bar.count / len(records) for bar in bars],
        color=COLOR,
        alpha=0.7,
        lw=0,
        clip_on=False,
    )
    panel.set_title(f"{name}: {calibration_error(confidence, right):.2f}", fontsize=8)
    panel.set(xlim=(0, 1), ylim=(-0.03, 1.03), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1], aspect="equal")
    panel.grid(True, color="0.92", lw=0.6)
