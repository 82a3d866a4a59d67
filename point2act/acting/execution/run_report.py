"""Report of a run as one HTML file: the verdict, the film, the time line, and what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from point2act.acting.execution.run_document import ActDocument, EventEntry
from point2act.core.files import write_text
from point2act.core.progress import Span
from point2act.visualization.report.rendering import asset, render
from point2act.visualization.report.timeline import timeline

_DISTURBANCE = "disturbance"
"""Name of the row that shows when the run was disturbed."""


def write_report(
    path: Path, run: ActDocument, *, film: Sequence[UInt8[np.ndarray, "_h _w 3"]] = (), rate: float = 5.0
) -> None:
    """Write the report of a run atomically; pictures and styles are inside the file.

    Args:
        path: HTML file to write.
        run: What was written as act.json.
        film: Images of the robot's camera during the run, none or several.
        rate: Images of the film per second.
    """
    page = render(
        "act.html",
        style=asset("report.css"),
        run=run,
        kinds=Counter(event.kind for event in run.events),
        timeline=timeline(tuple(spans(run)), {}),
        film=list(film),
        rate=rate,
    )
    write_text(path, page)


def spans(run: ActDocument) -> Iterator[Span]:
    """Yield when each stage ran, and the moments of the disturbance and of all other events.

    A stage lasts until it is done or given up; its last event in a run may be missing.

    Args:
        run: The run.
    """
    started: EventEntry | None = None
    for event in run.events:
        if event.kind == "stage":
            started = event
        elif started is not None and event.kind in ("done", "violated"):
            yield Span(started.detail, started.time, event.time)
            started = None
        if event.kind not in ("stage", "done"):
            yield Span(event.kind, event.time, event.time)
    if started is not None:
        yield Span(started.detail, started.time, max(started.time, run.seconds))
    if run.disturbed_at is not None:
        yield Span(_DISTURBANCE, run.disturbed_at, run.disturbed_at)
