"""The table and the advice that ``run`` and ``grasp`` print at the end."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from point2act.core.logs import printable
from point2act.core.types import QueryResult, Region

_log = logging.getLogger(__name__)

_ADVICE = (
    "no query has a grasp: open report.html to see what is in the way; a wider --gripper, more views of the "
    "object, or `point2act check` on the capture may help"
)


def print_summary(results: Sequence[QueryResult]) -> None:
    """Print one row for each query, the reasons for missing grasps, and advice if no query has a grasp."""
    if not results:
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("query", overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("action point", no_wrap=True)
    for heading in ("confidence", "grasps", "best score"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        table.add_row(Text(printable(result.query.text)), *_cells(result))
    Console().print(table)
    for result in results:
        if result.detail is not None:
            print(printable(f"{result.query.text}: {result.detail}"))
        _log_details(result)
    wanted = [result for result in results if result.query.role == "grasp"]
    if wanted and not any(result.grasps for result in wanted):
        print(_ADVICE)


def _cells(result: QueryResult) -> tuple[str, str, str, str]:
    """Return the action point (metres), the confidence, the number of grasps and the best score."""
    grasps = str(len(result.grasps))
    best = f"{result.grasps[0].score:.2f}" if result.grasps else "–"
    if not isinstance(result.region, Region):
        return "–", "–", grasps, best
    point = " ".join(f"{x:.3f}" for x in result.region.action_point)
    return point, f"{result.region.confidence:.0%}", grasps, best


def _log_details(result: QueryResult) -> None:
    region = result.region
    if region is not None:
        support = region.support
        _log.debug("%s: %d views agree, %d disagree", result.query.text, support.agree, support.disagree)
