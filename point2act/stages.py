"""Stages of a run: when each began and what it took, and a progress bar for people who wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Tick = Callable[[int, int], None]
"""Called with (done, total) as a stage advances."""


@dataclass(frozen=True)
class Span:
    """Something that took time, in seconds since the run began."""

    name: str
    begin: float
    end: float


class Bar:
    """A stage's progress: call it with (done, total)."""

    def __init__(self, bars: Progress, name: str):
        """Draw into a live display."""
        self._bars, self._bar = bars, bars.add_task(name, total=None, note="")

    def __call__(self, done: int, total: int) -> None:
        """So much of so much is done."""
        self._bars.update(self._bar, completed=done, total=total)

    def note(self, text: str) -> None:
        """Say something beside the bar, in place of what was said there before."""
        self._bars.update(self._bar, note=text)

    def end(self) -> None:
        """Fill a bar whose length nobody told."""
        if self._bars.tasks[0].total is None:
            self(1, 1)


class Stages:
    """Times named stages in order and, when shown, draws a bar for each on standard error.

    Stages follow one another. What goes on beside them is told by :meth:`beside`, from any thread.
    """

    def __init__(self, *, show: bool):
        """``show`` draws bars; without it only the times are kept."""
        self.seconds: dict[str, float] = {}
        self._spans: list[Span] = []
        self._lock = threading.Lock()
        self._birth = time.perf_counter()
        self._console = Console(stderr=True, quiet=not show)

    @property
    def spans(self) -> tuple[Span, ...]:
        """Everything so far, in the order of their ends."""
        with self._lock:
            return tuple(self._spans)

    @contextmanager
    def stage(self, name: str) -> Iterator[Bar]:
        """Time the block under a name; the same name twice adds up."""
        name_column = TextColumn("{task.description:<24}")
        columns = (name_column, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        note_column = TextColumn("{task.fields[note]}")
        begin = time.perf_counter()
        with Progress(*columns, note_column, console=self._console, disable=self._console.quiet) as bars:
            bar = Bar(bars, name)
            yield bar
            bar.end()
        end = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + end - begin
        self.beside(name, begin, end)

    def beside(self, name: str, begin: float, end: float) -> None:
        """Note what was done beside the stages, in times of ``time.perf_counter``; it adds to no sum."""
        with self._lock:
            self._spans.append(Span(name, begin - self._birth, end - self._birth))

    def say(self, text: str) -> None:
        """Print one line for people, if anything is shown."""
        self._console.print(text, highlight=False)
