"""The report of a run: what its time line shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from point2act.acting.execution.run_document import ActDocument
from point2act.acting.execution.run_report import spans, write_report
from point2act.core.progress import Span

RUN = {
    "version": 1,
    "task": "table <1>",
    "instruction": "Put the <b>mug</b> down.",
    "succeeded": False,
    "reason": "open failed 4 times",
    "seconds": 9.0,
    "disturbed_at": 2.5,
    "conditions": [{"kind": "on", "thing": "mug", "holds": False, "value": 0.125}],
    "events": [
        {"time": time, "kind": kind, "detail": detail}
        for time, kind, detail in (
            (0.0, "stage", "open"),
            (1.0, "done", "open"),
            (1.0, "stage", "move"),
            (3.0, "lost", "mug: waiting"),
            (4.0, "violated", "move: the path"),
            (4.0, "back", "back to open"),
            (5.0, "stage", "open"),
        )
    ],
}


def run(**changes: object) -> ActDocument:
    return ActDocument.model_validate(json.loads(json.dumps(RUN | changes)))


def test_stages_last_until_they_are_done_or_given_up():
    assert list(spans(run())) == [
        Span("open", 0.0, 1.0),
        Span("lost", 3.0, 3.0),
        Span("move", 1.0, 4.0),
        Span("violated", 4.0, 4.0),
        Span("back", 4.0, 4.0),
        Span("open", 5.0, 9.0),
        Span("disturbance", 2.5, 2.5),
    ]


@pytest.mark.parametrize("events", [[], [{"time": 0.0, "kind": "failed", "detail": "nothing is seen"}]])
def test_a_run_without_stages_has_no_spans_of_stages(tmp_path: Path, events: list[dict[str, object]]):
    document = run(events=events, disturbed_at=None, conditions=[], seconds=0.0)
    assert [span.name for span in spans(document)] == [event["kind"] for event in events]
    write_report(tmp_path / "act.html", document)
    assert "Not done" in (tmp_path / "act.html").read_text()


def test_the_page_shows_everything_and_escapes_words(tmp_path: Path):
    film = [np.full((8, 12, 3), grey, np.uint8) for grey in (0, 128, 255)]
    write_report(tmp_path / "act.html", run(), film=film)
    page = (tmp_path / "act.html").read_text()
    for shown in ("Put the &lt;b&gt;mug", "open failed 4 times", "data:image/webp", "0.125", "back to open"):
        assert shown in page
    assert "<b>mug" not in page
    assert "data:image/webp" not in _without_film(tmp_path)


def _without_film(folder: Path) -> str:
    write_report(folder / "other.html", run())
    return (folder / "other.html").read_text()
