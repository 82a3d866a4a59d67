"""The stages of a plan: motions to goals and motions of the gripper's fingers, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from point2act.acting.constraints.scene_state import SceneState
from point2act.acting.control.gripper_constraints import (
    GripperAbove,
    GripperAt,
    GripperOnApproach,
    backed_off,
)
from point2act.core.constraints import (
    GRIPPER,
    UP,
    ArcPath,
    AxisToAxis,
    Constraint,
    GripperWidth,
    KeepGrasp,
    LinePath,
    queries_of,
)
from point2act.core.geometry import transform, transform_points
from point2act.core.types import Grasp, Plan, Step
from point2act.grasping.antipodal.collision import planned_opening
from point2act.grasping.grippers import HALF_TURN, Gripper

# Length of the straight approach to a grasp, metres; as of grasp plans.
APPROACH = 0.10
# Height of the lift after a grasp, metres. Chosen: above what stands around ordinary things.
LIFT = 0.10
# Heights above its goal from which a thing is let down, metres: the largest that the arm can do. Shorter ones
# were chosen.
_DESCENTS = (LIFT, LIFT / 2)
# Lengths of the retreat after a release, metres: the longest that the arm can do. Shorter ones were chosen.
_RETREATS = (APPROACH, APPROACH / 2, APPROACH / 4)
# Tolerances of the gripper's pose before a grasp, at it and after a lift, metres. Chosen.
_BEFORE, _AT, _LIFTED = 0.01, 0.003, 0.02
# Horizontal distance from which on things are carried over what stands between, metres. Chosen.
_ACROSS = 0.10
# Fraction of the arm's speed where it comes near things. Chosen.
_SLOW = 0.25
# Angle from the vertical at which a thing is tipped, radians: more than its tolerance. Chosen.
_TIPPED = 0.3
# Forces that count as contact: where something is set down or grasped, and anywhere else, newtons. Chosen.
_TOUCH, _PRESS = 8.0, 30.0
# Force that is no reason to stay where the gripper leaves something, newtons. Chosen.
_LEAVING = 50.0
# Tolerance of what is held or not, 1 or 0.
_HELD = 0.1
# Clearance on each side of a grasp whose approach was not planned, metres. Chosen.
_BESIDE = 0.015

Goals = Callable[[SceneState], tuple[Constraint, ...]]
"""The goals of a motion, from the state at its start."""


@dataclass(frozen=True, eq=False)
class Motion:
    """A motion of the arm until goals hold."""

    name: str
    step: int
    """Index of the plan's step."""
    goals: Goals
    paths: tuple[Constraint, ...] = ()
    """Constraints that hold on the way, beside what is held."""
    touches: frozenset[str] = frozenset()
    """Queries whose things the gripper, or what it holds, may touch; all others are kept away from."""
    speed: float = 1.0
    """Fraction of the arm's speed."""
    max_force: float = _PRESS
    """Increase of the force on the gripper that ends it, newtons."""
    sets_down: bool = False
    """Whether that is a success near the goal: things are set down until something resists."""
    guided: bool = False
    """Whether what is held is guided by something else, as a drawer is: the arm then gives way to forces."""
    choice: GraspChoice | None = None
    """The grasp that it leads to, whose surroundings were checked when it was planned."""
    near: Float[np.ndarray, " d"] | None = None
    """Joint positions near which those at the goal are sought, radians; None for anywhere."""
    carries: bool = False
    """Whether what is held is brought there from above, over what stands on the way."""
    may_turn: bool = True
    """Whether the arm may turn over for it if it must: what is held then swings far, down to the table."""
    instead: Motion | None = None
    """What is done where no posture of the arm satisfies the goals."""


@dataclass(frozen=True, eq=False)
class Fingers:
    """A motion of the fingers."""

    name: str
    step: int
    width: float
    """Distance between the pads, metres; 0 closes with full force."""
    query: str | None = None
    """Query whose thing is to be held afterwards; None for a release or an empty gripper."""


@dataclass(frozen=True, eq=False)
class Check:
    """Conditions that must hold before a step, or after it."""

    name: str
    step: int
    conditions: tuple[Constraint, ...]


Stage = Motion | Fingers | Check


@dataclass(frozen=True, eq=False)
class GraspChoice:
    """A grasp that was chosen for a query."""

    query: str
    T_world_gripper: Float[np.ndarray, "4 4"]
    """Where the thing was found, base frame."""
    width: float
    """Distance between the contacts, metres."""
    open_width: float
    """Distance between the pads on the approach, metres."""


def stages_of(plan: Plan, max_width: float) -> tuple[Stage | GraspRequest, ...]:
    """Return the stages of a plan; grasps are requests, which are chosen when they come up.

    Args:
        plan: Steps with constraints.
        max_width: Largest opening of the gripper, metres.
    """
    return tuple(
        stage
        for number, (step, after) in enumerate(pairwise((*plan.steps, Step("", ()))))
        for stage in _of_step(number, step, after, max_width)
    )


@dataclass(frozen=True)
class GraspRequest:
    """A grasp of a query's thing that is still to be chosen."""

    query: str
    step: int
    lifts: bool
    """Whether the thing is lifted afterwards: not if it is moved along a line or an arc."""


@dataclass(frozen=True, eq=False)
class ReachedGrasp:
    """A grasp that the arm reaches, in a straight motion between two postures."""

    choice: GraspChoice
    before: Float[np.ndarray, " d"]
    """Joint positions before the approach, radians."""
    at: Float[np.ndarray, " d"]
    """Joint positions at the grasp, radians."""


def grasp_stages(request: GraspRequest, reached: ReachedGrasp) -> tuple[Stage, ...]:
    """Return the stages of a chosen grasp."""
    choice = reached.choice
    T, query, step = choice.T_world_gripper, request.query, request.step
    before = GripperAt(backed_off(T, APPROACH), query, tolerance=_BEFORE)
    at = GripperAt(T, query, tolerance=_AT)
    on = GripperOnApproach(T, query, tolerance=_AT)
    stages: list[Stage] = [
        Fingers("open", step, choice.open_width),
        Motion(f"move to the {query}", step, lambda _: (before,), choice=choice, near=reached.before),
        Motion(
            f"approach the {query}",
            step,
            lambda _: (at,),
            (on,),
            frozenset((query,)),
            _SLOW,
            _TOUCH,
            choice=choice,
            near=reached.at,
        ),
        Fingers(f"close on the {query}", step, 0.0, query),
    ]
    if request.lifts:
        stages.append(Motion(f"lift the {query}", step, _raised, (KeepGrasp(query, tolerance=_HELD),)))
    return tuple(stages)


def _of_step(number: int, step: Step, after: Step, max_width: float) -> Iterator[Stage | GraspRequest]:
    paths = tuple(one for one in step.constraints if one.when == "path")
    goals = tuple(one for one in step.constraints if one.when == "goal")
    named = frozenset(name for one in step.constraints for name in queries_of(one))
    before, afterwards = (
        tuple(one for one in step.constraints if one.when == when)
        for when in ("precondition", "postcondition")
    )
    if before:
        yield Check(f"check before: {step.action}", number, before)
    guides = (LinePath, ArcPath)
    lifts = not any(isinstance(one, guides) for one in (*paths, *after.constraints))
    for target in step.targets:
        if target.query.role == "grasp":
            yield GraspRequest(target.query.name, number, lifts=lifts)
    for one in paths:
        if isinstance(one, GripperWidth):
            yield Fingers("set the fingers", number, min(one.width, max_width))
    poses = tuple(one for one in goals if not isinstance(one, (GripperWidth, KeepGrasp)))
    on_the_way = tuple(one for one in paths if not isinstance(one, GripperWidth))
    widths = [one for one in goals if isinstance(one, GripperWidth)]
    if poses:
        presses = any(isinstance(one, GripperWidth) for one in paths)
        guided = any(isinstance(one, guides) for one in on_the_way)
        slow = bool(widths) or presses or any(_tips(one) for one in poses)
        speed, force = (_SLOW if slow else 1.0), (_TOUCH if widths and not guided else _PRESS)
        yield Motion(
            step.action,
            number,
            lambda _: poses,
            on_the_way,
            named,
            speed,
            force,
            sets_down=bool(widths),
            guided=guided,
            carries=not (presses or guided),
        )
    for one in widths:
        yield Fingers("release" if one.width > 0 else "close", number, min(one.width, max_width))
        if one.width > 0:
            yield retreat(number, named)
    if afterwards:
        yield Check(f"check after: {step.action}", number, afterwards)


def _tips(goal: Constraint) -> bool:
    """Return whether a goal tips a thing: what is in it runs out, and must not be flung."""
    if not isinstance(goal, AxisToAxis) or goal.target != UP or goal.axis.name != "up":
        return False
    return goal.axis.of != GRIPPER and goal.angle > _TIPPED


def retreat(step: int, touches: frozenset[str]) -> Motion:
    """Return the motion back from a thing that was released, a shorter one where the arm cannot go so far.

    Args:
        step: Index of the plan's step.
        touches: Queries whose things may be touched.
    """
    motion: Motion | None = None
    for distance in sorted(_RETREATS):
        goals = partial(_retreated, distance)
        motion = Motion("retreat", step, goals, touches=touches, max_force=_LEAVING, instead=motion)
    assert motion is not None
    return motion


def carried_over(
    stage: Motion,
    T_start: Float[np.ndarray, "4 4"],
    T_end: Float[np.ndarray, "4 4"],
    held: Float[np.ndarray, " 3"],
    up: Float[np.ndarray, " 3"],
) -> tuple[Motion, ...]:
    """Return the motions after which only the one from above is left: up, and across.

    Args:
        stage: The motion with something in the gripper.
        T_start: Pose of the gripper at its start, base frame.
        T_end: Pose of the gripper at its goal, base frame.
        held: Middle of what is held, gripper frame.
        up: Upward unit vector.

    Returns:
        Nothing if what is held stays about where it is, as a jug that is tipped, or moves down.
    """
    moved = transform_points(T_end, held) - transform_points(T_start, held)
    if float(np.linalg.norm(moved - (moved @ up) * up)) < _ACROSS:
        return ()
    rise = float((T_end[:3, 3] - T_start[:3, 3]) @ up)
    over_start = _upwards(T_start, max(rise + LIFT, 0.0), up)
    across: Motion | None = None
    for height in sorted(_DESCENTS):
        over_end = _upwards(T_end, max(height, -rise), up)
        # Straight in the space of joints the gripper may dip into what stands between.
        level = min(float(T[:3, 3] @ up) for T in (over_start, over_end)) - _LIFTED
        paths = (*stage.paths, GripperAbove(level, tolerance=_LIFTED))
        across = replace(_free(stage, over_end), paths=paths, instead=across)
    assert across is not None
    return (_free(stage, over_start), across) if rise + LIFT > _LIFTED else (across,)


def _upwards(
    T: Float[np.ndarray, "4 4"], height: float, up: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "4 4"]:
    """Return a pose moved up, metres."""
    return transform(T[:3, :3], T[:3, 3] + height * up)


def _free(stage: Motion, T: Float[np.ndarray, "4 4"]) -> Motion:
    """Return the motion of a stage to a pose at which what it carries touches nothing."""
    return replace(
        stage,
        goals=partial(_at, T),
        touches=frozenset(),
        max_force=_PRESS,
        speed=1.0,
        sets_down=False,
        carries=False,
        may_turn=False,
    )


def _at(T: Float[np.ndarray, "4 4"], state: SceneState) -> tuple[Constraint, ...]:
    return (GripperAt(T, tolerance=_LIFTED),)


def put_down(step: int, touches: frozenset[str]) -> Motion:
    """Return the motion of what is held back down to the height at which it was found, or to contact.

    Args:
        step: Index of the plan's step.
        touches: Queries whose things may be touched.
    """
    return Motion("put it down", step, _lowered, (), touches, _SLOW, _TOUCH, sets_down=True)


def raised(step: int, touches: frozenset[str]) -> Motion:
    """Return the motion of what is held up from what it has touched.

    Args:
        step: Index of the plan's step.
        touches: Queries whose things may be touched.
    """
    return Motion("raise it", step, _raised, (), touches, max_force=_LEAVING)


def out_of_the_way(step: int, T_base_gripper: Float[np.ndarray, "4 4"]) -> Motion:
    """Return the motion to where the gripper hides nothing from the camera.

    Args:
        step: Index of the plan's step.
        T_base_gripper: Pose of the gripper there, as at the start of the run.
    """
    return Motion("out of the way", step, partial(_at, T_base_gripper))


def _lowered(state: SceneState) -> tuple[Constraint, ...]:
    query = min(state.held)
    center = state.features[query].box.center
    lifted = float((transform_points(state.motion[query], center) - center) @ state.up)
    T = state.T_world_gripper.copy()
    T[:3, 3] -= max(lifted, 0.0) * state.up
    return (GripperAt(T, tolerance=_LIFTED),)


def _raised(state: SceneState) -> tuple[Constraint, ...]:
    T = state.T_world_gripper.copy()
    T[:3, 3] += LIFT * state.up
    return (GripperAt(T, tolerance=_LIFTED),)


def _retreated(distance: float, state: SceneState) -> tuple[Constraint, ...]:
    return (GripperAt(backed_off(state.T_world_gripper, distance), tolerance=min(_LIFTED, distance / 2)),)


def grasp_choices(
    query: str, grasps: Sequence[Grasp], T_base_world: Float[np.ndarray, "4 4"], gripper: Gripper
) -> tuple[GraspChoice, ...]:
    """Return grasps in the base frame, each also with exchanged fingers, best first.

    Args:
        query: The query.
        grasps: Grasps in the capture's world frame.
        T_base_world: Transform from it to the arm's base.
        gripper: The gripper.
    """
    return tuple(
        GraspChoice(
            query,
            T_base_world @ grasp.T_world_gripper @ turn,
            grasp.width,
            planned_opening(grasp, gripper, clearance=_BESIDE),
        )
        for grasp in grasps
        for turn in (np.eye(4), HALF_TURN)
    )
