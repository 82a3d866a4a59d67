"""One query about a scene: where its relevancy says to act, and grasps there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import ArmError
from point2act.core.geometry import to_tangents
from point2act.core.types import Capture, GaussianScene, Grasp, NoAnswer, Query, QueryResult, Region, View
from point2act.grasping.antipodal.avoid import Avoid, avoid_region
from point2act.grasping.antipodal.plan import GraspConfig, plan_grasps
from point2act.grasping.grippers import Gripper
from point2act.grasping.placement import PlaceConfig, find_place
from point2act.grasping.reachability.path import ReachConfig
from point2act.grasping.tsdf import SurfaceConfig, fuse_local
from point2act.localization.click_model import ClickConfig
from point2act.localization.likelihood import EvidenceConfig, weigh
from point2act.localization.region import RegionConfig, find_region
from point2act.localization.relevancy import RelevancyConfig, ViewAnswers
from point2act.localization.segmentation import Hypotheses, HypothesesConfig
from point2act.splatting.rendering import RenderedSurface

if TYPE_CHECKING:
    from point2act.grasping.reachability.arm import Arm
else:
    Arm = Any

# Of fewer views the Gaussians are no consensus: they bend to a printed label's letters.
_CONSENSUS = 3
# Gaussians fainter than this are haze, not surface; a pixel covered less is not one either.
_SURFACE_OPACITY = 0.1
_SURFACE_ALPHA = 0.5


@dataclass(frozen=True)
class AnswerConfig:
    """From a scene and points to grasps."""

    gripper: str = "panda"
    """A shipped gripper's name, or the path of a gripper's .toml file."""
    arm: str | None = None
    """A shipped arm's name, or the path of an arm's .toml file: keep the grasps that it reaches from where
    the capture's T_base_world puts it, with a joint path for each."""
    metric: bool = False
    """Trust the poses to be in metres although the capture has no depth."""
    relevancy: RelevancyConfig = field(default_factory=RelevancyConfig)
    hypotheses: HypothesesConfig = field(default_factory=HypothesesConfig)
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    region: RegionConfig = field(default_factory=RegionConfig)
    click: ClickConfig = field(default_factory=ClickConfig)
    """Evidence and region in place of these two, for a query to which a person has pointed."""
    depth_agreement: float = 0.02
    """Measured depth counts where it is within this share of the Gaussians' depth: 1 cm at half a metre,
    ten times the noise of a good depth camera."""
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    grasp: GraspConfig = field(default_factory=GraspConfig)
    reach: ReachConfig = field(default_factory=ReachConfig)
    """When the arm reaches a grasp."""
    place: PlaceConfig = field(default_factory=PlaceConfig)
    seed: int = 0
    """Of everything random; the same seed gives the same grasps."""


@dataclass(frozen=True, eq=False)
class Robot:
    """An arm, and where it stands."""

    arm: Arm
    T_base_world: Float[np.ndarray, "4 4"]


@dataclass(frozen=True, eq=False)
class QueryContext:
    """One query, and what is known about it."""

    query: Query
    views: Sequence[View]
    surfaces: Sequence[RenderedSurface]
    """The scene's, seen from every view."""
    depths: Sequence[Float[np.ndarray, "_h _w"]]
    """To plan grasps on, from every view: the ``confirmed_depths``."""
    scene: GaussianScene
    hypotheses: Hypotheses
    relevancy: Float[np.ndarray, " n"]
    """Of every Gaussian ..."""
    heard: Float[np.ndarray, " n"]
    """... and how many views really saw it and said something."""
    pixels: ViewAnswers
    person: bool
    """Whether a person pointed, and not models."""
    metric: bool
    """Whether lengths are metres."""
    base: Float[np.ndarray, "3"] | None
    """Where the robot's base stands, world; None where the capture does not say."""

    def solid(self) -> tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]]:
        """Centres and relevancy of the Gaussians that make up surfaces."""
        solid = self.scene.opacities > _SURFACE_OPACITY
        return self.scene.means[solid], self.relevancy[solid]


@dataclass(frozen=True, eq=False)
class Localization:
    """A query and the place that it means."""

    asked: QueryContext
    region: Region | NoAnswer
    """Or why there is none."""
    rivals: tuple[Region, ...]
    """Other places that it may mean, likeliest first."""

    @property
    def query(self) -> Query:
        """What was asked for."""
        return self.asked.query


def localize(asked: QueryContext, *, config: AnswerConfig) -> Localization:
    """The region that a query means, or why there is none, and its rivals."""
    parts, looks = asked.hypotheses.parts, asked.hypotheses.looks
    believed = config.click if asked.person else config
    tangents = [
        None if pixels is None else to_tangents(view.camera, pixels)
        for pixels, view in zip(asked.pixels, asked.views, strict=True)
    ]
    region, rivals = find_region(
        parts,
        looks,
        weigh(parts, looks, tangents, config=believed.evidence),
        asked.views,
        [surface.depth for surface in asked.surfaces],
        asked.pixels,
        sigma=config.relevancy.heatmap.sigma,
        config=believed.region,
    )
    return Localization(asked, region, rivals)


def to_avoid(located: Sequence[Localization], *, config: AnswerConfig) -> tuple[Avoid, ...]:
    """What hands keep away from: the regions found for queries with the role ``avoid``."""
    return tuple(
        avoid_region(one.query, one.region, one.asked.solid(), config=config.grasp.judge.avoid)
        for one in located
        if one.query.role == "avoid" and isinstance(one.region, Region)
    )


def plan(
    located: Localization,
    avoid: Sequence[Avoid],
    gripper: Gripper,
    robot: Robot | None,
    *,
    config: AnswerConfig,
) -> QueryResult:
    """Plan what a query's role wants at its region, in the world frame; or say why not."""
    asked, query, region, rivals = located.asked, located.query, located.region, located.rivals
    if isinstance(region, NoAnswer):
        return QueryResult(query, None, (), rivals, region.reason, region.detail)
    if query.role == "avoid":
        return QueryResult(query, region, (), rivals, None, "a region to avoid: no grasps are wanted")
    if query.role == "place":
        rng = np.random.default_rng(config.seed)
        place = find_place(
            asked.views, asked.depths, region.action_point, metric=asked.metric, config=config.place, rng=rng
        )
        if isinstance(place, NoAnswer):
            return QueryResult(query, region, (), rivals, place.reason, place.detail)
        return QueryResult(query, region, (), rivals, place=place)
    grasps, nothing = _grasp(asked, region, avoid, gripper, robot, config)
    if nothing is not None:
        return QueryResult(query, region, (), rivals, nothing.reason, nothing.detail)
    return QueryResult(query, region, grasps, rivals)


def _grasp(
    asked: QueryContext,
    region: Region,
    avoid: Sequence[Avoid],
    gripper: Gripper,
    robot: Robot | None,
    config: AnswerConfig,
) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """Grasps on the fused depth about a region; none, and why, where lengths are not metres."""
    if not asked.metric:
        return (), NoAnswer(
            "no_geometry",
            "the capture has no depth, so its scale is unknown and a gripper's width means nothing: "
            'capture depth, make photographs a capture with --scale-from, or put "metric": true into '
            "transforms.json if the poses are in metres",
        )
    volume = fuse_local(asked.views, asked.depths, region.action_point, config=config.surface)
    grasps, nothing = plan_grasps(
        volume,
        region,
        gripper,
        relevancy=asked.solid(),
        avoid=avoid,
        base=asked.base,
        config=config.grasp,
        rng=np.random.default_rng(config.seed),
    )
    if robot is None or nothing is not None:
        return grasps, nothing
    # Late: mink and MuJoCo are needed by those only who name an arm.
    from point2act.grasping.reachability.clearance import Surroundings
    from point2act.grasping.reachability.filter import reach_grasps

    return reach_grasps(
        grasps,
        robot.T_base_world,
        robot.arm,
        around=Surroundings(volume.table, asked.solid()[0]),
        approach=config.grasp.poses.approach,
        lift_world=config.grasp.poses.lift * volume.up,
        config=config.reach,
        rng=np.random.default_rng(config.seed),
    )


def find_robot(capture: Capture, gripper: Gripper, *, config: AnswerConfig) -> Robot | None:
    """The arm that was named, where the capture says it stands; None where none was named.

    Raises ``ArmError`` where there is no such arm or the capture does not say.
    """
    if config.arm is None:
        return None
    if capture.T_base_world is None:
        raise ArmError(
            f"{capture.folder / 'transforms.json'} does not say where the arm stands: write at its top level "
            f"'T_base_world', a 4x4 matrix from the capture's world frame to the base of '{config.arm}'"
        )
    from point2act.grasping.reachability.arm import load_arm

    return Robot(load_arm(config.arm, gripper), capture.T_base_world)


def confirmed_depths(
    views: Sequence[View], surfaces: Sequence[RenderedSurface], *, agreement: float
) -> list[Float[np.ndarray, "_h _w"]]:
    """Depth to plan grasps on: what was measured and the Gaussians confirm, else the Gaussians' own.

    The Gaussians are a consensus of all views; a reading more than ``agreement`` of the depth off from
    theirs is noise, or comes from a view whose pose is off. One or two views are believed as they are.
    """
    depths = []
    for view, surface in zip(views, surfaces, strict=True):
        solid = np.where(surface.alpha > _SURFACE_ALPHA, surface.depth, 0.0)
        if view.depth is not None:
            confirmed = np.abs(view.depth - solid) < agreement * solid
            confirmed |= (view.depth > 0) & (len(views) < _CONSENSUS)
            solid = np.where(confirmed, view.depth, 0.0)
        depths.append(solid)
    return depths
