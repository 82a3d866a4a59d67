"""``point2act compare a/ b/``: two results side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from point2act.cli.options import parse

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Arguments:
    """Compare two results of one scene: what was found, where, the grasps and the times."""

    first: tyro.conf.Positional[Path]
    """Folder that ``run`` wrote, or a grasps.json."""
    second: tyro.conf.Positional[Path]
    """The other one, of the same scene."""


@dataclass(frozen=True)
class Row:
    """One query in both results; texts to print."""

    query: str
    moved: str
    """Distance between the action points."""
    confidence: str
    grasps: str
    score: str


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and print the comparison."""
    arguments = parse(Arguments, argv, "compare")
    from rich.console import Console

    from point2act.grasping.grasps_json import read_grasps

    files = [path / "grasps.json" if path.is_dir() else path for path in (arguments.first, arguments.second)]
    first, second = (read_grasps(path) for path in files)
    console = Console()
    table = _table("query", "moved", "confidence", "grasps", "best score")
    for row in compare(first, second):
        table.add_row(row.query, row.moved, row.confidence, row.grasps, row.score)
    console.print(table)
    times = _table("stage", "seconds")
    stages = [_stages(path.with_name("timings.json")) for path in files]
    for name in dict.fromkeys([*stages[0], *stages[1]]):
        times.add_row(name, _change(*(_seconds(found.get(name)) for found in stages)))
    if times.row_count:
        console.print(times)


def _table(first: str, *others: str) -> Table:
    """Return a table whose first column wraps and whose others are aligned to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def compare(first: dict[str, Any], second: dict[str, Any]) -> list[Row]:
    """Compare two documents of grasps.json, query by query.

    Args:
        first: The document to start from.
        second: The document to compare with it; queries are matched by their texts and roles.

    Returns:
        A row for each query of either document, those of the first in their order.
    """
    known = [{_key(result): result for result in document["results"]} for document in (first, second)]
    keys = dict.fromkeys([*known[0], *known[1]])
    return [_row(key[0], *(found.get(key) for found in known)) for key in keys]


def _key(result: dict[str, Any]) -> tuple[str, str]:
    return result["query"]["text"], result["query"]["role"]


def _row(text: str, first: dict[str, Any] | None, second: dict[str, Any] | None) -> Row:
    pair = (first, second)
    points = [result["action_point"] for result in pair if result is not None and result["action_point"]]
    moved = f"{1000 * math.dist(*points):.0f} mm" if len(points) == 2 else "–"
    return Row(
        text,
        moved,
        _change(*("absent" if result is None else f"{result['confidence']:.0%}" for result in pair)),
        _change(*(_grasps(result) for result in pair)),
        _change(*(_best_score(result) for result in pair)),
    )


def _grasps(result: dict[str, Any] | None) -> str:
    if result is None:
        return "absent"
    return str(len(result["grasps"])) if result["reason"] is None else result["reason"]


def _best_score(result: dict[str, Any] | None) -> str:
    return "–" if result is None or not result["grasps"] else f"{result['grasps'][0]['score']:.2f}"


def _stages(path: Path) -> dict[str, float]:
    """Return seconds per stage and in total; empty without the file."""
    from point2act.core.errors import ResultsError
    from point2act.core.files import read_json

    if not path.is_file():
        return {}
    document = read_json(path, ResultsError)
    try:
        return {name: float(value) for name, value in document["stages"].items()} | {
            "total": float(document["total"])
        }
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise ResultsError(f"{path} is not a timings.json of point2act: run the capture again") from err


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _change(first: str, second: str) -> str:
    """Return one text if both are equal, else both with an arrow."""
    return first if first == second else f"{first} → {second}"
