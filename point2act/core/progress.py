"""Stages of a run: when each began and what it took, told in a line or by a bar for people who wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from point2act.core.logs import bars_enabled, printable

_log = logging.getLogger(__name__)


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
        self.total: int | None = None
        """How much there is to do, where that was told."""
        self.said = ""
        """What is said beside the bar."""
        self._bars, self._bar = bars, bars.add_task(name, total=None, note="")

    def __call__(self, done: int, total: int) -> None:
        """So much of so much is done."""
        self.total = total
        self._bars.update(self._bar, completed=done, total=total)

    def note(self, text: str) -> None:
        """Say something beside the bar, in place of what was said there before."""
        self.said = text
        self._bars.update(self._bar, note=printable(text))

    def end(self) -> None:
        """Fill a bar whose length nobody told."""
        if self.total is None:
            self._bars.update(self._bar, completed=1, total=1)


class Stages:
    """Times named stages in order and tells of each at its end, on a terminal by a bar for each.

    Stages follow one another. What goes on beside them is told by ``beside``, from any thread.
    """

    def __init__(self, *, show: bool):
        """``show`` draws bars where people look on, and else logs for them; without it only those who hunt a
        problem are told.
        """
        self.seconds: dict[str, float] = {}
        self._spans: list[Span] = []
        self._lock = threading.Lock()
        self._birth = time.perf_counter()
        self._console = Console(stderr=True)
        self._drawn = show and bars_enabled() and (self._console.file.isatty() or self._console.is_jupyter)
        self._level = logging.INFO if show else logging.DEBUG

    @property
    def spans(self) -> tuple[Span, ...]:
        """Everything so far, in the order of their ends."""
        with self._lock:
            return tuple(self._spans)

    @contextmanager
    def stage(self, name: str) -> Iterator[Bar]:
        """Time the block under a name; the same name twice adds up."""
        name_column = TextColumn("{task.description:<24}", markup=False)
        columns = (name_column, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        note_column = TextColumn("{task.fields[note]}", markup=False)
        begin = time.perf_counter()
        with Progress(*columns, note_column, console=self._console, disable=not self._drawn) as bars:
            bar = Bar(bars, name)
            try:
                yield bar
            except BaseException:
                _log.debug("%s: broken off after %.1f s", name, time.perf_counter() - begin)
                raise
            bar.end()
        end = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + end - begin
        self.beside(name, begin, end)
        self._log_stage(name, end - begin, bar)

    def beside(self, name: str, begin: float, end: float) -> None:
        """Note what was done beside the stages, in times of ``time.perf_counter``; it adds to no sum."""
        with self._lock:
            self._spans.append(Span(name, begin - self._birth, end - self._birth))

    def say(self, text: str) -> None:
        """Tell those who look on one more thing; where bars are not drawn, those who hunt a problem."""
        self._tell(logging.DEBUG, text)

    def warn(self, text: str) -> None:
        """Tell what did not go well, also those who want to be told little."""
        self._tell(logging.WARNING, text)

    def _tell(self, level: int, text: str) -> None:
        text = text.strip()
        if self._drawn:
            self._console.print(f"  {printable(text)}", highlight=False, markup=False, emoji=False)
        _log.log(level, "%s", text, extra={"drawn": self._drawn})

    def _log_stage(self, name: str, seconds: float, bar: Bar) -> None:
        note = f", {bar.said}" if bar.said else ""
        facts = {"stage": name, "seconds": round(seconds, 3), "total": bar.total, "note": bar.said}
        extra = facts | {"drawn": self._drawn}
        _log.log(self._level, "%s: %.1f s%s", name, seconds, note, extra=extra)
