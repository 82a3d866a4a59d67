"""A reconstructed scene that answers queries without further training."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray

from point2act.core.errors import PointsError, SceneError
from point2act.core.progress import Stages
from point2act.core.types import (
    Camera,
    Capture,
    Choice,
    DepthImages,
    Frame,
    GaussianScene,
    PointSet,
    ProgressCallback,
    Query,
    QueryResult,
    RelevancyField,
    View,
)
from point2act.data.capture import load_view
from point2act.data.capture.view_selection import keep_frames
from point2act.data.points import pointed_by_person, read_points
from point2act.grasping.depth_noise import DepthNoise, Sensor, estimate_noise
from point2act.grasping.end_effector import EndEffector
from point2act.localization.further_answers import MarkVote
from point2act.localization.relevancy import answers_in_views
from point2act.localization.segmentation import Segmentation, SegmentationConfig, segment_scene
from point2act.localization.view_answers import query_answers
from point2act.pipeline.image_input import MILLIMETRES
from point2act.pipeline.instances import each_instance, localize_all
from point2act.pipeline.mark_candidates import map_points
from point2act.pipeline.planning import Planner, chosen_end_effector, find_robot, plan, to_avoid
from point2act.pipeline.query import AnswerConfig, Localization, QueryContext, confirmed_depths, localize
from point2act.pipeline.session_result import SessionResult
from point2act.splatting.gaussians import FrozenGaussians, Projection, freeze
from point2act.splatting.rendering import (
    RenderedSurface,
    RenderedView,
    project_view,
    render_surface,
    render_view,
)
from point2act.vlm.segmenters.segmenter import Segmenter, SegmentFunction

if TYPE_CHECKING:
    from point2act.pipeline.live_session import LiveSession
    from point2act.pipeline.run_config import RunConfig
    from point2act.splatting.incremental import IncrementalConfig
else:
    LiveSession = RunConfig = IncrementalConfig = Any


@dataclass(frozen=True, eq=False)
class Session:
    """A Gaussian scene and the views it was fitted to, ready for queries.

    Queries are localized on the geometry, which never changes: its projections, rendered surfaces and
    segmentation are computed at the first query and kept.

    Args:
        capture: The capture, with all its frames.
        views: The loaded views that are used, at their refined poses.
        scene: The Gaussians, in the capture's world frame.
        metric: Whether lengths are known to be metres.
        device: Where torch computes.
        recorded: Views with their pixels as recorded, by name; others are loaded from the capture.
        segmenter: Decides where things end, see ``point2act.vlm.segmenters``; None for the points alone.
        geometry: The Gaussians on measured surfaces that the scene was fitted from, one for each of its own;
            None to localize on the scene.
    """

    # Measured with 32 600 Gaussians and views of 320x240 on two busy cores: for each view, the sorted
    # Gaussians take 1.9 MB and save 4 ms a query, the rendered surface takes 0.6 MB and saves 6 ms.
    capture: Capture
    views: Sequence[View]
    scene: GaussianScene
    metric: bool
    device: torch.device
    recorded: dict[str, View] = field(default_factory=dict, repr=False)
    segmenter: Segmenter | None = None
    geometry: GaussianScene | None = None
    _segmentations: dict[SegmentationConfig, Segmentation] = field(
        default_factory=dict, init=False, repr=False
    )
    _shown: dict[int, Int[np.ndarray, "_h _w"]] = field(default_factory=dict, init=False, repr=False)
    _votes: dict[Choice, MarkVote] = field(default_factory=dict, init=False, repr=False)
    _depths: dict[float, DepthImages] = field(default_factory=dict, init=False, repr=False)
    _noise: dict[Sensor, DepthNoise | None] = field(default_factory=dict, init=False, repr=False)
    _localized: dict[str, Localization] = field(default_factory=dict, init=False, repr=False)

    @staticmethod
    def start(
        camera: Camera,
        *,
        T_base_world: Float[np.ndarray, "4 4"] | None = None,
        depth_unit: float = MILLIMETRES,
        planner: Planner | None = None,
        segmenter: Segmenter | SegmentFunction | None = None,
        config: RunConfig | None = None,
        grow: IncrementalConfig | None = None,
    ) -> LiveSession:
        """Start a session in memory, without a folder: add views as a camera takes them, and ask at any time.

        Takes some seconds once in a process, as libraries are imported and kernels are compiled or read.

        Args:
            camera: Intrinsics of all views, in pixels with the centre of the first one at (0.5, 0.5): add 0.5
                to the ``cx`` and ``cy`` of OpenCV, ROS and librealsense. Images are undistorted.
            T_base_world: Rigid transform from the world to the robot base, which an arm needs.
            depth_unit: Metres per unit of integer depth.
            planner: Grasp planner in place of the antipodal one, as for ``run``.
            segmenter: Where things end, as for ``run``.
            config: All options; None for the defaults of ``run``. ``max_views`` bounds the memory.
            grow: How the scene is extended; None for the defaults of ``follow``.

        Raises:
            Point2ActError: The camera, the transform or an option cannot be used.
        """
        from point2act.pipeline.live_session import start_session

        return start_session(
            camera,
            T_base_world=T_base_world,
            depth_unit=depth_unit,
            planner=planner,
            segmenter=segmenter,
            config=config,
            grow=grow,
        )

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The capture's frames of the views, one by one."""
        return keep_frames(self.capture, [view.name for view in self.views]).frames

    def fitted(self, scene: GaussianScene) -> Session:
        """Return the session with the scene that was fitted from its own; what is computed is kept."""
        other = copy(self)
        other.__dict__.update(scene=scene, geometry=self.surface_gaussians)
        other.__dict__.pop("frozen", None)
        return other

    @property
    def surface_gaussians(self) -> GaussianScene:
        """The Gaussians that queries are localized on."""
        return self.scene if self.geometry is None else self.geometry

    @cached_property
    def frozen(self) -> FrozenGaussians:
        """The scene on the device."""
        return freeze(self.scene, device=self.device)

    @cached_property
    def projections(self) -> tuple[Projection, ...]:
        """The Gaussians that queries are localized on, projected into every view."""
        gaussians = self.frozen if self.geometry is None else freeze(self.geometry, device=self.device)
        return tuple(project_view(view, gaussians) for view in self.views)

    @cached_property
    def surfaces(self) -> tuple[RenderedSurface, ...]:
        """Depth and coverage of the Gaussians, rendered from every view."""
        return tuple(render_surface(projection) for projection in self.projections)

    def segmentation(self, config: SegmentationConfig = SegmentationConfig()) -> Segmentation:
        """Segment the Gaussians into the parts that a query may mean."""
        if config not in self._segmentations:
            self._segmentations[config] = segment_scene(
                self.surface_gaussians, self.views, self.projections, config=config
            )
        return self._segmentations[config]

    def shown_points(self, number: int) -> Int[np.ndarray, "_h _w"]:
        """Return the index of the parts' point that each pixel of a view shows, see ``map_points``."""
        if number not in self._shown:
            parts = self.segmentation().parts
            self._shown[number] = map_points(parts, self.views[number], self.surfaces[number])
        return self._shown[number]

    def depths(self, agreement: float) -> DepthImages:
        """Return ``confirmed_depths`` of every view, to plan grasps on."""
        if agreement not in self._depths:
            self._depths[agreement] = confirmed_depths(self.views, self.surfaces, agreement=agreement)
        return self._depths[agreement]

    def noise(self, sensor: Sensor = "auto") -> DepthNoise | None:
        """Return the noise of measured depth, at the views' size; None without any."""
        if sensor not in self._noise:
            measured = [view for view in self.views if view.depth is not None]
            depths = [view.depth for view in measured if view.depth is not None]
            self._noise[sensor] = estimate_noise(measured, depths, sensor=sensor) if measured else None
        return self._noise[sensor]

    def full_size(self, view: View) -> View:
        """Return one of the views with its pixels as they were recorded, at the view's pose."""
        frame = next(frame for frame in self.capture.frames if frame.name == view.name)
        if (frame.camera.height, frame.camera.width) == (view.camera.height, view.camera.width):
            return view
        if view.name not in self.recorded:
            self.recorded[view.name] = load_view(self.capture, frame, max_side=None)
        return replace(self.recorded[view.name], T_world_cam=view.T_world_cam)

    def render(self, view: View | str, *, relevancy: RelevancyField | None = None) -> RenderedView:
        """Render the scene from a view.

        Args:
            view: A view, which may have any camera and pose, or the name of one of the session's views.
            relevancy: Relevancies to render beside the colours, one channel per query.

        Returns:
            ``rgb`` (h, w, 3) in [0, 1], ``depth`` (h, w) along the optical axis in metres, ``alpha`` (h, w)
            in [0, 1] and ``relevancy`` (h, w, q).

        Raises:
            SceneError: There is no view of this name.
        """
        if not isinstance(view, View):
            named = {own.name: own for own in self.views}
            if view not in named:
                raise SceneError(f"there is no view named {view!r}: the first is {self.views[0].name!r}")
            view = named[view]
        return render_view(project_view(view, self.frozen), self.frozen, relevancy=relevancy)

    def relevancy(self, query: Query | str) -> Float[NDArray[np.float64], " n"]:
        """Return the relevancy of every Gaussian for a query that was localized.

        Args:
            query: The query, its name or its text.

        Returns:
            The probability of each Gaussian to belong to what the query means, in the order of ``scene``.

        Raises:
            PointsError: The query was not localized by ``ask`` or ``localize``.
        """
        name = query.name if isinstance(query, Query) else query
        named = {one.query.text: one for one in self._localized.values()} | self._localized
        if name not in named:
            raise PointsError(f"the query {name!r} was not localized: ask it first")
        return named[name].relevancy

    def ask(
        self,
        points: PointSet | Path | str,
        *,
        config: AnswerConfig = AnswerConfig(),
        gripper: EndEffector | None = None,
        planner: Planner | None = None,
        stages: Stages | None = None,
    ) -> SessionResult:
        """Localize every query of a set of points and plan for it.

        The first call takes longer, as it renders the scene from every view.

        Args:
            points: Queries and answers, or the path of a points.json.
            config: How to localize and plan.
            gripper: A gripper that is loaded already; by default ``config.gripper`` is loaded.
            planner: Replaces the antipodal grasp planner, see ``Planner``.
            stages: Times and shows the stages.

        Raises:
            Point2ActError: The points do not belong to the capture, or there is no such gripper or arm.
        """
        stages = stages or Stages(show=False)
        if not isinstance(points, PointSet):
            points = read_points(points, self.capture)
        gripper = gripper or chosen_end_effector(config)
        localized = tuple(each_instance(self.localize(points, config=config, stages=stages)))
        results = self.plan(localized, config=config, gripper=gripper, planner=planner, stages=stages)
        return SessionResult.of(localized, results, gripper, config, points.plan)

    def localize(
        self, points: PointSet, *, config: AnswerConfig = AnswerConfig(), stages: Stages | None = None
    ) -> tuple[Localization, ...]:
        """Find the relevancy and the region of every query of a set of points: the first half of ``ask``.

        A query that asks for all instances is one, see ``each_instance``.

        Where a person has pointed at a query, the models' answers to it do not count.
        """
        stages = stages or Stages(show=False)
        with stages.stage("render the views"):
            surfaces, segmentation = self.surfaces, self.segmentation(config.segmentation)
        by_person = pointed_by_person(points.answers)
        pixels = answers_in_views(points, self.capture, self.views)
        counted = query_answers(points, self.capture, self.views, self._votes)
        localized = []
        with stages.stage("localize the queries") as tick:
            for query, answers, seen in zip(points.queries, counted, pixels, strict=True):
                context = QueryContext(
                    query=query,
                    views=self.views,
                    surfaces=surfaces,
                    depths=self.depths(config.depth_agreement),
                    scene=self.surface_gaussians,
                    segmentation=segmentation,
                    answers=answers,
                    pixels=seen,
                    by_person=query.name in by_person,
                    full_size=self.full_size,
                    noise=self.noise(config.sensor),
                    metric=self.metric or config.metric,
                    base=self.capture.base,
                    segmenter=self.segmenter,
                    device=str(self.device),
                )
                find = localize_all if query.instances == "all" else localize
                localized.append(find(context, config=config))
                tick(len(localized), len(points.queries))
        self._localized.update({one.query.name: one for one in each_instance(localized)})
        self._localized.update({one.query.name: one for one in localized})
        return tuple(localized)

    def plan(
        self,
        localized: Sequence[Localization],
        *,
        among: Sequence[Localization] | None = None,
        config: AnswerConfig = AnswerConfig(),
        gripper: EndEffector | None = None,
        planner: Planner | None = None,
        stages: Stages | None = None,
        progress: ProgressCallback | None = None,
    ) -> tuple[QueryResult, ...]:
        """Plan what each query's role wants at its region: the second half of ``ask``.

        Args:
            localized: The queries to plan for.
            among: All queries of the scene: the gripper keeps away from those with the role ``avoid``. By
                default the ones that are planned for.
            config: How to plan.
            gripper: A gripper that is loaded already; by default ``config.gripper`` is loaded.
            planner: Replaces the antipodal grasp planner.
            stages: Times and shows the stages.
            progress: Called with the steps done and all steps; what it raises ends the planning.
        """
        stages = stages or Stages(show=False)
        gripper = gripper or chosen_end_effector(config)
        robot = find_robot(self.capture, gripper, config=config)
        results = []
        with stages.stage("find the grasps") as bar:
            tick = bar if progress is None else progress
            # Regions to avoid have to be known before anything is grasped.
            avoid = to_avoid(localized if among is None else among, config=config)
            for one in localized:
                done = partial(_within, tick, len(results), len(localized))
                results.append(
                    plan(one, avoid, gripper, robot, config=config, planner=planner, progress=done)
                )
                tick(len(results), len(localized))
        return tuple(results)


def _within(tick: ProgressCallback, number: int, count: int, done: int, total: int) -> None:
    """Report progress within one of several queries."""
    tick(number * total + done, count * total)
