"""Timing of the stages of a run, shown as progress bars on a terminal or logged as lines."""

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
from point2act.core.types import ProgressCallback

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Span:
    """A named interval of time, in seconds since the start of the run."""

    name: str
    start: float
    end: float


class Bar:
    """The progress bar of a stage; call it with ``(done, total)``."""

    def __init__(self, bars: Progress, name: str):
        """Add a bar to a live display."""
        self.total: int | None = None
        """Number of steps, None if it was never set."""
        self.text = ""
        """Text beside the bar."""
        self._bars, self._bar = bars, bars.add_task(name, total=None, note="")

    def __call__(self, done: int, total: int) -> None:
        """Set the number of finished steps and of all steps."""
        self.total = total
        self._bars.update(self._bar, completed=done, total=total)

    def note(self, text: str) -> None:
        """Set the text beside the bar."""
        self.text = text
        self._bars.update(self._bar, note=printable(text))

    def finish(self) -> None:
        """Fill a bar whose total was never set."""
        if self.total is None:
            self._bars.update(self._bar, completed=1, total=1)


class StepCounter:
    """Counter of finished steps for a progress callback; ``finish`` reports all steps as done."""

    def __init__(self, progress: ProgressCallback | None, total: int):
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, steps: int = 1) -> None:
        """Report more finished steps."""
        self._done = min(self._done + steps, self._total)
        if self._progress is not None:
            self._progress(self._done, self._total)

    def finish(self) -> None:
        """Report all steps as done."""
        self(self._total - self._done)


class Stages:
    """Timer of named, consecutive stages that reports each at its end, on a terminal with a bar.

    Concurrent work is recorded with ``record``, from any thread.
    """

    def __init__(self, *, show: bool):
        """Start the clock; ``show`` draws bars on a terminal and logs at INFO elsewhere, else at DEBUG."""
        self.seconds: dict[str, float] = {}
        self._spans: list[Span] = []
        self._lock = threading.Lock()
        self._t0 = time.perf_counter()
        self._console = Console(stderr=True)
        self._drawn = show and bars_enabled() and (self._console.file.isatty() or self._console.is_jupyter)
        self._level = logging.INFO if show else logging.DEBUG

    @property
    def spans(self) -> tuple[Span, ...]:
        """All intervals so far, in the order of their ends."""
        with self._lock:
            return tuple(self._spans)

    @contextmanager
    def stage(self, name: str) -> Iterator[Bar]:
        """Time the block under a name; repeated names add up."""
        columns = (
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        start = time.perf_counter()
        with Progress(*columns, console=self._console, disable=not self._drawn) as bars:
            bar = Bar(bars, name)
            try:
                yield bar
            except BaseException:
                _log.debug("%s: interrupted after %.1f s", name, time.perf_counter() - start)
                raise
            bar.finish()
        end = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + end - start
        self.record(name, start, end)
        self._log_stage(name, end - start, bar)

    def record(self, name: str, start: float, end: float) -> None:
        """Record an interval of concurrent work in times of ``time.perf_counter``; it adds to no stage."""
        with self._lock:
            self._spans.append(Span(name, start - self._t0, end - self._t0))

    def info(self, text: str) -> None:
        """Print a remark below the bars; without bars log it at level DEBUG."""
        self._print(logging.DEBUG, text)

    def warn(self, text: str) -> None:
        """Print or log a warning."""
        self._print(logging.WARNING, text)

    def _print(self, level: int, text: str) -> None:
        text = text.strip()
        if self._drawn:
            self._console.print(f"  {printable(text)}", highlight=False, markup=False, emoji=False)
        _log.log(level, "%s", text, extra={"drawn": self._drawn})

    def _log_stage(self, name: str, seconds: float, bar: Bar) -> None:
        note = f", {bar.text}" if bar.text else ""
        facts = {"stage": name, "seconds": round(seconds, 3), "total": bar.total, "note": bar.text}
        extra = facts | {"drawn": self._drawn}
        _log.log(self._level, "%s: %.1f s%s", name, seconds, note, extra=extra)
