"""Closed-loop execution of a plan: stage after stage, with steps back where one fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from point2act.acting.control.controller import missing
from point2act.acting.control.gripper_constraints import GripperAt, backed_off
from point2act.acting.execution.asking import Ask, AskConfig, Inquiry, Locate
from point2act.acting.execution.control_loop import ControlLoop, GiveUpError, LoopConfig
from point2act.acting.execution.goal_points import beside_goals, into_openings, points_of
from point2act.acting.execution.perception import BesideControl
from point2act.acting.execution.robot import Robot
from point2act.acting.execution.scene_memory import SceneMemory, TaskScene
from point2act.acting.execution.stage_runner import StageConfig, StageRunner
from point2act.acting.execution.stages import (
    APPROACH,
    Check,
    Fingers,
    GraspChoice,
    GraspRequest,
    Motion,
    ReachedGrasp,
    Stage,
    grasp_stages,
    out_of_the_way,
    put_down,
    raised,
    retreat,
    stages_of,
)
from point2act.acting.execution.timeline import Event, NoObserver, Observer
from point2act.core.constraints import queries_of
from point2act.core.types import OrientedBox, Plan
from point2act.grasping.reachability.arm import Arm

# Error of the gripper's pose at which a grasp counts as reached, metres: that of the motion to it.
_REACHED = 0.003
# Largest motion of a joint on the straight way to a grasp, radians: with more the arm turns over. Chosen.
_STRAIGHT = 1.2


@dataclass(frozen=True)
class ExecutionConfig:
    """Limits of an execution."""

    loop: LoopConfig = field(default_factory=LoopConfig)
    stage: StageConfig = field(default_factory=StageConfig)
    ask: AskConfig = field(default_factory=AskConfig)
    attempts: int = 4
    """Largest number of times that one stage is started."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a run ended."""

    done: bool
    """Whether all stages were completed; whether the task is done is for physics to say."""
    reason: str
    """Why it ended, one sentence."""
    events: tuple[Event, ...]
    seconds: float
    """Duration on the robot's clock."""
    interventions: int
    """Number of commands that the safety filter changed."""
    violations: int
    """Number of control steps at which a joint was measured beyond its limits of position or velocity, or the
    gripper in a keep-out box."""
    step_seconds: tuple[float, ...]
    """Time that each control step took to compute, without the robot's own."""
    image_seconds: tuple[float, ...] = ()
    """Time that each image took to follow things to it."""


class Executor:
    """Runs plans on a robot."""

    def __init__(
        self,
        robot: Robot,
        arm: Arm,
        scene: TaskScene,
        perception: BesideControl,
        *,
        keep_out: Sequence[OrientedBox] = (),
        reask: Ask | None = None,
        locate: Locate = lambda name, places: None,
        observer: Observer = NoObserver(),
        config: ExecutionConfig = ExecutionConfig(),
        rng: np.random.Generator,
    ):
        """Connect a robot with what it acts on.

        Args:
            robot: The robot, at rest.
            arm: Its arm and gripper.
            scene: What was found, in the frame of the arm's base.
            perception: Follows the things beside the control loop.
            keep_out: Boxes that the gripper never enters, base frame.
            reask: Asks a pointing model where a query is in an image of the robot's camera; None to ask
                nothing while the plan runs.
            locate: Locates a query anew from its fresh answers; by default that is not possible.
            observer: Follows the run while it lasts.
            config: All limits.
            rng: Draws start postures.
        """
        self._config, self._rng, self._max_width = config, rng, arm.gripper.max_width
        self._memory = SceneMemory(scene, arm.gripper.max_width)
        self._loop = ControlLoop(robot, arm, self._memory, perception, keep_out, observer, config.loop)
        self._inquiry = Inquiry(self._loop, reask, locate, config.ask)
        self._runner = StageRunner(self._loop, self._inquiry, config.stage, rng)
        self._failed: set[GraspChoice] = set()
        self._grasped: GraspChoice | None = None
        self._start = self._loop.T_base_gripper

    def run(self, plan: Plan) -> Outcome:
        """Execute a plan until it is done or nothing helps; the robot holds still at the end.

        Args:
            plan: Steps with constraints on queries of the scene.
        """
        blocks = stages_of(plan, self._max_width)
        counts = [0] * len(blocks)
        number, done, reason = 0, True, "the plan is done"
        try:
            self._inquiry.start(plan.queries)
            while number < len(blocks):
                counts[number] += 1
                if counts[number] > self._config.attempts:
                    raise GiveUpError(f"{_name(blocks[number])} failed {self._config.attempts} times")
                number = self._next(blocks, number, counts[number])
        except GiveUpError as err:
            done, reason = False, str(err)
            self._loop.note("failed", reason)
        finally:
            self._loop.close()
        loop = self._loop
        return Outcome(
            done,
            reason,
            tuple(loop.events),
            loop.seconds,
            loop.interventions,
            loop.violations,
            tuple(loop.step_seconds),
            tuple(loop.image_seconds),
        )

    def _next(self, blocks: Sequence[Stage | GraspRequest], number: int, attempt: int) -> int:
        """Do a block; return the number of the one that comes next."""
        held, block = self._memory.held, blocks[number]
        self._inquiry.needed = frozenset(name for later in blocks[number:] for name in _needs(later))
        done = self._block(blocks, number)
        if not done and (attempt >= self._config.ask.failures or isinstance(block, Check)):
            self._inquiry.ask_again(_needs(block))
        if isinstance(block, (GraspRequest, Motion, Check)) and self._inquiry.refuted():
            return self._put_right(blocks, number)
        if done:
            return number + 1
        if held and not self._memory.held:
            after = self._after_fall(blocks, number)
            if after is not None:
                self._loop.note("done", "it fell into what it was to be put in")
                return after
        return self._back(blocks, number, attempt)

    def _put_right(self, blocks: Sequence[Stage | GraspRequest], number: int) -> int:
        """Locate anew what was located wrongly; return the number of the first block that needs it."""
        wrong = self._inquiry.refuted().keys()
        things = self._memory.scene.things
        if {things[name] for name in wrong} & {things[name] for name in self._memory.held}:
            self._put_down(blocks[number].step)
        self._runner.run(out_of_the_way(blocks[number].step, self._start))
        changed = self._inquiry.put_right()
        # What was found impossible is possible with another thing.
        self._failed = {choice for choice in self._failed if choice.query not in changed}
        first = (at for at, block in enumerate(blocks[: number + 1]) if _needs(block) & changed)
        return next(first, number)

    def _after_fall(self, blocks: Sequence[Stage | GraspRequest], number: int) -> int | None:
        """Return the block after the release, if what fell out of the gripper fell into its opening."""
        state = self._memory.state_at(self._loop.state.width, {})(self._loop.T_base_gripper)
        for later, stage in enumerate(blocks[number:], number):
            if isinstance(stage, GraspRequest):
                return None
            if isinstance(stage, Motion) and stage.sets_down:
                inside = beside_goals(into_openings(stage.goals(state)), state) < self._config.stage.over
                return self._after_release(blocks, later) if inside else None
        return None

    @staticmethod
    def _after_release(blocks: Sequence[Stage | GraspRequest], number: int) -> int:
        """Return the first check of a block's step, or the block after it."""
        step = blocks[number].step
        ends = (later for later in range(number, len(blocks)) if blocks[later].step != step)
        checks = (later for later in range(number, len(blocks)) if isinstance(blocks[later], Check))
        return min(next(ends, len(blocks)), next(checks, len(blocks)))

    def _block(self, blocks: Sequence[Stage | GraspRequest], number: int) -> bool:
        """Do one stage, or all of a grasp; return whether it was completed."""
        block = blocks[number]
        if not isinstance(block, GraspRequest):
            return self._runner.run(block)
        if self._memory.held:
            self._put_down(block.step)
        reached = self._choose(block, blocks[number + 1 :])
        if reached is None:
            return False
        fingers, before, *others = grasp_stages(block, reached)
        if not self._runner.run(fingers):
            return False
        if self._runner.run(before):
            if self._inquiry.refuted():
                return False
            if all(self._runner.run(stage) for stage in others):
                self._grasped = reached.choice
                return True
        self._failed.add(reached.choice)
        self._back_off(block.step)
        return False

    def _put_down(self, step: int) -> None:
        """Put what is held back down to grasp it anew, or something else."""
        everything = frozenset(self._memory.scene.things)
        self._runner.run(put_down(step, everything))
        self._back_off(step)

    def _back_off(self, step: int) -> None:
        """Leave what could not be grasped by the way that the gripper came."""
        everything = frozenset(self._memory.scene.things)
        self._runner.run(Fingers("let go", step, self._max_width))
        self._runner.run(retreat(step, everything))

    def _back(self, blocks: Sequence[Stage | GraspRequest], number: int, attempt: int) -> int:
        """Return the number of the nearest block before a failed one whose path constraints hold (ReKep).

        Where it is impossible with what is held as it is, or has failed twice, only another grasp helps.
        What is held is raised before its motion is done again.
        """
        other_grasp = (self._runner.impossible or attempt > 1) and bool(self._memory.held)
        if other_grasp and self._grasped is not None:
            self._failed.add(self._grasped)
        state_at = self._memory.state_at(self._loop.state.width, {})
        for earlier in range(number, -1, -1):
            block = blocks[earlier]
            paths = block.paths if isinstance(block, Motion) else ()
            within = missing(paths, state_at, self._loop.T_base_gripper) <= self._config.stage.broken
            if isinstance(block, GraspRequest) or (paths and within and not other_grasp):
                self._loop.note("back", f"back to {_name(block)}")
                if isinstance(block, Motion) and block.carries and self._memory.held:
                    # What has touched something would touch it again at once.
                    self._runner.run(raised(block.step, frozenset(self._memory.scene.things)))
                return earlier
        raise GiveUpError(f"{_name(blocks[number])} failed, and no stage before it can be done again")

    # ── grasps ─────────────────────────────────────────────────────────────────────────────────
    def _choose(self, request: GraspRequest, later: Sequence[Stage | GraspRequest]) -> ReachedGrasp | None:
        """Return the best grasp that the arm reaches, and with which the next motions are possible."""
        known = self._memory.scene.grasps.get(request.query, ())
        if not known:
            raise GiveUpError(f"there is no grasp of the {request.query}")
        fresh = [choice for choice in known if choice not in self._failed] or list(known)
        reached: list[ReachedGrasp] = []
        for choice in fresh:
            one = self._reaches(choice)
            if one is None:
                continue
            if self._allows(one, later, may_turn=False):
                return one
            reached.append(one)
        if not reached:
            self._loop.note("violated", f"the arm reaches none of {len(fresh)} grasps of the {request.query}")
            return None
        # An arm that turns over swings what it holds far around: only where nothing else helps.
        return next((one for one in reached if self._allows(one, later, may_turn=True)), reached[0])

    def _reaches(self, choice: GraspChoice) -> ReachedGrasp | None:
        """Return joint positions before a grasp and at it, if the arm can move straight between them."""
        T, control = self._memory.pose_of(choice), self._loop.control
        control.keep_away(self._memory.obstacles(frozenset((choice.query,)), choice))
        state_at = self._memory.state_at(choice.open_width, {})
        before, at = ((GripperAt(pose, tolerance=_REACHED),) for pose in (backed_off(T, APPROACH), T))
        # From either end: which of the arm's postures allows the other end is not known before.
        for first, other in ((before, at), (at, before)):
            start = control.find_goal(self._loop.sent, first, state_at, self._rng)
            if not start.found:
                return None
            end = control.find_near(start.joints, other, state_at)
            if end.found and np.abs(end.joints - start.joints).max() < _STRAIGHT:
                postures = (start.joints, end.joints) if first is before else (end.joints, start.joints)
                return ReachedGrasp(choice, *postures)
        return None

    def _allows(
        self, reached: ReachedGrasp, later: Sequence[Stage | GraspRequest], *, may_turn: bool
    ) -> bool:
        """Return whether the goals of the motions up to the release can be reached with a grasp.

        Without turning over, or from any posture of the arm.
        """
        control = self._loop.control
        choice, joints = reached.choice, reached.at
        T = self._memory.pose_of(choice)
        for stage in later:
            if isinstance(stage, GraspRequest) or (isinstance(stage, Fingers) and stage.width > 0):
                return True
            if isinstance(stage, Motion):
                state = self._memory.if_held(choice, choice.width, {})(T)
                wanted = (*stage.goals(state), *stage.paths)
                starts = {point: state.point(point).value for point in points_of(wanted)}
                state_at = self._memory.if_held(choice, choice.width, starts)
                if may_turn:
                    found = control.find_goal(joints, wanted, state_at, self._rng)
                else:
                    found = control.find_near(joints, wanted, state_at)
                turned = float(np.abs(found.joints - joints).max()) > self._config.stage.turned
                if not found.found or (turned and not may_turn):
                    return False
                joints, T = found.joints, control.T_base_gripper(found.joints)
        return True


def _needs(block: Stage | GraspRequest) -> frozenset[str]:
    """Return the queries that a block is about."""
    if isinstance(block, GraspRequest):
        return frozenset((block.query,))
    if isinstance(block, Motion):
        return block.touches
    conditions = block.conditions if isinstance(block, Check) else ()
    return frozenset(name for one in conditions for name in queries_of(one))


def _name(block: Stage | GraspRequest) -> str:
    return f"the grasp of the {block.query}" if isinstance(block, GraspRequest) else f"'{block.name}'"
