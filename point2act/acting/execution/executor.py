"""Closed-loop execution of a plan: stages, checked at every control step, with steps back where one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from jaxtyping import Float

from point2act.acting.constraint_values import residual
from point2act.acting.control.arm_model import ArmModel
from point2act.acting.control.constraint_task import StateAt
from point2act.acting.control.controller import ControlConfig, Controller, missing
from point2act.acting.control.gripper_constraints import GripperAt, backed_off
from point2act.acting.control.safety import Envelope, SafetyConfig, SafetyFilter
from point2act.acting.control.smoothing import SmoothConfig, SmoothMotion
from point2act.acting.execution.perception import BesideControl
from point2act.acting.execution.robot import Robot, RobotState
from point2act.acting.execution.scene_memory import SceneMemory, TaskScene
from point2act.acting.execution.stages import (
    APPROACH,
    Fingers,
    GraspChoice,
    GraspRequest,
    Motion,
    Stage,
    grasp_stages,
    retreat,
    stages_of,
)
from point2act.acting.execution.timeline import Event, EventKind
from point2act.core.constraints import Constraint, Point, queries_of
from point2act.core.types import OrientedBox, Plan
from point2act.grasping.reachability.arm import Arm


@dataclass(frozen=True)
class ExecutionConfig:
    """Limits of an execution."""

    control: ControlConfig = field(default_factory=ControlConfig)
    smooth: SmoothConfig = field(default_factory=SmoothConfig)
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    speed: float = 0.5
    """Fraction of the joints' largest velocities that is used."""
    broken: float = 5.0
    """Residual of a path constraint, as a multiple of its tolerance, at which the stage is given up."""
    near: float = 0.08
    """Distance from the goal posture within which contact ends a motion, radians."""
    settled: float = 0.01
    """Distance of the joints from the goal posture at which a motion ends, radians."""
    finger_seconds: float = 0.4
    """Shortest duration of a motion of the fingers, and how long they stand still at its end, seconds."""
    min_held: float = 0.002
    """Smallest distance of the pads with something between them, metres."""
    slipped: float = 0.006
    """Distance by which the pads close further when something is lost, metres."""
    lost_seconds: float = 2.0
    """Time after which a thing that is lost is asked for again, seconds."""
    gone_seconds: float = 10.0
    """Time after which a run ends if a thing is still lost, seconds."""
    blocked_seconds: float = 0.6
    """Time without motion, short of its goal, after which a stage is given up, seconds."""
    stage_seconds: float = 8.0
    """Longest duration of a stage."""
    attempts: int = 4
    """Largest number of times that one stage is started."""
    seconds: float = 90.0
    """Longest duration of the run."""


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
    """Number of control steps at which a joint was measured beyond its limits of position or velocity."""
    step_seconds: tuple[float, ...]
    """Time that each control step took to compute, without the robot's own."""


@dataclass(eq=False)
class _Progress:
    """The stage that is being done."""

    stage: Stage
    entered: float
    goals: tuple[Constraint, ...]
    starts: dict[Point, Float[np.ndarray, " 3"]]
    force: float
    """Force on the gripper at its start, newtons."""
    posture: Float[np.ndarray, " d"] | None = None
    """Joint positions at the goal."""
    kept: set[Constraint] = field(default_factory=set)
    """Path constraints that have held since the start."""
    widths: list[float] = field(default_factory=list)
    still: int = 0
    """Number of control steps since the arm last moved."""


class _GiveUpError(Exception):
    """The reason why a run ends early."""


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
        ask: Callable[[str], None] | None = None,
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
            ask: Called with the name of a thing that has been lost for a while.
            config: All limits.
            rng: Draws start postures.
        """
        self._robot, self._arm, self._config, self._rng = robot, arm, config, rng
        self._perception, self._ask = perception, ask
        self._memory = SceneMemory(scene)
        velocity = config.speed * arm.velocity
        self._control = Controller(ArmModel.of(arm, scene.table), velocity, config.control)
        envelope = Envelope(arm.limits, arm.velocity, tuple(keep_out))
        self._safety = SafetyFilter(envelope, robot.period, config.safety)
        self._sent = robot.state().joints
        self._smooth = SmoothMotion(self._sent, velocity, robot.period, config.smooth)
        self._measured = robot.state()
        self._start = self._measured.time
        self._violations = 0
        self._steps: list[float] = []
        self._step_start = perf_counter()
        self._events: list[Event] = []
        self._width = arm.gripper.max_width
        self._held_width = 0.0
        self._taken_at = np.eye(4)
        self._missing_since: float | None = None
        self._asked = False
        self._failed: set[GraspChoice] = set()
        self._chosen: GraspChoice | None = None

    def run(self, plan: Plan) -> Outcome:
        """Execute a plan until it is done or nothing helps; the robot holds still at the end.

        Args:
            plan: Steps with constraints on queries of the scene.
        """
        blocks = stages_of(plan, self._arm.gripper.max_width)
        counts = [0] * len(blocks)
        number, done, reason = 0, True, "the plan is done"
        try:
            while number < len(blocks):
                counts[number] += 1
                if counts[number] > self._config.attempts:
                    raise _GiveUpError(f"{_name(blocks[number])} failed {self._config.attempts} times")
                if self._block(blocks, number):
                    number += 1
                else:
                    number = self._back(blocks, number)
        except _GiveUpError as err:
            done, reason = False, str(err)
            self._note("failed", reason)
        finally:
            self._robot.stop()
            self._perception.close()
        seconds = self._robot.state().time - self._start
        return Outcome(
            done,
            reason,
            tuple(self._events),
            seconds,
            self._safety.interventions,
            self._violations,
            tuple(self._steps),
        )

    # ── stages ─────────────────────────────────────────────────────────────────────────────────
    def _block(self, blocks: Sequence[Stage | GraspRequest], number: int) -> bool:
        """Do one block of stages; return whether it was completed."""
        block = blocks[number]
        if not isinstance(block, GraspRequest):
            return self._stage(block)
        self._memory.release(self._gripper())
        choice = self._choose(block, blocks[number + 1 :])
        if choice is None:
            return False
        self._chosen = choice
        stages = grasp_stages(block, choice)
        for stage in stages:
            if not self._stage(stage):
                self._failed.add(choice)
                if stage is not stages[0]:
                    self._back_off(block)
                return False
        return True

    def _back_off(self, request: GraspRequest) -> None:
        """Leave what could not be grasped by the way that the gripper came."""
        self._memory.release(self._gripper())
        everything = frozenset(self._memory.scene.things)
        for stage in (
            Fingers("let go", request.step, self._arm.gripper.max_width),
            retreat(request.step, everything),
        ):
            self._stage(stage)

    def _back(self, blocks: Sequence[Stage | GraspRequest], number: int) -> int:
        """Return the number of the nearest block before a failed one whose path constraints hold."""
        state_at = self._memory.state_at(self._robot.state().width, {})
        for earlier in range(number, -1, -1):
            block = blocks[earlier]
            paths = block.paths if isinstance(block, Motion) else ()
            if isinstance(block, GraspRequest) or (
                isinstance(block, Motion)
                and paths
                and missing(paths, state_at, self._gripper()) <= self._config.broken
            ):
                self._note("back", f"back to {_name(block)}")
                return earlier
        raise _GiveUpError(f"{_name(blocks[number])} failed, and no stage before it can be done again")

    def _stage(self, stage: Stage) -> bool:
        """Do one stage; return False where it has to be given up."""
        state = self._robot.state()
        here = self._memory.state_at(state.width, {})(self._gripper())
        goals = stage.goals(here) if isinstance(stage, Motion) else ()
        paths = stage.paths if isinstance(stage, Motion) else ()
        points = {
            value for one in (*goals, *paths) for value in vars(one).values() if isinstance(value, Point)
        }
        starts = {point: here.point(point).value for point in points}
        progress = _Progress(stage, state.time, goals, starts, state.force)
        self._note("stage", stage.name)
        touches = stage.touches if isinstance(stage, Motion) else frozenset()
        self._control.keep_away(self._memory.obstacles(touches))
        step = self._move if isinstance(stage, Motion) else self._fingers
        while (ended := step(progress)) is None:
            if self._late(progress):
                self._note(
                    "violated", f"{stage.name}: it took longer than {self._config.stage_seconds:.0f} s"
                )
                return False
        if ended:
            self._note("done", stage.name)
        return ended

    def _move(self, progress: _Progress) -> bool | None:
        """Do one control step of a motion; return whether it succeeded, None while it goes on."""
        stage = progress.stage
        assert isinstance(stage, Motion)
        state, seen = self._sense()
        if self._lost_grip(state):
            return False
        state_at = self._memory.state_at(state.width, progress.starts)
        if self._waits(progress, state):
            self._send(np.zeros_like(self._sent), state)
            return None
        if progress.posture is None or seen:
            found = self._control.find_goal(self._sent, self._goals_and_paths(progress), state_at, self._rng)
            if not found.found and progress.posture is None:
                self._note("violated", f"{stage.name}: no posture of the arm satisfies {_kind(found.worst)}")
                return False
            if found.found:
                progress.posture = found.joints
        assert progress.posture is not None
        broken = self._broken(progress, state_at)
        if broken is not None:
            self._note("violated", f"{stage.name}: {_kind(broken)} no longer holds")
            return False
        velocity = self._control.velocity(
            self._sent, progress.posture, stage.paths, state_at, self._robot.period, stage.speed
        )
        before = self._sent
        self._send(velocity, state)
        progress.still = progress.still + 1 if np.abs(self._sent - before).max() < _CREEP else 0
        away = float(np.abs(progress.posture - state.joints).max())
        if away < self._config.settled and missing(progress.goals, state_at, self._gripper()) <= 1:
            return True
        if progress.still * self._robot.period > self._config.blocked_seconds:
            self._note("violated", f"{stage.name}: the arm cannot come nearer")
            return False
        if state.force - progress.force < stage.max_force:
            return None
        if stage.sets_down and away < self._config.near:
            return True
        self._note("violated", f"{stage.name}: the gripper touched something")
        return False

    def _goals_and_paths(self, progress: _Progress) -> list[Constraint]:
        stage = progress.stage
        paths = stage.paths if isinstance(stage, Motion) else ()
        return [*progress.goals, *paths]

    def _fingers(self, progress: _Progress) -> bool | None:
        """Do one control step while the fingers move; return whether they did what they should."""
        stage = progress.stage
        assert isinstance(stage, Fingers)
        if stage.query is None and stage.width > 0:
            self._memory.release(self._gripper())
        self._width = stage.width
        state, _ = self._sense()
        self._send(np.zeros_like(self._sent), state)
        progress.widths.append(state.width)
        recent = progress.widths[-round(self._config.finger_seconds / self._robot.period) :]
        waited = state.time - progress.entered > self._config.finger_seconds
        if not waited or np.ptp(recent) > _STILL:
            return None
        if stage.query is None:
            return True
        if state.width < self._config.min_held:
            self._note("violated", f"{stage.name}: there is nothing between the fingers")
            return False
        self._held_width = state.width
        self._memory.hold(stage.query, self._control.T_base_gripper(state.joints))
        return True

    # ── grasps ─────────────────────────────────────────────────────────────────────────────────
    def _choose(self, request: GraspRequest, later: Sequence[Stage | GraspRequest]) -> GraspChoice | None:
        """Return the best grasp that the arm reaches, and with which the next motion is possible."""
        known = self._memory.scene.grasps.get(request.query, ())
        if not known:
            raise _GiveUpError(f"there is no grasp of the {request.query}")
        fresh = [choice for choice in known if choice not in self._failed] or list(known)
        reached: GraspChoice | None = None
        self._control.keep_away(self._memory.obstacles(frozenset((request.query,))))
        for choice in fresh:
            joints = self._reaches(choice)
            if joints is None:
                continue
            reached = reached or choice
            if self._allows(choice, joints, later):
                return choice
        if reached is None:
            self._note("violated", f"the arm reaches none of {len(fresh)} grasps of the {request.query}")
        return reached

    def _reaches(self, choice: GraspChoice) -> Float[np.ndarray, " d"] | None:
        """Return joint positions at a grasp, if the arm can also be before it."""
        T = self._memory.pose_of(choice)
        state_at = self._memory.state_at(self._width, {})
        joints = self._sent
        for pose in (backed_off(T, APPROACH), T):
            found = self._control.find_goal(
                joints, (GripperAt(pose, tolerance=_REACHED),), state_at, self._rng
            )
            if not found.found:
                return None
            joints = found.joints
        return joints

    def _allows(
        self, choice: GraspChoice, joints: Float[np.ndarray, " d"], later: Sequence[Stage | GraspRequest]
    ) -> bool:
        """Return whether the goals of the motions up to the next grasp can be reached with a grasp."""
        state_at = self._memory.if_held(choice, choice.width)
        state = state_at(self._memory.pose_of(choice))
        for stage in later:
            if isinstance(stage, GraspRequest) or (isinstance(stage, Fingers) and stage.width > 0):
                return True
            if not isinstance(stage, Motion):
                continue
            found = self._control.find_goal(joints, stage.goals(state), state_at, self._rng)
            if not found.found:
                return False
            joints = found.joints
        return True

    # ── one control step ───────────────────────────────────────────────────────────────────────
    def _sense(self) -> tuple[RobotState, bool]:
        """Return the robot's state, and whether a new image has been used."""
        state = self._robot.state()
        self._check_limits(state)
        self._step_start = perf_counter()
        seen = self._perception.poll(state.time)
        if seen is not None:
            self._memory.see(seen, self._taken_at)
        if self._perception.wants_image(state.time):
            self._taken_at = self._control.T_base_gripper(state.joints)
            view = self._control.without_arm(self._robot.view(), state.joints)
            self._perception.submit(state.time, view)
        return state, seen is not None

    def _check_limits(self, state: RobotState) -> None:
        """Count a state beyond the arm's limits."""
        before, self._measured = self._measured, state
        elapsed = state.time - before.time
        low, high = self._arm.limits.T
        fast = (
            elapsed > 0
            and (np.abs(state.joints - before.joints) > elapsed * _OVER * self._arm.velocity).any()
        )
        self._violations += int(fast or (state.joints < low).any() or (state.joints > high).any())

    def _send(self, velocity: Float[np.ndarray, " d"], state: RobotState) -> None:
        """Command a velocity through the smoothing and the safety filter."""
        if np.abs(self._sent - state.joints).max() > self._config.safety.lag:
            self._note("waits", "something holds the arm: it goes on from where it is")
            self._sent = state.joints.copy()
            self._smooth.restart(self._sent)
        wanted = self._smooth.follow(velocity)
        gripper = self._control.T_base_gripper(wanted)[:3, 3]
        age = state.time - max(self._perception.seen_at, self._start)
        sent = self._safety.check(self._sent, wanted, gripper, force=state.force, age=age)
        if sent is not wanted and not np.array_equal(sent, wanted):
            self._smooth.restart(sent)
        self._sent = sent
        self._steps.append(perf_counter() - self._step_start)
        self._robot.command(sent, self._width)
        if self._safety.stopped:
            self._note("stopped", self._safety.stopped)
            raise _GiveUpError(self._safety.stopped)

    def _lost_grip(self, state: RobotState) -> bool:
        """Return whether something that was held is not between the fingers any more."""
        if not self._memory.held or self._held_width - state.width < self._config.slipped:
            return False
        self._memory.release(self._gripper())
        self._note("lost", "what was held has left the gripper")
        return True

    def _broken(self, progress: _Progress, state_at: StateAt) -> Constraint | None:
        """Return a path constraint that held and does not any more; None without one."""
        state = state_at(self._gripper())
        stage = progress.stage
        assert isinstance(stage, Motion)
        for one in stage.paths:
            value = residual(one, state).value
            if value <= one.tolerance:
                progress.kept.add(one)
            elif one in progress.kept and value > self._config.broken * one.tolerance:
                return one
        return None

    def _waits(self, progress: _Progress, state: RobotState) -> bool:
        """Return whether a thing that the stage needs is lost; ask for it again after a while."""
        stage = progress.stage
        assert isinstance(stage, Motion)
        needed = {name for one in (*progress.goals, *stage.paths) for name in _queries(one)}
        things = {self._memory.scene.things[name] for name in needed - self._memory.held}
        missing_now = things & self._memory.lost
        if not missing_now:
            if self._missing_since is not None:
                self._note("found", "everything is seen again")
            self._missing_since = None
            return False
        if self._missing_since is None:
            self._missing_since = state.time
            self._note("lost", f"{', '.join(sorted(missing_now))}: waiting")
            self._asked = False
        waited = state.time - self._missing_since
        if waited > self._config.gone_seconds:
            raise _GiveUpError(f"the camera does not show the {', '.join(sorted(missing_now))} any more")
        if waited > self._config.lost_seconds and self._ask is not None and not self._asked:
            self._asked = True
            for thing in sorted(missing_now):
                self._note("asked", thing)
                self._ask(thing)
        return True

    def _late(self, progress: _Progress) -> bool:
        """Return whether a stage has taken too long; raise an error if the run has."""
        time = self._robot.state().time
        if time - self._start > self._config.seconds:
            raise _GiveUpError(f"it took longer than {self._config.seconds:.0f} s")
        return time - progress.entered > self._config.stage_seconds and self._missing_since is None

    def _gripper(self) -> Float[np.ndarray, "4 4"]:
        """Return the pose of the gripper at the latest command."""
        return self._control.T_base_gripper(self._sent)

    def _note(self, kind: EventKind, detail: str) -> None:
        self._events.append(Event(self._robot.state().time - self._start, kind, detail))


# Measured velocity that counts as beyond the limit, as a multiple of it: encoders and clocks are noisy. Chosen.
_OVER = 1.05
# Motion of the joints in a control step below which the arm stands still, radians. Chosen.
_CREEP = 2e-5
# Range of the pads' distance within which they stand still, metres. Chosen.
_STILL = 0.0005
# Error of the gripper's pose at which a grasp counts as reached, metres. Chosen.
_REACHED = 0.005


def _name(block: Stage | GraspRequest) -> str:
    return f"the grasp of the {block.query}" if isinstance(block, GraspRequest) else f"'{block.name}'"


def _kind(constraint: Constraint | None) -> str:
    return "nothing" if constraint is None else type(constraint).__name__


def _queries(constraint: Constraint) -> tuple[str, ...]:
    names = queries_of(constraint)
    if isinstance(constraint, GripperAt) and constraint.query is None:
        return ()
    return names
