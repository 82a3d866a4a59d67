"""One query about a scene: ``localize`` finds its region, ``plan`` finds what its role wants there.

The points have two consumers: lifting gives every Gaussian a relevancy, which colours renderings and scores
grasps; the posterior over the scene's parts gives the region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from point2act.core.errors import ArmError
from point2act.core.geometry import invert, to_tangents, transform_points
from point2act.core.types import (
    Capture,
    DepthImages,
    GaussianScene,
    Grasp,
    NoAnswer,
    Query,
    QueryResult,
    Region,
    RelevancyField,
    View,
    ViewAnswers,
)
from point2act.grasping.antipodal.avoid import Avoid, avoid_region
from point2act.grasping.antipodal.boundary import surface_points
from point2act.grasping.antipodal.plan import GraspConfig, plan_grasps
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.grippers import Gripper
from point2act.grasping.placement import PlacementConfig, find_placement
from point2act.grasping.reachability import ReachConfig
from point2act.grasping.tsdf import SurfaceConfig, fuse_local
from point2act.localization.likelihood import LikelihoodConfig, part_posterior
from point2act.localization.region import ClickConfig, RegionConfig, find_region
from point2act.localization.relevancy import RelevancyConfig
from point2act.localization.segmentation import Segmentation, SegmentationConfig
from point2act.splatting.rendering import RenderedSurface

if TYPE_CHECKING:
    from point2act.grasping.reachability.arm import Arm
else:
    Arm = Any

# Fewer views are no consensus: the Gaussians then bend to a printed label's letters.
_CONSENSUS_VIEWS = 3
# Gaussians fainter than this are haze, not surface; pixels that are covered less show no surface.
_SURFACE_OPACITY = 0.1
_SURFACE_ALPHA = 0.5


# ── a planner of one's own ─────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, eq=False)
class SurfaceCloud:
    """The fused surface around an action point, as seen by the cameras."""

    points: Float[NDArray[np.float64], "n 3"]
    """World points, metres."""
    normals: Float[NDArray[np.float64], "n 3"]
    """Outward unit normals, world."""


@runtime_checkable
class Planner(Protocol):
    """Interface of a grasp planner that takes the place of the antipodal one."""

    def __call__(self, region: Region, surface: SurfaceCloud, gripper: Gripper) -> Sequence[Grasp]:
        """Return grasps in the world frame, best first; an empty sequence if there are none.

        Args:
            region: Where to grasp: ``action_point`` and ``box``, world frame, metres.
            surface: Points and normals of the surface within 9 cm of the action point.
            gripper: The parallel gripper: stroke, fingers and their boxes.
        """
        ...


# ── what a query needs ─────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True)
class AnswerConfig:
    """From a scene and points to grasps."""

    gripper: str = "panda"
    """Name of a shipped gripper, or path of a gripper's .toml file."""
    arm: str | None = None
    """Name of a shipped arm, or path of an arm's .toml file: keeps only grasps that the arm reaches from
    its pose in the capture (T_base_world), each with a joint path."""
    metric: bool = False
    """Trust the poses to be in metres although the capture has no depth."""
    relevancy: RelevancyConfig = field(default_factory=RelevancyConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    evidence: LikelihoodConfig = field(default_factory=LikelihoodConfig)
    region: RegionConfig = field(default_factory=RegionConfig)
    click: ClickConfig = field(default_factory=ClickConfig)
    """Likelihood and region of queries that a person has pointed at."""
    # 1 cm at half a metre: ten times the noise of a good depth camera.
    depth_agreement: float = 0.02
    """Measured depth is used where it differs from the Gaussians' depth by at most this fraction of it."""
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    grasp: GraspConfig = field(default_factory=GraspConfig)
    reach: ReachConfig = field(default_factory=ReachConfig)
    """Inverse kinematics and joint paths of the arm."""
    place: PlacementConfig = field(default_factory=PlacementConfig)
    seed: int = 0
    """Seed of all random numbers; the same seed gives the same grasps."""


@dataclass(frozen=True, eq=False)
class Robot:
    """An arm and the pose of its base."""

    arm: Arm
    T_base_world: Float[np.ndarray, "4 4"]


@dataclass(frozen=True, eq=False)
class QueryContext:
    """One query and everything known about it before it is localized."""

    lifted: RelevancyField
    """Relevancy of all queries that were lifted together."""
    column: int
    """The query's column in it."""
    views: Sequence[View]
    surfaces: Sequence[RenderedSurface]
    """The scene's depth and coverage, rendered from every view."""
    depths: DepthImages
    """Depth to plan grasps on, for every view: ``confirmed_depths``."""
    scene: GaussianScene
    segmentation: Segmentation
    pixels: ViewAnswers
    """The answers, as pixels of the views."""
    by_person: bool
    """Whether the answers are a person's and not a model's."""
    metric: bool
    """Whether lengths are metres."""
    base: Float[np.ndarray, "3"] | None
    """Position of the robot's base, world; None if the capture does not give it."""

    @property
    def query(self) -> Query:
        """The query itself."""
        return self.lifted.queries[self.column]

    @property
    def relevancy(self) -> Float[np.ndarray, " n"]:
        """Relevancy of every Gaussian, in [0, 1]."""
        return self.lifted.values[:, self.column]

    def solid(self) -> tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]]:
        """Return centres and relevancy of the Gaussians that make up surfaces."""
        solid = self.scene.opacities > _SURFACE_OPACITY
        return self.scene.means[solid], self.relevancy[solid]


@dataclass(frozen=True, eq=False)
class Localization:
    """A query and the region that it means."""

    context: QueryContext
    region: Region | NoAnswer
    """The region, or why there is none."""
    rivals: tuple[Region, ...]
    """Other regions that the query may mean, likeliest first."""

    @property
    def query(self) -> Query:
        """The query itself."""
        return self.context.query


# ── localize, then plan ────────────────────────────────────────────────────────────────────────
def localize(context: QueryContext, *, config: AnswerConfig) -> Localization:
    """Find the region that a query means, or why there is none, and its rivals.

    Every answered pixel is a ray. The likelihood of the rays given each part of the scene, times the part's
    prior, is the part's posterior; the region lies on the likeliest part.
    """
    parts, visibility = context.segmentation.parts, context.segmentation.visibility
    chosen = config.click if context.by_person else config
    tangents = [
        None if pixels is None else to_tangents(view.camera, pixels)
        for pixels, view in zip(context.pixels, context.views, strict=True)
    ]
    region, rivals = find_region(
        parts,
        visibility,
        part_posterior(parts, visibility, tangents, config=chosen.evidence),
        context.views,
        [surface.depth for surface in context.surfaces],
        context.pixels,
        sigma=config.relevancy.heatmap.sigma,
        config=chosen.region,
    )
    return Localization(context, region, rivals)


def to_avoid(localized: Sequence[Localization], *, config: AnswerConfig) -> tuple[Avoid, ...]:
    """Return what the gripper keeps away from: the regions of queries with the role ``avoid``."""
    return tuple(
        avoid_region(one.query, one.region, one.context.solid(), config=config.grasp.evaluation.avoid)
        for one in localized
        if one.query.role == "avoid" and isinstance(one.region, Region)
    )


def plan(
    localization: Localization,
    avoid: Sequence[Avoid],
    gripper: Gripper,
    robot: Robot | None,
    *,
    config: AnswerConfig,
    planner: Planner | None = None,
) -> QueryResult:
    """Plan what a query's role wants at its region.

    Args:
        localization: The query and its region.
        avoid: Regions that the gripper keeps away from, see ``to_avoid``.
        gripper: The gripper to plan for.
        robot: The arm that has to reach the grasps; None for any grasp.
        planner: Replaces the antipodal grasp planner.

    Returns:
        Grasps or a placement pose in the world frame, or the reason why there is none.
    """
    context, query = localization.context, localization.query
    region, rivals = localization.region, localization.rivals
    if isinstance(region, NoAnswer):
        return QueryResult(query, None, (), rivals, region.reason, region.detail)
    if query.role == "avoid":
        return QueryResult(query, region, (), rivals, None, "a region to avoid: no grasps are wanted")
    if query.role == "place":
        rng = np.random.default_rng(config.seed)
        place = find_placement(
            context.views,
            context.depths,
            region.action_point,
            metric=context.metric,
            config=config.place,
            rng=rng,
        )
        if isinstance(place, NoAnswer):
            return QueryResult(query, region, (), rivals, place.reason, place.detail)
        return QueryResult(query, region, (), rivals, place=place)
    grasps, failure = _plan_grasps(context, region, avoid, gripper, robot, config, planner)
    if failure is not None:
        return QueryResult(query, region, (), rivals, failure.reason, failure.detail, counts=failure.counts)
    return QueryResult(query, region, grasps, rivals)


def _plan_grasps(
    context: QueryContext,
    region: Region,
    avoid: Sequence[Avoid],
    gripper: Gripper,
    robot: Robot | None,
    config: AnswerConfig,
    planner: Planner | None,
) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """Fuse the depth around a region and plan grasps on it; none if lengths are not metres."""
    if not context.metric:
        return (), NoAnswer(
            "no_scale",
            "the scale of the capture is unknown: capture depth, use --scale-from for photographs, or set "
            '"metric": true in transforms.json if poses are in metres',
        )
    volume = fuse_local(context.views, context.depths, region.action_point, config=config.surface)
    if planner is not None:
        grasps = tuple(planner(region, _surface_cloud(volume, region, config), gripper))
        failure = None if grasps else NoAnswer("no_contact_pair", "the planner returned no grasp")
    else:
        grasps, failure = plan_grasps(
            volume,
            region,
            gripper,
            relevancy=context.solid(),
            avoid=avoid,
            base=context.base,
            config=config.grasp,
            rng=np.random.default_rng(config.seed),
        )
    if robot is None or failure is not None:
        return grasps, failure
    return _reachable(grasps, robot, volume, context, config)


def _reachable(
    grasps: tuple[Grasp, ...], robot: Robot, volume: LocalVolume, context: QueryContext, config: AnswerConfig
) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """Keep the grasps that the arm reaches, each with a joint path."""
    # Imported late: mink and MuJoCo are installed only where an arm is used.
    from point2act.grasping.reachability.clearance import Surroundings
    from point2act.grasping.reachability.joint_path import reach_grasps

    return reach_grasps(
        grasps,
        robot.T_base_world,
        robot.arm,
        around=Surroundings(volume.table, context.solid()[0]),
        approach=config.grasp.poses.approach,
        lift_world=config.grasp.poses.lift * volume.up,
        config=config.reach,
        rng=np.random.default_rng(config.seed),
    )


def _surface_cloud(volume: LocalVolume, region: Region, config: AnswerConfig) -> SurfaceCloud:
    """Return the surface that the cameras saw in a volume, in the world frame."""
    T = volume.T_world_volume
    action_point = transform_points(invert(T), region.action_point[None])[0]
    surface = surface_points(volume, action_point, config=config.grasp.boundary)
    points, normals = surface.points[surface.seen], surface.normals[surface.seen]
    # pyrefly: ignore[bad-argument-type]
    return SurfaceCloud(transform_points(T, points), normals @ T[:3, :3].T)


def find_robot(capture: Capture, gripper: Gripper, *, config: AnswerConfig) -> Robot | None:
    """Load the arm that is configured; None if none is.

    Raises:
        ArmError: There is no such arm, or the capture does not give the pose of its base.
    """
    if config.arm is None:
        return None
    if capture.T_base_world is None:
        raise ArmError(
            f"{capture.folder / 'transforms.json'} does not give the arm's pose: write at its top level "
            f"'T_base_world', a 4x4 matrix from the capture's world frame to the base of '{config.arm}'"
        )
    from point2act.grasping.reachability.arm import load_arm

    return Robot(load_arm(config.arm, gripper), capture.T_base_world)


def confirmed_depths(
    views: Sequence[View], surfaces: Sequence[RenderedSurface], *, agreement: float
) -> list[Float[np.ndarray, "_h _w"]]:
    """Return depth to plan grasps on: measured depth that the Gaussians confirm, else the Gaussians' own.

    The Gaussians are a consensus of all views: a reading that differs from their depth by more than
    ``agreement`` of it is noise, or its view has a wrong pose. One or two views are taken as they are.
    """
    depths = []
    for view, surface in zip(views, surfaces, strict=True):
        solid = np.where(surface.alpha > _SURFACE_ALPHA, surface.depth, 0.0)
        if view.depth is not None:
            confirmed = np.abs(view.depth - solid) < agreement * solid
            confirmed |= (view.depth > 0) & (len(views) < _CONSENSUS_VIEWS)
            solid = np.where(confirmed, view.depth, 0.0)
        depths.append(solid)
    return depths
