"""The table and the advice that ``run`` and ``grasp`` print at the end."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from point2act.core.logs import printable
from point2act.core.types import QueryResult

_log = logging.getLogger(__name__)

# Width of all columns but the first, with the space before each.
_OTHER_COLUMNS = 2 + 23 + 2 + 10 + 2 + 6 + 2 + 5

_ADVICE = (
    "no query has a grasp: open report.html to see what is in the way; a wider --gripper, more views of the "
    "object, or `point2act check` on the capture may help"
)
IMAGE_ADVICE = (
    "no query has a grasp: --report shows what is in the way; a wider --gripper, a pixel on another part, or "
    "several views for `point2act run` may help"
)
"""Advice for one image."""


def print_summary(results: Sequence[QueryResult], *, advice: str = _ADVICE) -> None:
    """Print one row for each query, the reasons for missing grasps, and advice if no query has a grasp."""
    if not results:
        return
    console = Console()
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for heading in ("query", "action point (m)"):
        table.add_column(heading, no_wrap=True)
    for heading in ("confidence", "grasps", "score"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        text = Text(printable(result.query.text))
        text.truncate(max(console.width - _OTHER_COLUMNS, 12), overflow="ellipsis")
        table.add_row(text, *_cells(result))
    console.print(table)
    for result in results:
        if result.detail is not None:
            print(printable(f"{result.query.text}: {result.detail}"))
        _log_details(result)
    wanted = [result for result in results if result.query.role == "grasp"]
    if wanted and not any(result.grasps for result in wanted):
        print(advice)


def _cells(result: QueryResult) -> tuple[str, str, str, str]:
    """Return the action point (metres), the confidence, the number of grasps and the best score."""
    grasps = str(len(result.grasps))
    best = f"{result.grasps[0].score:.2f}" if result.grasps else "–"
    if result.region is None:
        return "–", "–", grasps, best
    point = " ".join(f"{x:.3f}" for x in result.region.action_point)
    return point, f"{result.region.confidence:.0%}", grasps, best


def _log_details(result: QueryResult) -> None:
    """Log the views that agree, and the candidates that each check removed."""
    text, region = result.query.text, result.region
    if region is not None:
        _log.debug("%s: %d views agree, %d disagree", text, region.support.agree, region.support.disagree)
    removed = ", ".join(f"{check} {count}" for check, count in result.counts.items() if count)
    if removed:
        _log.debug("%s: candidates removed by %s", text, removed)
