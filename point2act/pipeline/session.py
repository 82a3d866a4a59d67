"""A reconstructed scene, ready for question after question. Nothing is trained, nothing is done twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from point2act.core.progress import Stages
from point2act.core.types import (
    Capture,
    Frame,
    GaussianScene,
    Plan,
    PointSet,
    QueryResult,
    RelevancyField,
    View,
)
from point2act.data.capture import load_views, read_capture
from point2act.data.capture.view_selection import keep_frames
from point2act.data.points import pointed_by_person, read_points
from point2act.data.run_manifest import read_run, with_poses
from point2act.data.scene_ply import read_splat_ply
from point2act.grasping.grippers import Gripper, load_gripper
from point2act.localization.relevancy import ViewAnswers, lift, locate
from point2act.localization.segmentation import Hypotheses, HypothesesConfig, find_hypotheses
from point2act.pipeline.query import (
    AnswerConfig,
    Localization,
    QueryContext,
    confirmed_depths,
    find_robot,
    localize,
    plan,
    to_avoid,
)
from point2act.splatting.gaussians import FrozenGaussians, Projection, freeze
from point2act.splatting.rendering import (
    RenderedSurface,
    RenderedView,
    project_view,
    render_surface,
    render_view,
)


@dataclass(frozen=True, eq=False)
class SessionResult:
    """Everything said about the queries, with what is needed to show why."""

    results: tuple[QueryResult, ...]
    """One per query, in the capture's world frame."""
    relevancy: RelevancyField
    pixels: tuple[ViewAnswers, ...]
    """What was said, as pixels of the views, per query and view."""
    gripper: Gripper
    config: AnswerConfig
    plan: Plan | None = None
    """What the queries are for, where the points say it."""

    @staticmethod
    def of(
        located: Sequence[Localization],
        results: Sequence[QueryResult],
        gripper: Gripper,
        config: AnswerConfig,
        plan: Plan | None = None,
    ) -> SessionResult:
        """Put together what was worked out for each query, at least one."""
        relevancy = RelevancyField(
            tuple(one.query for one in located),
            np.stack([one.asked.relevancy for one in located], axis=1),
            np.stack([one.asked.heard for one in located], axis=1),
        )
        pixels = tuple(one.asked.pixels for one in located)
        return SessionResult(tuple(results), relevancy, pixels, gripper, config, plan)


@dataclass(frozen=True, eq=False)
class Session:
    """A scene and its views, and what every question needs of them.

    The scene never changes, so what each view sees of it is worked out at the first question and kept.
    Measured with 32 600 Gaussians and views of 320x240 on two busy cores: for each view, the sorted
    Gaussians take 1.9 MB and save 4 ms a question, the drawn surface takes 0.6 MB and saves 6 ms.
    """

    capture: Capture
    views: Sequence[View]
    scene: GaussianScene
    """In the capture's world frame."""
    metric: bool
    """Whether lengths are known to be metres."""
    device: torch.device
    _hypotheses: dict[HypothesesConfig, Hypotheses] = field(default_factory=dict, init=False, repr=False)
    _depths: dict[float, Sequence[Float[np.ndarray, "_h _w"]]] = field(
        default_factory=dict, init=False, repr=False
    )

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The capture's of the views, one by one: of very many only some are used."""
        return keep_frames(self.capture, [view.name for view in self.views]).frames

    @cached_property
    def frozen(self) -> FrozenGaussians:
        """The scene on the device."""
        return freeze(self.scene, device=self.device)

    @cached_property
    def projections(self) -> tuple[Projection, ...]:
        """What every view sees of the Gaussians."""
        return tuple(project_view(view, self.frozen) for view in self.views)

    @cached_property
    def surfaces(self) -> tuple[RenderedSurface, ...]:
        """Depth and coverage as the Gaussians have them, from every view."""
        return tuple(render_surface(projection) for projection in self.projections)

    def hypotheses(self, config: HypothesesConfig = HypothesesConfig()) -> Hypotheses:
        """All that a question may mean."""
        if config not in self._hypotheses:
            self._hypotheses[config] = find_hypotheses(
                self.scene, self.views, self.projections, config=config
            )
        return self._hypotheses[config]

    def depths(self, agreement: float) -> Sequence[Float[np.ndarray, "_h _w"]]:
        """To plan grasps on, from every view: the ``confirmed_depths``."""
        if agreement not in self._depths:
            self._depths[agreement] = confirmed_depths(self.views, self.surfaces, agreement=agreement)
        return self._depths[agreement]

    def picture(self, number: int, relevancy: RelevancyField) -> RenderedView:
        """Draw the scene and its relevancy from one view."""
        return render_view(self.projections[number], self.frozen, relevancy=relevancy)

    def ask(
        self,
        points: PointSet | Path | str,
        *,
        config: AnswerConfig = AnswerConfig(),
        stages: Stages | None = None,
    ) -> SessionResult:
        """Relevancy, region and grasps for every query of a set of points, or of a points.json.

        The first question takes longer by the looks from every view. ``stages`` times and shows what
        happens. Raises a ``Point2ActError`` where the points do not belong to the
        capture, or there is no such gripper or arm.
        """
        stages = stages or Stages(show=False)
        if not isinstance(points, PointSet):
            points = read_points(points, self.capture)
        gripper = load_gripper(config.gripper)
        located = self.localize(points, config=config, stages=stages)
        results = self.plan(located, config=config, stages=stages)
        return SessionResult.of(located, results, gripper, config, points.plan)

    def localize(
        self, points: PointSet, *, config: AnswerConfig = AnswerConfig(), stages: Stages | None = None
    ) -> tuple[Localization, ...]:
        """The first half of ``ask``: relevancy and region, for every query of a set of points.

        A person's word stands alone, as ``that_count`` has it.
        """
        stages = stages or Stages(show=False)
        with stages.stage("look from the views"):
            surfaces, hypotheses = self.surfaces, self.hypotheses(config.hypotheses)
        person = pointed_by_person(points.answers)
        pixels = locate(points, self.capture, self.views)
        with stages.stage("lift the points") as tick:
            lifted = lift(self.projections, pixels, points.queries, config=config.relevancy, progress=tick)
        metric, base = self.metric or config.metric, self.capture.base
        with stages.stage("find the places"):
            depths = self.depths(config.depth_agreement)
            asked = [
                QueryContext(
                    query,
                    self.views,
                    surfaces,
                    depths,
                    self.scene,
                    hypotheses,
                    values,
                    heard,
                    said,
                    query.name in person,
                    metric,
                    base,
                )
                for query, values, heard, said in zip(
                    points.queries, lifted.values.T, lifted.evidence.T, pixels, strict=True
                )
            ]
            return tuple(localize(one, config=config) for one in asked)

    def plan(
        self,
        located: Sequence[Localization],
        *,
        among: Sequence[Localization] | None = None,
        config: AnswerConfig = AnswerConfig(),
        stages: Stages | None = None,
    ) -> tuple[QueryResult, ...]:
        """The second half of ``ask``: what each query's role wants at its place.

        Hands keep away from what is to be avoided ``among`` all that is located; by default these.
        """
        stages = stages or Stages(show=False)
        gripper = load_gripper(config.gripper)
        robot = find_robot(self.capture, gripper, config=config)
        results = []
        with stages.stage("find the grasps") as tick:
            # What is to be avoided has to be known before anything is grasped.
            avoid = to_avoid(located if among is None else among, config=config)
            for one in located:
                results.append(plan(one, avoid, gripper, robot, config=config))
                tick(len(results), len(located))
        return tuple(results)


def open_run(path: Path | str, *, device: str | None = None) -> Session:
    """Open what ``point2act run`` left, its output folder or the run.json in it, for new questions.

    Reads the scene and the images again and looks from every view, so that the first question is as
    quick as the others. ``device`` is ``cpu`` or ``cuda``, by default what is there. Raises a
    ``Point2ActError`` that says what to mend.
    """
    run = read_run(path)
    capture = read_capture(run.capture, allow_outside=run.allow_outside)
    scene = read_splat_ply(run.scene)
    views = with_poses(load_views(keep_frames(capture, run.views), max_side=run.max_side), run.poses)
    session = Session(capture, views, scene, run.metric, choose_device(device))
    _ = session.surfaces, session.hypotheses()
    return session


def choose_device(name: str | None) -> torch.device:
    """The device asked for, else CUDA where it is, else the CPU."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def find_points(capture: Capture, path: Path | str | None) -> PointSet | None:
    """The points given, else those beside the capture, else None."""
    beside = capture.folder / "points.json"
    if path is None and not beside.is_file():
        return None
    return read_points(beside if path is None else path, capture)
