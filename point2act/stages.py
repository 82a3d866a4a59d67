"""Stages of a run: what each took, and a progress bar for people who wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Tick = Callable[[int, int], None]
"""Called with (done, total) as a stage advances."""


class Stages:
    """Times named stages in order and, when shown, draws a bar for each on standard error."""

    def __init__(self, *, show: bool):
        """``show`` draws bars; without it only the times are kept."""
        self.seconds: dict[str, float] = {}
        self._console = Console(stderr=True, quiet=not show)

    @contextmanager
    def stage(self, name: str) -> Iterator[Tick]:
        """Time the block under a name; the same name twice adds up."""
        name_column = TextColumn("{task.description:<24}")
        columns = (name_column, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        begin = time.perf_counter()
        with Progress(*columns, console=self._console, disable=self._console.quiet) as bars:
            bar = bars.add_task(name, total=None)

            def tick(done: int, total: int) -> None:
                bars.update(bar, completed=done, total=total)

            yield tick
            bars.update(bar, completed=1, total=1) if bars.tasks[0].total is None else None
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin

    def say(self, text: str) -> None:
        """Print one line for people, if anything is shown."""
        self._console.print(text, highlight=False)
