"""Joint velocities that satisfy constraints: one quadratic program per control step, and a search for goals.

With the joints q, the residual r_i and Jacobian J_i of every constraint, a step dq of the joints solves

    min  sum_i w_i² |J_i dq + g r_i|² + w_q² |q + dq - q_next|²
    s.t. limits of positions and velocities, and of the approach to the table, obstacles and other links,

where q_next is on the straight line in joint space to the goal, as far as the velocity allows. The goal is
the solution of the same program without limits of velocity, from several start postures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.ndimage import binary_dilation

from point2act.acting.constraints.constraint_values import residual
from point2act.acting.control.arm_model import ArmModel
from point2act.acting.control.constraint_task import ConstraintTask, StateAt
from point2act.core.constraints import Constraint
from point2act.core.geometry import back_project, pixel_centers
from point2act.core.mink_import import mink
from point2act.core.types import OrientedBox, View

# The arm is sought in every second pixel of an image, in each direction: a quarter of the time. Pixels beside
# one that shows it are taken to show it too, so that none is missed at its outline.
_EVERY, _SQUARE = 2, np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class ControlConfig:
    """Weights and limits of control."""

    path_weight: float = 100.0
    """Weight of constraints on the way relative to the motion to the goal, per metre against radians."""
    path_gain: float = 0.2
    """Fraction of an error on the way that one step removes."""
    slowing: float = 4.0
    """Velocity per distance to the goal, 1/s: near it the arm slows down exponentially."""
    clearance: float = 0.003
    """Smallest distance of the gripper and the links to the table and to obstacles, metres."""
    braking: float = 5.0
    """Largest velocity towards an obstacle per distance beyond the clearance, 1/s: the joints' acceleration
    must be able to follow, 7.5 rad/s² from up to 1.3 rad/s."""
    braking_distance: float = 0.08
    """Distance below which obstacles limit the velocity, metres."""
    closing: float = 0.2
    """Fraction of a distance beyond the clearance that one iteration of the search for a goal may close."""
    detection: float = 0.04
    """Distance below which obstacles limit the search for a goal, metres."""
    limit_margin: float = 0.03
    """Smallest distance to joint limits, radians."""
    iterations: int = 60
    """Largest number of iterations of the search for a goal from each start posture."""
    restarts: int = 6
    """Number of start postures beside the current one."""
    shortfall: float = 0.3
    """Fraction of its tolerance within which a goal is sought."""


class NotFurther(mink.Limit):
    """A limit that, once it is passed, only keeps from going further: else no velocity would be allowed."""

    def __init__(self, limit: mink.Limit):
        self._limit = limit

    def compute_qp_inequalities(self, configuration: mink.Configuration, dt: float) -> mink.Constraint:
        """Return ``G dq <= max(h, 0)`` for the limit's ``G dq <= h``, for a step of any duration."""
        # With another duration mink divides distances by it, and compares them with a step all the same.
        found = self._limit.compute_qp_inequalities(configuration, 1.0)
        return found if found.h is None else mink.Constraint(found.G, np.maximum(found.h, 0.0))


@dataclass(frozen=True, eq=False)
class GoalPosture:
    """Joint positions at which goals hold, or come nearest to it."""

    joints: Float[np.ndarray, " d"]
    """Radians."""
    excess: float
    """Largest residual as a fraction of its tolerance."""
    worst: Constraint | None
    """The constraint that it is of."""
    clear: bool = True
    """Whether links and gripper touch neither one another nor what is around."""

    @property
    def found(self) -> bool:
        """Whether all goals hold well within their tolerance, and nothing is touched."""
        return self.clear and self.excess <= _WELL

    @property
    def just_found(self) -> bool:
        """Whether all goals hold, and nothing is touched."""
        return self.clear and self.excess <= _JUST


class Controller:
    """Solves the quadratic programs of one arm."""

    def __init__(
        self,
        arm: ArmModel,
        max_velocity: Float[np.ndarray, " d"],
        config: ControlConfig = ControlConfig(),
    ):
        self._arm, self._config = arm, config
        self._max_velocity = max_velocity
        self._here = mink.Configuration(arm.model)
        joints = arm.arm.joints
        self._position = NotFurther(
            mink.ConfigurationLimit(arm.model, min_distance_from_limits=config.limit_margin)
        )
        self._velocity = mink.VelocityLimit(arm.model, dict(zip(joints, max_velocity.tolist(), strict=True)))
        self._surround()

    def keep_away(self, boxes: Sequence[OrientedBox]) -> None:
        """Set the boxes to keep away from, base frame."""
        self._arm.place_obstacles(self._here.data, boxes)
        self._surround()

    def T_base_gripper(self, joints: Float[np.ndarray, " d"]) -> Float[np.ndarray, "4 4"]:
        """Return the pose of the gripper at joint positions, radians."""
        self._here.update(joints)
        return self._arm.T_base_gripper(self._here.data, 0.0)

    def without_arm(self, view: View, joints: Float[np.ndarray, " d"]) -> View:
        """Return a view without the depth of what is on the arm or on its gripper, in any thread.

        Args:
            view: Colour and depth; its pose is in the base frame.
            joints: Joint positions when it was taken, radians.
        """
        if view.depth is None:
            return view
        there = mink.Configuration(self._arm.model, joints)
        height, width = view.depth.shape
        depth = view.depth[::_EVERY, ::_EVERY]
        pixels = pixel_centers(height, width)[::_EVERY, ::_EVERY].reshape(-1, 2)
        points = back_project(view.camera, view.T_world_cam, pixels, depth.reshape(-1))
        covered = binary_dilation(self._arm.covers(there.data, points).reshape(depth.shape), _SQUARE)
        covered = covered.repeat(_EVERY, axis=0).repeat(_EVERY, axis=1)[:height, :width]
        return replace(view, depth=np.where(covered, np.float32(0), view.depth))

    def velocity(
        self,
        joints: Float[np.ndarray, " d"],
        goal: Float[np.ndarray, " d"],
        paths: Iterable[Constraint],
        state_at: StateAt,
        period: float,
        speed: float,
    ) -> Float[np.ndarray, " d"]:
        """Return the joint velocities of one control step, radians per second; zero if there is no solution.

        Args:
            joints: Joint positions, radians.
            goal: Joint positions to move to.
            paths: Constraints that hold on the way.
            state_at: The state of the scene by the pose of the gripper.
            period: Duration of the step, seconds.
            speed: Fraction of the largest velocities.
        """
        config = self._config
        self._here.update(joints)
        wanted = config.slowing * (goal - joints)
        wanted /= max(1.0, float((np.abs(wanted) / (speed * self._max_velocity)).max()))
        posture = mink.PostureTask(self._arm.model, 1.0)
        posture.set_target(joints + period * wanted)
        tasks: list[mink.Task] = [
            posture,
            *self._tasks(paths, state_at, config.path_weight, config.path_gain),
        ]
        try:
            return mink.solve_ik(
                self._here,
                tasks,
                period,
                "daqp",
                limits=[self._position, self._velocity, self._braking(period)],
            )
        except mink.NoSolutionFound:
            return np.zeros_like(joints)

    def find_goal(
        self,
        start: Float[np.ndarray, " d"],
        goals: Sequence[Constraint],
        state_at: StateAt,
        rng: np.random.Generator,
    ) -> GoalPosture:
        """Return joint positions at which goals hold, near the start if possible.

        Args:
            start: Joint positions, radians; if nothing is found from there, the nearest result from
                other start postures.
            goals: Constraints.
            state_at: The state of the scene by the pose of the gripper.
            rng: Draws start postures.
        """
        here = self.find_near(start, goals, state_at)
        if here.found:
            return here
        tasks = self._tasks(goals, state_at, 1.0, 1.0)
        others = [self._checked(self._descend(posture, tasks)) for posture in self._starts(rng)]
        found = [one for one in others if one.found]
        if found:
            return min(found, key=lambda one: float(np.abs(one.joints - start).max()))
        return min((here, *others), key=lambda one: (not one.clear, one.excess))

    def find_near(
        self, start: Float[np.ndarray, " d"], goals: Sequence[Constraint], state_at: StateAt
    ) -> GoalPosture:
        """Return joint positions at which goals hold, from one start posture: the arm need not turn over.

        Args:
            start: Joint positions, radians.
            goals: Constraints.
            state_at: The state of the scene by the pose of the gripper.
        """
        return self._checked(self._descend(start, self._tasks(goals, state_at, 1.0, 1.0)))

    def _checked(self, found: GoalPosture) -> GoalPosture:
        """Return a posture with whether it is clear."""
        self._here.update(found.joints)
        return replace(found, clear=self._arm.clearance(self._here.data) > _KEPT * self._config.clearance)

    def _descend(self, start: Float[np.ndarray, " d"], tasks: list[ConstraintTask]) -> GoalPosture:
        self._here.update(start)
        posture = mink.PostureTask(self._arm.model, _POSTURE)
        posture.set_target(start)
        best = self._excess(tasks)
        for _ in range(self._config.iterations):
            if best.excess <= self._config.shortfall:
                break
            try:
                step = mink.solve_ik(
                    self._here, [posture, *tasks], 1.0, "daqp", limits=[self._position, self._collision]
                )
            except mink.NoSolutionFound:
                break
            self._here.integrate_inplace(step * min(1.0, _MAX_STEP / max(np.abs(step).max(), 1e-12)), 1.0)
            here = self._excess(tasks)
            best = here if here.excess < best.excess else best
            if np.abs(step).max() < _CONVERGED:
                break
        return best

    def _excess(self, tasks: list[ConstraintTask]) -> GoalPosture:
        values = [
            float(np.linalg.norm(task.compute_error(self._here))) / task.constraint.tolerance
            for task in tasks
        ]
        worst = int(np.argmax(values)) if values else None
        return GoalPosture(
            self._here.q.copy(),
            0.0 if worst is None else values[worst],
            None if worst is None else tasks[worst].constraint,
        )

    def _starts(self, rng: np.random.Generator) -> Iterator[Float[np.ndarray, " d"]]:
        yield self._arm.arm.home
        low, high = self._arm.arm.limits.T
        for _ in range(self._config.restarts - 1):
            yield rng.uniform(low, high)

    def _tasks(
        self, constraints: Iterable[Constraint], state_at: StateAt, weight: float, gain: float
    ) -> list[ConstraintTask]:
        return [ConstraintTask(one, self._arm, state_at, weight=weight, gain=gain) for one in constraints]

    def _surround(self) -> None:
        """Take over the obstacles: mink measures their size once."""
        self._collision = self._no_collision(self._config.closing, self._config.detection)
        self._brakes: dict[float, NotFurther] = {}

    def _braking(self, period: float) -> NotFurther:
        """Return the limit of the velocities towards what is near, for control steps of a duration."""
        if period not in self._brakes:
            gain = min(self._config.braking * period, 1.0)
            self._brakes[period] = self._no_collision(gain, self._config.braking_distance)
        return self._brakes[period]

    def _no_collision(self, gain: float, distance: float) -> NotFurther:
        return NotFurther(
            mink.CollisionAvoidanceLimit(
                self._arm.model,
                [([a], [b]) for a, b in self._arm.pairs],
                gain=gain,
                minimum_distance_from_collisions=self._config.clearance,
                collision_detection_distance=distance,
            )
        )


# Fraction of a tolerance within which a goal counts as found: the rest is for what moves meanwhile. Chosen.
_WELL = 0.6
# Likewise, of a goal that is better than to turn over. Chosen.
_JUST = 0.85
# Fraction of the clearance that a goal keeps: nearer, the limits of velocity would not let the arm get there.
_KEPT = 0.8
# Weight of the start posture in the search for a goal: it decides only what the goals leave free.
_POSTURE = 1e-3
# Largest step of a joint in one iteration of the search, radians, as of inverse kinematics.
_MAX_STEP = 0.5
# Step below which the search has converged, radians.
_CONVERGED = 1e-5


def missing(constraints: Iterable[Constraint], state_at: StateAt, T: Float[np.ndarray, "4 4"]) -> float:
    """Return the largest residual as a fraction of its tolerance, with the gripper at a pose; 0 for none."""
    state = state_at(T)
    return max((residual(one, state).value / one.tolerance for one in constraints), default=0.0)
