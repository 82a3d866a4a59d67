"""What a command prints at its end: one line per query."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from point2act.types import QueryResult


def print_summary(results: Iterable[QueryResult]) -> None:
    """Print a table of the queries with their action points and best grasps, or the reason for none."""
    table = Table("query", "action point (m)", "confidence", "for / against", "grasps", "best or why not")
    for result in results:
        region = result.region
        best = next((f"score {grasp.score:.2f}" for grasp in result.grasps), None)
        table.add_row(
            result.query.text,
            "–" if region is None else " ".join(f"{x:.3f}" for x in region.action_point),
            "–" if region is None else f"{region.confidence:.2f}",
            "–" if region is None else f"{region.support.agree} / {region.support.disagree}",
            str(len(result.grasps)),
            best or f"{result.reason or ''}: {result.detail or ''}",
        )
    Console().print(table)
