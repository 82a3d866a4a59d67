"""One stage of a plan, step by step: done, or given up with a reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from point2act.acting.constraints.constraint_values import residual, satisfied
from point2act.acting.control.constraint_task import StateAt
from point2act.acting.control.controller import Controller, GoalPosture, missing
from point2act.acting.execution.asking import Inquiry
from point2act.acting.execution.control_loop import Aside, ControlLoop, GiveUpError
from point2act.acting.execution.goal_points import beside_goals, points_of
from point2act.acting.execution.stages import Check, Fingers, Motion, Stage, carried_over
from point2act.core.constraints import Constraint, Point, queries_of
from point2act.core.geometry import invert, transform_points
from point2act.core.types import OrientedBox

# Motion of the joints in a control step below which the arm stands still, radians. Chosen.
_CREEP = 2e-5
# Decrease of the distance of the joints from the goal posture that counts as coming nearer, radians. Chosen.
_NEARER = 0.002
# Range of the pads' distance within which they stand still, metres. Chosen.
_STILL = 0.0005


@dataclass(frozen=True)
class StageConfig:
    """When a stage ends."""

    broken: float = 5.0
    """Residual of a path constraint, as a multiple of its tolerance, at which the stage is given up."""
    near: float = 0.15
    """Distance from the goal posture within which contact or a fall completes what sets down, radians."""
    over: float = 0.02
    """Horizontal distance from its goal within which what falls is set down, metres."""
    turned: float = 2.0
    """Motion of a joint to the goal posture beyond which another one is sought, radians."""
    settled: float = 0.01
    """Distance of the joints from the goal posture at which a motion ends, radians."""
    finger_seconds: float = 0.4
    """Shortest duration of a motion of the fingers, and how long they stand still at its end, seconds."""
    min_held: float = 0.002
    """Smallest distance of the pads with something between them, metres."""
    slipped: float = 0.006
    """Distance by which the pads close further when something is lost, metres."""
    gone_seconds: float = 10.0
    """Time after which a run ends if a thing is still lost, seconds."""
    blocked_seconds: float = 0.6
    """Time without motion, short of its goal, after which a stage is given up, seconds."""
    stage_seconds: float = 8.0
    """Longest duration of a stage at half of the arm's speed or more; twice as long for slower ones."""


@dataclass(eq=False)
class _Progress:
    """How far a motion is."""

    stage: Motion
    goals: tuple[Constraint, ...]
    starts: dict[Point, Float[np.ndarray, " 3"]]
    force: float = 0.0
    """Force on the gripper at its start, newtons."""
    posture: Float[np.ndarray, " d"] | None = None
    """Joint positions at the goal."""
    obstacles: Sequence[OrientedBox] = ()
    """What the arm keeps away from at the goal."""
    search: Aside[GoalPosture] | None = None
    """The search for the goal posture of the latest image."""
    kept: set[Constraint] = field(default_factory=set)
    """Path constraints that have held since the start."""
    seconds: float = 0.0
    """Time spent without waiting."""
    still: float = 0.0
    """Time since the arm last moved, or came nearer to its goal where it is guided, seconds."""
    nearest: float = np.inf
    """Smallest distance of the joints from the goal posture so far, radians."""


class StageRunner:
    """Carries out stages."""

    def __init__(self, loop: ControlLoop, inquiry: Inquiry, config: StageConfig, rng: np.random.Generator):
        self._loop, self._inquiry, self._config, self._rng = loop, inquiry, config, rng
        self.impossible = False
        """Whether the latest stage was given up since no posture of the arm satisfies its goals."""
        self._held_width = 0.0
        self._lost_since: float | None = None

    def run(self, stage: Stage) -> bool:
        """Carry out a stage; return False where it is given up.

        Raises:
            GiveUpError: The run has to end.
        """
        self._loop.note("stage", stage.name)
        self.impossible = False
        if isinstance(stage, Check):
            problem = self._check(stage)
        else:
            problem = self._motion(stage) if isinstance(stage, Motion) else self._fingers(stage)
        if problem is None:
            self._loop.note("done", stage.name)
        else:
            self._loop.note("violated", f"{stage.name}: {problem}")
        return problem is None

    def _check(self, stage: Check) -> str | None:
        """Return which condition does not hold."""
        loop = self._loop
        loop.sense()
        loop.wait()
        state = loop.memory.state_at(loop.state.width, {})(loop.T_base_gripper)
        broken = [type(one).__name__ for one in stage.conditions if not satisfied(one, state)]
        return f"{', '.join(broken)} does not hold" if broken else None

    # ── motions of the arm ─────────────────────────────────────────────────────────────────────
    def _motion(self, stage: Motion) -> str | None:
        """Move until the goals hold, from above where something is carried; return what prevents it."""
        progress = self._start_possible(stage)
        for one in self._over(progress):
            problem = self._move(self._start_possible(one))
            if problem is not None and not self._loop.memory.held:
                return problem
        return self._move(progress)

    def _start_possible(self, stage: Motion) -> _Progress:
        """Fix the goals of a motion, or of the first of those that are done instead that is possible."""
        progress = self._start(stage)
        while progress.stage.instead is not None and not self._is_possible(progress):
            progress = self._start(progress.stage.instead)
        return progress

    def _start(self, stage: Motion) -> _Progress:
        """Fix the goals of a motion."""
        loop = self._loop
        here = loop.memory.state_at(loop.state.width, {})(loop.T_base_gripper)
        goals = stage.goals(here)
        starts = {point: here.point(point).value for point in points_of((*goals, *stage.paths))}
        return _Progress(stage, goals, starts)

    def _is_possible(self, progress: _Progress) -> bool:
        """Return whether a posture of the arm satisfies the goals of a motion."""
        state_at = self._loop.memory.state_at(self._loop.state.width, progress.starts)
        return self._find_posture(progress, state_at) is None

    def _over(self, progress: _Progress) -> tuple[Motion, ...]:
        """Return the motions that bring what is held over the goal."""
        loop, stage = self._loop, progress.stage
        if not (stage.carries and loop.memory.held):
            return ()
        state_at = loop.memory.state_at(loop.state.width, progress.starts)
        self._find_posture(progress, state_at)
        if progress.posture is None:
            return ()
        T_start, T_end = loop.T_base_gripper, loop.control.T_base_gripper(progress.posture)
        state = state_at(T_start)
        held = transform_points(invert(T_start), state.box(min(state.held)).center)
        return carried_over(stage, T_start, T_end, held, state.up)

    def _move(self, progress: _Progress) -> str | None:
        """Move until the goals hold; return what prevents it."""
        loop = self._loop
        progress.force, progress.posture, progress.search = loop.state.force, None, None
        while True:
            seen = loop.sense()
            self._inquiry.tend()
            if self._lost_grip():
                fell = "what was held has left the gripper"
                return None if progress.stage.sets_down and self._over_goal(progress) else fell
            if self._waits(progress):
                loop.wait()
                continue
            state_at = loop.memory.state_at(loop.state.width, progress.starts)
            problem = self._aim(progress, state_at, seen) or self._broken(progress, state_at)
            if problem is not None:
                return problem
            ended, problem = self._step(progress, state_at)
            if ended or problem is not None:
                return problem

    def _aim(self, progress: _Progress, state_at: StateAt, seen: bool) -> str | None:
        """Find the goal posture, anew with each image; return what is impossible."""
        if progress.posture is None:
            return self._find_posture(progress, state_at)
        loop, search = self._loop, progress.search
        if search is not None and loop.ended(search):
            found, progress.search = search.future.result(), None
            # With another posture for each image the arm would go to and fro.
            progress.posture = found.joints if found.found else progress.posture
        if seen and progress.search is None:
            wanted = (*progress.goals, *progress.stage.paths)
            near, obstacles = progress.posture, progress.obstacles

            def find(control: Controller) -> GoalPosture:
                control.keep_away(obstacles)
                return control.find_near(near, wanted, state_at)

            progress.search = loop.start_search(find)
        return None

    def _find_posture(self, progress: _Progress, state_at: StateAt) -> str | None:
        """Set the goal posture, and what the arm keeps away from; return what is impossible.

        Where the goals allow it the arm keeps away from what it may touch as well: a jug is tipped over a
        bowl so that the gripper does not dip into it. But rather that than that the arm turns over.
        """
        loop, stage = self._loop, progress.stage
        wanted = (*progress.goals, *stage.paths)
        near, worst = loop.sent if stage.near is None else stage.near, None
        for obstacles, anywhere in self._searches(stage):
            loop.control.keep_away(obstacles)
            if anywhere:
                found = loop.control.find_goal(near, wanted, state_at, self._rng)
            else:
                found = loop.control.find_near(near, wanted, state_at)
            turned = float(np.abs(found.joints - near).max()) > self._config.turned
            if found.found if anywhere else found.just_found and not turned:
                progress.posture, progress.obstacles = found.joints, obstacles
                self.impossible = False
                return None
            worst = found.worst
        self.impossible = True
        return f"no posture of the arm satisfies {'the clearance' if worst is None else type(worst).__name__}"

    def _searches(self, stage: Motion) -> Iterator[tuple[list[OrientedBox], bool]]:
        """Yield what is kept away from, and whether postures are sought anywhere; the most wanted first."""
        memory = self._loop.memory
        boxes = [memory.obstacles(stage.touches, stage.choice)]
        beyond = memory.rests(stage.touches) if memory.held else []
        if beyond:  # a thing is to be touched in its regions only
            boxes.insert(0, boxes[0] + beyond)
        if memory.held and not stage.guided:
            boxes.insert(0, memory.obstacles(frozenset()))
        for anywhere in (False, True) if stage.may_turn and stage.near is None else (False,):
            for obstacles in boxes:
                yield obstacles, anywhere

    def _step(self, progress: _Progress, state_at: StateAt) -> tuple[bool, str | None]:
        """Do one control step; return whether the motion has ended, and what prevents it."""
        loop, stage, posture, period = self._loop, progress.stage, progress.posture, self._loop.robot.period
        assert posture is not None
        velocity = loop.control.velocity(loop.sent, posture, stage.paths, state_at, period, stage.speed)
        pressed = max(loop.state.force - progress.force, 0.0) / stage.max_force
        if pressed >= 1:
            # At once: an arm that comes to rest smoothly presses harder until then.
            loop.relax()
        moved = loop.send(velocity * max(1.0 - pressed, 0.0))
        if loop.blind:
            return False, None
        progress.seconds += period
        away = self._away(posture)
        moves = away < progress.nearest - _NEARER if stage.guided else moved >= _CREEP
        progress.nearest = away if moves else progress.nearest
        progress.still = 0.0 if moves else progress.still + period
        if away < self._config.settled and missing(progress.goals, state_at, loop.T_base_gripper) <= 1:
            return True, None
        near = stage.sets_down and self._near(progress)
        if progress.still > self._config.blocked_seconds:
            return near and stage.guided, None if near and stage.guided else "the arm cannot come nearer"
        longest = self._config.stage_seconds * (1 if stage.speed >= 0.5 else 2)
        if progress.seconds > longest:
            return near, None if near else f"it took longer than {longest:.0f} s"
        if pressed < 1:
            return False, None
        if stage.guided or near:
            return near and not stage.guided, None
        return False, "the gripper touched something"

    def _over_goal(self, progress: _Progress) -> bool:
        """Return whether what was held falls to where it was to be set down."""
        loop = self._loop
        state = loop.memory.state_at(loop.state.width, progress.starts)(loop.T_base_gripper)
        return self._near(progress) or beside_goals(progress.goals, state) < self._config.over

    def _near(self, progress: _Progress) -> bool:
        """Return whether the arm is near the goal posture."""
        posture = progress.posture
        return posture is not None and self._away(posture) < self._config.near

    def _away(self, posture: Float[np.ndarray, " d"]) -> float:
        """Return the largest distance of a joint from a posture, radians."""
        return float(np.abs(posture - self._loop.state.joints).max())

    def _broken(self, progress: _Progress, state_at: StateAt) -> str | None:
        """Return the path constraint that held and does not any more."""
        state = state_at(self._loop.T_base_gripper)
        for one in progress.stage.paths:
            value = residual(one, state).value
            if value <= one.tolerance:
                progress.kept.add(one)
            elif one in progress.kept and value > self._config.broken * one.tolerance:
                return f"{type(one).__name__} no longer holds"
        return None

    def _waits(self, progress: _Progress) -> bool:
        """Return whether a thing that the stage needs is lost."""
        loop = self._loop
        used = {query for one in (*progress.goals, *progress.stage.paths) for query in queries_of(one)}
        lost = {loop.memory.scene.things[query] for query in used - loop.memory.held} & loop.memory.lost
        names = ", ".join(sorted(lost))
        if not lost:
            if self._lost_since is not None:
                loop.note("found", "everything is seen again")
            self._lost_since = None
            return False
        if self._lost_since is None:
            self._lost_since = loop.seconds
            loop.note("lost", f"{names}: waiting")
        if loop.seconds - self._lost_since > self._config.gone_seconds:
            raise GiveUpError(f"the camera does not show the {names} any more")
        return True

    def _lost_grip(self) -> bool:
        """Return whether something that was held is not between the fingers any more."""
        loop = self._loop
        if not loop.memory.held or self._held_width - loop.state.width < self._config.slipped:
            return False
        loop.memory.release(loop.T_base_gripper)
        return True

    # ── motions of the fingers ─────────────────────────────────────────────────────────────────
    def _fingers(self, stage: Fingers) -> str | None:
        """Move the fingers until they stand still; return what is wrong."""
        loop, seconds = self._loop, self._config.finger_seconds
        if stage.query is None and stage.width > 0:
            loop.memory.release(loop.T_base_gripper)
        loop.width = stage.width
        widths: list[float] = []
        steps = round(seconds / loop.robot.period)
        while len(widths) < steps or np.ptp(widths[-steps:]) > _STILL:
            if len(widths) * loop.robot.period > self._config.stage_seconds:
                return "the fingers do not come to rest"
            loop.sense()
            self._inquiry.tend()
            loop.wait()
            widths.append(loop.state.width)
        if stage.query is None:
            return None
        if widths[-1] < self._config.min_held:
            return "there is nothing between the fingers"
        self._held_width = widths[-1]
        loop.memory.hold(stage.query, loop.control.T_base_gripper(loop.state.joints))
        return None
