"""Planning for one localized query: grasps or a placement pose at its region, as its role wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from point2act.core.errors import ArmError, HandError
from point2act.core.geometry import invert, transform_points
from point2act.core.types import Capture, Grasp, NoAnswer, ProgressCallback, QueryResult, Region
from point2act.grasping.antipodal.avoid import Avoid, avoid_region
from point2act.grasping.antipodal.plan import free_in, plan_grasps
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.end_effector import EndEffector
from point2act.grasping.grippers import Gripper, load_gripper
from point2act.grasping.hands.candidates import check_weights
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.load import load_hand
from point2act.grasping.placement import find_placement
from point2act.grasping.surface_cut import cut_at
from point2act.grasping.view_support import ViewReadings, prefer_supported
from point2act.pipeline.fused_surface import SurfaceCloud, depths_of, fuse_region, surface_cloud
from point2act.pipeline.hand_planning import executor_of, plan_hand
from point2act.pipeline.query import AnswerConfig, Localization, QueryContext

if TYPE_CHECKING:
    from point2act.grasping.reachability.arm import Arm
else:
    Arm = Any


_NO_SCALE = NoAnswer(
    "no_scale",
    "the scale of the capture is unknown: capture depth, use --scale-from for photographs, or "
    'set "metric": true in transforms.json if poses are in metres',
)


# ── a planner of one's own ─────────────────────────────────────────────────────────────────────
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


@dataclass(frozen=True, eq=False)
class Robot:
    """An arm and the pose of its base."""

    arm: Arm
    T_base_world: Float[np.ndarray, "4 4"]

    def joint_places(self, joints: Float[np.ndarray, " d"]) -> Float[np.ndarray, "p 3"]:
        """Return the places of the base, the joints and the flange at joint positions (radians), world."""
        return transform_points(invert(self.T_base_world), self.arm.joint_places(joints))


def to_avoid(localized: Sequence[Localization], *, config: AnswerConfig) -> tuple[Avoid, ...]:
    """Return what the gripper keeps away from: the regions of queries with the role ``avoid``."""
    return tuple(
        avoid_region(one.query, one.region, one.surface, config=config.grasp.evaluation.avoid)
        for one in localized
        if one.query.role == "avoid" and isinstance(one.region, Region)
    )


def plan(
    localization: Localization,
    avoid: Sequence[Avoid],
    gripper: EndEffector,
    robot: Robot | None,
    *,
    config: AnswerConfig,
    planner: Planner | None = None,
    progress: ProgressCallback | None = None,
) -> QueryResult:
    """Plan what a query's role wants at its region.

    Args:
        localization: The query and its region.
        avoid: Regions that the gripper keeps away from, see ``to_avoid``.
        gripper: The gripper or the hand to plan for.
        robot: The arm that has to reach the grasps; None for any grasp.
        planner: Replaces the antipodal grasp planner; hands have their own.
        progress: Called with the steps of a hand's planning done and all steps.

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
    if not context.metric:
        return QueryResult(query, region, (), rivals, _NO_SCALE.reason, _NO_SCALE.detail)
    if isinstance(gripper, Hand):
        grasps, failure = plan_hand(localization, region, avoid, gripper, config, progress)
        cut = None
    else:
        grasps, failure, volume = _plan_grasps(localization, region, avoid, gripper, robot, config, planner)
        cut = None if volume is None else cut_at(volume, grasps, failure, gripper)
    if failure is not None:
        reason, detail = failure.reason, failure.detail
        return QueryResult(query, region, (), rivals, reason, detail, counts=failure.counts, cut=cut)
    return QueryResult(query, region, grasps, rivals, cut=cut)


def _plan_grasps(
    localization: Localization,
    region: Region,
    avoid: Sequence[Avoid],
    gripper: Gripper,
    robot: Robot | None,
    config: AnswerConfig,
    planner: Planner | None,
) -> tuple[tuple[Grasp, ...], NoAnswer | None, LocalVolume | None]:
    """Plan grasps on the depth around a region."""
    context = localization.context
    volumes = fuse_region(context, region, config=config)
    volume = next(volumes)
    if planner is not None:
        grasps = tuple(planner(region, surface_cloud(volume, region, config=config), gripper))
        failure = None if grasps else NoAnswer("no_contact_pair", "the planner returned no grasp")
    else:
        plan_on = partial(_antipodal, localization, region, avoid, gripper, config=config)
        readings = ViewReadings.near(context.measured, depths_of(context.measured), region.action_point)
        grasps, failure = _best_supported(volume, volumes, readings, plan_on, region, gripper, config)
    if robot is None or failure is not None:
        return grasps, failure, volume
    return *_reachable(grasps, robot, volume, context, config), volume


def _best_supported(
    volume: LocalVolume,
    others: Iterator[LocalVolume],
    readings: ViewReadings,
    plan_on: Callable[[LocalVolume], tuple[tuple[Grasp, ...], NoAnswer | None]],
    region: Region,
    gripper: Gripper,
    config: AnswerConfig,
) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """Return the grasps that the views support best, planned on the surface of all or of some of them.

    Every surface in turn gives grasps, until a best one is contradicted by no view; so more views, which
    contradict more, do not lose what fewer of them support.
    """
    found, failure = plan_on(volume)
    best: tuple[Grasp, ...] = ()
    contradicted = True
    while True:
        seen = readings.approach_seen(found, gripper)
        ranked = prefer_supported(found, readings.support(found, gripper), seen)[: config.grasp.max_grasps]
        if ranked and (not best or ranked[0].score > best[0].score):
            best, contradicted = ranked, readings.support(ranked[:1], gripper)[0] < 1
        if not contradicted or (other := next(others, None)) is None:
            return best, None if best else failure
        if best and other.shadows.any():  # what is presumed to be free is for things without any grasp
            return best, None
        found = free_in(volume, plan_on(other)[0], region, gripper, config=config.grasp)


def _antipodal(
    localization: Localization,
    region: Region,
    avoid: Sequence[Avoid],
    gripper: Gripper,
    volume: LocalVolume,
    config: AnswerConfig,
) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """Plan antipodal grasps on a fused surface."""
    return plan_grasps(
        volume,
        region,
        gripper,
        relevancy=localization.surface,
        avoid=avoid,
        base=localization.context.base,
        # Views choose among all that are evaluated in full.
        config=replace(config.grasp, max_grasps=config.grasp.shortlist),
        rng=np.random.default_rng(config.seed),
    )


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
        around=Surroundings(volume.table, context.scene.means[context.solid]),
        approach=config.grasp.poses.approach,
        lift_world=config.grasp.poses.lift * volume.up,
        config=config.reach,
        rng=np.random.default_rng(config.seed),
    )


def chosen_end_effector(config: AnswerConfig) -> EndEffector:
    """Load the hand that is configured, else the gripper.

    Raises:
        GripperError, HandError: There is none of that name, no network for grasps that are to be learned,
            or no MuJoCo for those that are to be executed.
    """
    learned = config.hands.head in ("learned", "both")
    if config.hand is None:
        if learned:
            raise HandError(f"the head '{config.hands.head}' is for hands: name one with --hand")
        return load_gripper(config.gripper)
    hand = load_hand(config.hand)
    executor_of(config.hands)
    if learned:
        check_weights(hand, config.hands)
    return hand


def planned_for(config: AnswerConfig, name: str, end_effector: EndEffector) -> AnswerConfig:
    """Return a configuration that plans for another gripper or hand.

    Args:
        config: The configuration.
        name: Name or path of the gripper or the hand.
        end_effector: What it names.
    """
    if isinstance(end_effector, Hand):
        return replace(config, hand=name)
    return replace(config, gripper=name, hand=None)


def find_robot(capture: Capture, gripper: EndEffector, *, config: AnswerConfig) -> Robot | None:
    """Load the arm that is configured; None if none is.

    Raises:
        ArmError: There is no such arm, the capture does not give the pose of its base, or it would have to
            carry a hand.
    """
    if config.arm is None:
        return None
    if isinstance(gripper, Hand):
        raise ArmError(
            f"the arm '{config.arm}' is modelled with a gripper, not with the hand '{gripper.name}': leave "
            "out the arm, and check the reach of the hand's grasps on the robot"
        )
    if capture.T_base_world is None:
        raise ArmError(
            f"{capture.folder / 'transforms.json'} does not give the arm's pose: write at its top level "
            f"'T_base_world', a 4x4 matrix from the capture's world frame to the base of '{config.arm}'"
        )
    from point2act.grasping.reachability.arm import load_arm

    return Robot(load_arm(config.arm, gripper), capture.T_base_world)
