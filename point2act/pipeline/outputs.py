"""Write what a run found: grasps.json, PLY files, timings.json and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from point2act.core.files import write_json
from point2act.core.progress import Span
from point2act.data.scene_ply import write_relevancy_ply, write_splat_ply
from point2act.grasping.grasps_json import write_grasps
from point2act.localization.heatmaps import heatmap
from point2act.pipeline.session import Session, SessionResult
from point2act.visualization.report import ReportInput, ReportView, write_report

_SHOWN_VIEWS = 6


@dataclass(frozen=True, eq=False)
class RunSummary:
    """All that is told about the answers to one set of points."""

    session: Session
    answered: SessionResult
    timings: Mapping[str, float]
    facts: Mapping[str, str] = field(default_factory=dict)
    spans: Sequence[Span] = ()
    """When what was done; without any, one after the other as the timings have it."""


def publish(folder: Path, story: RunSummary) -> None:
    """Write ``grasps.json``, ``scene.ply``, ``relevancy.ply`` and ``report.html``, in this order.

    Each is written whole or not at all. The grasps come first because a robot may be waiting for them;
    where a new ``report.html`` is, all of them are.
    """
    session, answered = story.session, story.answered
    write_grasps(
        folder / "grasps.json",
        answered.results,
        capture=session.capture,
        gripper=answered.gripper,
        plan=answered.plan,
    )
    write_splat_ply(folder / "scene.ply", session.scene)
    write_relevancy_ply(folder / "relevancy.ply", session.scene, answered.relevancy)
    publish_report(folder / "report.html", story)


def write_timings(path: Path, timings: Mapping[str, float]) -> None:
    """Write seconds per stage and their sum."""
    rounded = {name: round(seconds, 3) for name, seconds in timings.items()}
    write_json(path, {"version": 1, "stages": rounded, "total": round(sum(timings.values()), 3)})


def publish_report(path: Path, story: RunSummary) -> None:
    """Write the report page."""
    session, answered = story.session, story.answered
    shown = [_report_view(session, answered, number) for number in _chosen(answered)]
    write_report(
        path,
        ReportInput(
            title=session.capture.folder.name,
            capture=str(session.capture.folder),
            gripper=answered.gripper,
            views=tuple(shown),
            results=answered.results,
            timings=story.timings,
            spans=tuple(story.spans),
            plan=answered.plan,
            facts=story.facts,
            metric=session.metric or answered.config.metric,
        ),
    )


def _chosen(answered: SessionResult) -> list[int]:
    """A few views evenly over those that were asked about."""
    numbers = range(len(answered.pixels[0]))
    asked = [n for n in numbers if any(said[n] is not None for said in answered.pixels)] or [*numbers]
    picked = np.linspace(0, len(asked) - 1, min(_SHOWN_VIEWS, len(asked))).round().astype(int)
    return [asked[number] for number in picked]


def _report_view(session: Session, answered: SessionResult, number: int) -> ReportView:
    view, config = session.views[number], answered.config.relevancy.heatmap
    names = [result.query.name for result in answered.results]
    pairs = zip(names, (pixels[number] for pixels in answered.pixels), strict=True)
    said = {name: pixels for name, pixels in pairs if pixels is not None}
    return ReportView(
        view=view,
        points=said,
        heatmaps={name: heatmap(view.camera, pixels, config=config) for name, pixels in said.items()},
        picture=session.picture(number, answered.relevancy),
    )
