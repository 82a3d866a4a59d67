"""Write what a run found: grasps.json, PLY files, timings.json and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from point2act.answer import Answered
from point2act.files import write_json
from point2act.heatmaps import heatmap
from point2act.report import ReportInput, ReportView, write_report
from point2act.results import write_grasps, write_relevancy_ply, write_splat_ply
from point2act.types import Capture, GaussianScene, Gripper, View

_SHOWN_VIEWS = 6


@dataclass(frozen=True, eq=False)
class Story:
    """All that is told about one run."""

    capture: Capture
    views: Sequence[View]
    scene: GaussianScene
    answered: Answered | None
    """None for a capture without points."""
    gripper: Gripper
    metric: bool
    timings: Mapping[str, float]
    facts: Mapping[str, str] = field(default_factory=dict)


def publish(folder: Path, story: Story) -> None:
    """Write ``scene.ply``, ``timings.json`` and, where something was asked, everything else.

    Each file is written whole or not at all; ``grasps.json`` last, so that where it is the rest is too.
    """
    write_splat_ply(folder / "scene.ply", story.scene)
    write_timings(folder / "timings.json", story.timings)
    if story.answered is not None:
        write_relevancy_ply(folder / "relevancy.ply", story.scene, story.answered.relevancy)
        publish_report(folder / "report.html", story)
        write_grasps(
            folder / "grasps.json", story.answered.results, capture=story.capture, gripper=story.gripper
        )


def write_timings(path: Path, timings: Mapping[str, float]) -> None:
    """Write seconds per stage and their sum."""
    rounded = {name: round(seconds, 3) for name, seconds in timings.items()}
    write_json(path, {"version": 1, "stages": rounded, "total": round(sum(timings.values()), 3)})


def publish_report(path: Path, story: Story) -> None:
    """Write the report page."""
    answered = story.answered
    if answered is None:
        return
    shown = [_report_view(story.views[number], answered, number) for number in _chosen(answered)]
    write_report(
        path,
        ReportInput(
            title=story.capture.folder.name,
            capture=str(story.capture.folder),
            gripper=story.gripper,
            views=tuple(shown),
            results=answered.results,
            timings=story.timings,
            facts=story.facts,
            metric=story.metric,
        ),
    )


def _chosen(answered: Answered) -> list[int]:
    """A few views evenly over those that were asked about."""
    numbers = range(len(answered.pictures))
    asked = [n for n in numbers if any(said[n] is not None for said in answered.pixels)] or [*numbers]
    picked = np.linspace(0, len(asked) - 1, min(_SHOWN_VIEWS, len(asked))).round().astype(int)
    return [asked[number] for number in picked]


def _report_view(view: View, answered: Answered, number: int) -> ReportView:
    names = [result.query.name for result in answered.results]
    pairs = zip(names, (pixels[number] for pixels in answered.pixels), strict=True)
    said = {name: pixels for name, pixels in pairs if pixels is not None}
    return ReportView(
        view=view,
        points=said,
        heatmaps={name: heatmap(view.camera, pixels) for name, pixels in said.items()},
        picture=answered.pictures[number],
    )
