"""Tables of scores for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from point2act.core.logs import printable

if TYPE_CHECKING:
    from rich.table import Table

    from point2act.scoring.formats import Format
    from point2act.scoring.report import ModelSummary
    from point2act.scoring.scores import Baselines, Mean
else:
    Format = ModelSummary = Baselines = Mean = Table = Any


_FIRST = 23
"""Width of the first column, for the names of baselines."""


def print_scores(form: Format, rows: Sequence[ModelSummary], baselines: Baselines, count: int) -> None:
    """Print the scores of the models and of the baselines, per cent."""
    from point2act.scoring.report import baseline_rows

    print(f"{form.title}: {count} questions, per cent, with intervals of 95 %")
    recalled = any(row.recall is not None for row in rows)
    means = ["score", "all", *(["best of 3"] if recalled else [])]
    categories = [name or "no category" for name in rows[0].categories]
    table = _table("", *means, *categories, "unreadable", "unanswered")
    for row in rows:
        means = [
            _percent(mean) for mean in (row.overall, row.overall_all, *([row.recall] if recalled else []))
        ]
        means += ["–" if mean is None else f"{100 * mean.value:.1f}" for mean in row.categories.values()]
        table.add_row(printable(row.name), *means, str(row.unreadable), str(row.unanswered))
    for name, mean in baseline_rows(baselines):
        table.add_row(name, _percent(mean))
    if baselines.area is not None:
        table.add_row("expected of it", f"{100 * baselines.area:.1f}")
    _show(table, len(categories))
    if rows[0].measures:
        _show(_table_in_3d(rows, categories), len(categories))
    for row in rows:
        costs = _costs({"s": row.seconds, "USD": row.cost})
        if costs:
            print(f"{printable(row.name)}: {costs} per question")


def _table_in_3d(rows: Sequence[ModelSummary], categories: Sequence[str]) -> Table:
    """Return R@1 and R@3 of places and of grasps."""
    table = _table("in 3D", "", "", "all", *categories)
    for row in rows:
        for measure in row.measures:
            kinds = [measure.overall, *measure.categories.values()]
            for name, means in (("R@1", [one.at_1 for one in kinds]), ("R@3", [one.at_3 for one in kinds])):
                parts = [f"{100 * mean.value:.1f}" for mean in means[1:]]
                table.add_row(printable(row.name), measure.name, name, _percent(means[0]), *parts)
    return table


def _show(table: Table, categories: int) -> None:
    from rich.console import Console

    # Wide enough for all columns: a table that is cut is of no use in a file.
    Console(width=max(80, 136 + 14 * categories)).print(table)


def _costs(values: Mapping[str, float | None]) -> str:
    return ", ".join(f"{value:.3g} {unit}" for unit, value in values.items() if value is not None)


def _percent(mean: Mean | None) -> str:
    return "–" if mean is None else f"{100 * mean.value:.1f} ({100 * mean.low:.1f} to {100 * mean.high:.1f})"


def _table(first: str, *others: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(first, overflow="fold", min_width=_FIRST)
    for heading in others:
        table.add_column(printable(heading), justify="right", no_wrap=True)
    return table
