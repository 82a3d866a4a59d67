"""What a command prints at its end: one line per query, and why where there is nothing."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from point2act.core.logs import printable
from point2act.core.types import QueryResult


def print_summary(results: Iterable[QueryResult]) -> None:
    """Print a table of the queries with their action points and best grasps, then the reasons for none."""
    results = tuple(results)
    table = Table("query", "action point", "confidence", "for / against", "grasps", "best score")
    for result in results:
        region = result.region
        best = next((f"{grasp.score:.2f}" for grasp in result.grasps), result.reason or "–")
        table.add_row(
            Text(printable(result.query.text)),
            "–" if region is None else " ".join(f"{x:.3f}" for x in region.action_point),
            "–" if region is None else f"{region.confidence:.2f}",
            "–" if region is None else f"{region.support.agree} / {region.support.disagree}",
            str(len(result.grasps)),
            best,
        )
    Console().print(table)
    for result in results:
        if result.detail is not None:
            print(printable(f"{result.query.text}: {result.detail}"))
