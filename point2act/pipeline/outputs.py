"""Output files of a run: grasps.json, PLY files, timings.json and the report."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

from point2act.core.files import write_json, writing
from point2act.core.progress import Span
from point2act.core.secrets import hide_keys
from point2act.core.types import PointSet
from point2act.data.scene_ply import write_relevancy_ply, write_splat_ply
from point2act.grasping.grasps_json import write_grasps
from point2act.localization.heatmaps import heatmap
from point2act.localization.support import rejected_places
from point2act.pipeline.session import Session
from point2act.pipeline.session_result import SessionResult
from point2act.visualization.report import ReportInput, ReportView, write_report

_SHOWN_VIEWS = 6


@dataclass(frozen=True, eq=False)
class RunSummary:
    """Everything that a run writes about the results of one set of points."""

    session: Session
    answered: SessionResult
    timings: Mapping[str, float]
    facts: Mapping[str, str] = field(default_factory=dict)
    spans: Sequence[Span] = ()
    """Start and end of each stage; without any, stages are drawn one after the other."""
    saved: Path | None = None
    """A folder in which the scene and its geometry are written already."""
    points: PointSet | None = None
    """The answers, to name the models that gave them."""
    scene_3d: bool = True
    """Whether the report has an interactive 3D view."""


def publish_grasps(folder: Path, session: Session, answered: SessionResult) -> None:
    """Write ``grasps.json``: before all else, because a robot may be waiting for it."""
    write_grasps(
        folder / "grasps.json",
        answered.results,
        capture=session.capture,
        gripper=answered.gripper,
        plan=answered.plan,
    )


def publish(folder: Path, summary: RunSummary) -> None:
    """Write the scene, ``relevancy.ply`` and ``report.html``, in this order.

    Each file is written atomically. The report comes last, so a new report means that all files are new.
    """
    session, answered = summary.session, summary.answered
    write_scene(folder, session, summary.saved)
    write_relevancy_ply(folder / "relevancy.ply", session.scene, answered.relevancy)
    publish_report(folder / "report.html", summary)


def write_scene(folder: Path, session: Session, saved: Path | None = None) -> None:
    """Write ``scene.ply`` and, if there is another geometry, ``geometry.ply``.

    Args:
        folder: Folder to write to.
        session: The scene and its geometry.
        saved: A folder in which both are written already, to link to.
    """
    for name, scene in (("scene.ply", session.scene), ("geometry.ply", session.geometry)):
        target = folder / name
        if scene is None:
            target.unlink(missing_ok=True)  # Of an earlier run.
        elif saved is None:
            write_splat_ply(target, scene)
        elif saved != folder:
            _link(saved / name, target)


def _link(saved: Path, target: Path) -> None:
    """Put a link to a file, else a copy, in the place of another one."""
    # Beside the saved file, in a folder that is removed when the run is complete.
    draft = saved.with_suffix(".link")
    with writing(target):
        draft.unlink(missing_ok=True)
        try:
            os.link(saved, draft)
        except OSError:
            shutil.copyfile(saved, draft)
        os.replace(draft, target)


def write_timings(path: Path, timings: Mapping[str, float]) -> None:
    """Write seconds per stage and their sum."""
    rounded = {name: round(seconds, 3) for name, seconds in timings.items()}
    write_json(path, {"version": 1, "stages": rounded, "total": round(sum(timings.values()), 3)})


def publish_report(path: Path, summary: RunSummary) -> None:
    """Write the report page."""
    session, answered = summary.session, summary.answered
    shown = [_report_view(session, answered, number) for number in _chosen(answered)]
    models = set() if summary.points is None else {answer.model for answer in summary.points.answers}
    write_report(
        path,
        ReportInput(
            title=session.capture.folder.name,
            capture=str(session.capture.folder),
            gripper=answered.gripper,
            views=tuple(shown),
            results=answered.results,
            timings=summary.timings,
            spans=tuple(summary.spans),
            plan=answered.plan,
            facts=dict(summary.facts) | _origin(answered, models),
            metric=session.metric or answered.config.metric,
            scene=(session.scene, answered.relevancy) if summary.scene_3d else None,
            models=tuple(sorted(models - {""})),
            rejected_places=_rejected_places(session, answered),
            T_base_world=session.capture.T_base_world,
        ),
    )


def _origin(answered: SessionResult, models: AbstractSet[str]) -> dict[str, str]:
    """Return facts about where the results come from."""
    gripper = answered.gripper
    return {
        "Answers by": ", ".join(sorted(models - {""})) or "not recorded",
        "Gripper": f"{gripper.name}, opens to {1000 * gripper.max_width:.0f} mm",
        "Seed": str(answered.config.seed),
        "point2act": version("point2act"),
        "Command": hide_keys(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])),
    }


def _rejected_places(session: Session, answered: SessionResult) -> dict[str, tuple[int, ...]]:
    """Return how many of the disagreeing views name each other place, by query."""
    config = answered.config
    depths = session.depths(config.depth_agreement)
    return {
        result.query.name: rejected_places(
            result.region.support, session.views, depths, pixels, config=config.region.support
        )
        for result, pixels in zip(answered.results, answered.pixels, strict=True)
        if result.region is not None
    }


def _chosen(answered: SessionResult) -> list[int]:
    """Return indices of a few views, evenly over those that were queried."""
    numbers = range(len(answered.pixels[0]))
    asked = [n for n in numbers if any(pixels[n] is not None for pixels in answered.pixels)] or [*numbers]
    picked = np.linspace(0, len(asked) - 1, min(_SHOWN_VIEWS, len(asked))).round().astype(int)
    return [asked[number] for number in picked]


def _report_view(session: Session, answered: SessionResult, number: int) -> ReportView:
    view, config = session.views[number], answered.config.heatmap
    names = [result.query.name for result in answered.results]
    pairs = zip(names, (pixels[number] for pixels in answered.pixels), strict=True)
    points = {name: pixels for name, pixels in pairs if pixels is not None}
    return ReportView(
        view=view,
        points=points,
        heatmaps={name: heatmap(view.camera, pixels, config=config) for name, pixels in points.items()},
        picture=session.render(view.name, relevancy=answered.relevancy),
    )
