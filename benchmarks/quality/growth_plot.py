"""Plot of the growth of time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from benchmarks.quality.growth_curve import Curve

COLORS = {"draw": "#2b6cb0", "lift": "#c05621"}
LABELS = {"draw": "draw, forward and backward", "lift": "lift, all views"}


def draw_growth(curves: Sequence[Curve], path: Path) -> None:
    """Draw one log-log panel for each axis, with a thin line of linear growth beside each curve."""
    axes = list(dict.fromkeys(curve.axis for curve in curves))
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 3), layout="constrained")
        panels = figure.subplots(1, len(axes), squeeze=False, sharey=True)[0]
        for panel, axis in zip(panels, axes, strict=True):
            for curve in (curve for curve in curves if curve.axis == axis):
                _draw_curve(panel, curve)
            _format_axes(panel, axis)
        panels[0].set_ylabel("milliseconds")
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False
        )
        figure.savefig(path, dpi=110, format="png")


def _draw_curve(panel, curve: Curve) -> None:
    sizes, milliseconds = np.array(curve.sizes), 1000 * np.array(curve.seconds)
    color = COLORS[curve.job]
    panel.plot(sizes, milliseconds[-1] * sizes / sizes[-1], color=color, lw=0.8, ls=":", alpha=0.7)
    panel.plot(sizes, milliseconds, color=color, lw=1.8, marker="o", ms=4, label=LABELS[curve.job])
    panel.annotate(
        f"{curve.exponent:.2f}",
        (sizes[-1], milliseconds[-1]),
        xytext=(4, 0),
        textcoords="offset points",
        color=color,
        va="center",
    )


def _format_axes(panel, axis: str) -> None:
    panel.set(xscale="log", yscale="log", xlabel=axis)
    panel.margins(x=0.2)
    panel.grid(True, which="major", color="0.9", lw=0.6)
    panel.minorticks_off()
    # A tick at every second size: "7.5k", "30k", "120k".
    measured = sorted({float(x) for line in panel.get_lines() for x in line.get_xdata()})
    panel.set_xticks(measured[:: 2 if len(measured) > 3 else 1])
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.yaxis.set_major_formatter("{x:g}")
