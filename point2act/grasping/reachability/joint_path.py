"""Joint path of a grasp: straight approach and straight lift, or the reason why the arm cannot follow it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import invert, transform_points
from point2act.core.types import Grasp, JointPath, NoAnswer
from point2act.grasping.grippers import HALF_TURN
from point2act.grasping.reachability import ReachConfig
from point2act.grasping.reachability.arm import Arm
from point2act.grasping.reachability.clearance import Surroundings, find_links
from point2act.grasping.reachability.ik import Solution, Solver

# Length that counts as much as a radian, metres: about that of a gripper.
_LEVER = 0.2
# Iterations from one pose of a path to the next; two suffice except near limits and singularities.
_STEP_ITERATIONS = 8


@dataclass(frozen=True, eq=False)
class Unreachable:
    """Reason why there is no path."""

    detail: str
    """What is missing."""
    progress: float
    """Order of misses: below 0 by the distance to the start of the path, from 0 to 1 by the fraction of the
    path that is reached, about 2 if only a link collides."""


def reach_grasps(
    grasps: Sequence[Grasp],
    T_base_world: Float[np.ndarray, "4 4"],
    arm: Arm,
    *,
    around: Surroundings = Surroundings(),
    approach: float,
    lift_world: Float[np.ndarray, "3"],
    max_grasps: int | None = None,
    config: ReachConfig = ReachConfig(),
    rng: np.random.Generator,
) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """Keep the grasps that an arm reaches, each with its joint path.

    Args:
        grasps: Grasps, world, in any order.
        T_base_world: Transform from the world to the arm's base.
        around: Table and obstacles, world.
        approach: Length of the straight approach along the gripper's +z axis, metres.
        lift_world: Translation of the lift, world, metres.
        max_grasps: Number of reachable grasps after which the search ends; None for all.
        rng: Draws start postures.

    Returns:
        The reachable grasps in the same order; if there are none, the reason.
    """
    reach = Reach(arm, in_base(around, T_base_world), config)
    lift_base = T_base_world[:3, :3] @ lift_world
    found: list[Grasp] = []
    misses: list[Unreachable] = []
    for grasp in grasps:
        T_base_gripper = T_base_world @ grasp.T_world_gripper
        outcome = reach.find(
            T_base_gripper, opening=grasp.width, approach=approach, lift_base=lift_base, rng=rng
        )
        if isinstance(outcome, JointPath):
            found.append(replace(grasp, joint_path=outcome))
            if len(found) == max_grasps:
                break
        else:
            misses.append(outcome)
    if found or not misses:
        return tuple(found), None
    nearest = max(misses, key=lambda miss: miss.progress)
    return (), NoAnswer(
        "unreachable",
        f"nearest miss of {arm.name}: {nearest.detail}; move the base or the object",
        {"grasps": len(grasps)},
    )


def in_base(around: Surroundings, T_base_world: Float[np.ndarray, "4 4"]) -> Surroundings:
    """Transform surroundings from the world to the base frame: a plane as ``n' = R n, d' = d - n' . t``."""
    table, points = around.table, around.obstacles
    if table is not None:
        normal = T_base_world[:3, :3] @ table[:3]
        table = np.append(normal, table[3] - normal @ T_base_world[:3, 3])
    if points is not None:
        points = transform_points(T_base_world, points)
    return Surroundings(table, points)


@dataclass(frozen=True, eq=False)
class _Line:
    """A straight path of the flange, as poses one step apart."""

    name: str
    length: float
    T_base_flange: tuple[Float[np.ndarray, "4 4"], ...]


class Reach:
    """Search for joint paths of one arm, with table and obstacles in its base frame."""

    def __init__(self, arm: Arm, around: Surroundings, config: ReachConfig):
        self._arm, self._around, self._config = arm, around, config
        self._solver = Solver(arm, limit_margin=config.limit_margin)
        self._links = find_links(arm.model)

    def find(
        self,
        T_base_gripper: Float[np.ndarray, "4 4"],
        *,
        opening: float,
        approach: float,
        lift_base: Float[np.ndarray, "3"],
        rng: np.random.Generator,
    ) -> JointPath | Unreachable:
        """Find a joint path along the straight approach and lift of one grasp.

        Differential inverse kinematics from several postures finds the start of the approach; from there the
        straight lines are followed in small steps. Of the grasp and the same grasp with exchanged fingers the
        path further from the joint limits is taken.

        Args:
            T_base_gripper: Pose of the grasp.
            opening: Distance between the pads when they hold, metres.
            approach: Length of the straight approach along the gripper's +z axis, metres.
            lift_base: Translation of the lift, base frame, metres.
            rng: Draws start postures.
        """
        T_gripper_flange = invert(self._arm.T_flange_gripper(opening))
        back = -approach * T_base_gripper[:3, 2]
        lines = []
        for turn in (np.eye(4), HALF_TURN):
            T_base_flange = T_base_gripper @ turn @ T_gripper_flange
            to = _line("approach", T_base_flange, back, np.zeros(3), self._config.step)
            up = _line("lift", T_base_flange, np.zeros(3), lift_base, self._config.step)
            lines.append((to, up))
        misses: list[Unreachable] = []
        for start in self._starts(rng):
            outcomes = [self._path(to, up, start) for to, up in lines]
            paths = [outcome for outcome in outcomes if isinstance(outcome, JointPath)]
            if paths:
                return max(paths, key=lambda path: path.limit_margin)
            misses += [outcome for outcome in outcomes if isinstance(outcome, Unreachable)]
        return max(misses, key=lambda miss: miss.progress)

    def _starts(self, rng: np.random.Generator) -> Iterator[Float[np.ndarray, " d"]]:
        """Yield the start postures."""
        yield self._arm.home
        for _ in range(self._config.starts - 1):
            yield rng.uniform(self._arm.limits[:, 0], self._arm.limits[:, 1])

    def _path(self, to: _Line, up: _Line, start: Float[np.ndarray, " d"]) -> JointPath | Unreachable:
        """Find the path from one start posture."""
        first = to.T_base_flange[0]
        found = self._solver.solve(start, first, posture=self._arm.home, iterations=self._config.iterations)
        if not self._fits(found):
            detail, distance = self._shortfall(found, first)
            return Unreachable(f"at the start of the approach {detail}", -distance)
        approach = self._follow(to, found.joints)
        if isinstance(approach, Unreachable):
            return approach
        lift = self._follow(up, approach[-1])
        return lift if isinstance(lift, Unreachable) else self._checked(approach, lift)

    def _follow(self, line: _Line, joints: Float[np.ndarray, " d"]) -> Float[np.ndarray, "n d"] | Unreachable:
        """Return the joint positions along a line, from those at its first pose."""
        followed = [joints]
        for number, T_base_flange in enumerate(line.T_base_flange[1:], start=1):
            done = (number - 1) / (len(line.T_base_flange) - 1)
            where = f"{1e3 * done * line.length:.0f} mm into the {line.name}"
            progress = done / 2 + (0.5 if line.name == "lift" else 0.0)
            found = self._solver.solve(joints, T_base_flange, posture=joints, iterations=_STEP_ITERATIONS)
            if not self._fits(found):
                return Unreachable(f"{where} {self._shortfall(found, T_base_flange)[0]}", progress)
            jump = np.abs(found.joints - joints)
            if jump.max() > self._config.max_jump:
                joint, degrees = self._arm.joints[int(jump.argmax())], np.rad2deg(jump.max())
                return Unreachable(
                    f"{where} {joint} would have to turn by {degrees:.0f} degrees at once", progress
                )
            joints = found.joints
            followed.append(joints)
        return np.array(followed)

    def _checked(
        self, approach: Float[np.ndarray, "a d"], lift: Float[np.ndarray, "l d"]
    ) -> JointPath | Unreachable:
        """Return the path with its margins, unless a link collides."""
        margin, manipulability, clearance = np.inf, np.inf, np.inf
        low, high = self._arm.limits.T
        for name, phase in (("approach", approach), ("lift", lift)):
            for joints in phase:
                self._solver.move_to(joints)
                gaps = self._links.gaps(self._solver.data, self._around, self._config.clearance)
                tightest = min(gaps, key=lambda gap: gap.excess)
                if tightest.excess < 0:
                    return Unreachable(f"on the {name} {tightest.description}", 2 + tightest.excess)
                clearance = min(clearance, *(gap.distance for gap in gaps))
                margin = min(margin, float((joints - low).min()), float((high - joints).min()))
                manipulability = min(manipulability, self._solver.manipulability())
        return JointPath(self._arm.joints, approach, lift, margin, manipulability, clearance)

    def _fits(self, found: Solution) -> bool:
        near = found.position_error <= self._config.position_tolerance
        return near and found.angle_error <= self._config.angle_tolerance

    def _shortfall(self, found: Solution, T_base_flange: Float[np.ndarray, "4 4"]) -> tuple[str, float]:
        """Describe what keeps the flange from a pose, and return how much it is, metres."""
        iterations = self._config.iterations
        free = self._solver.solve(
            found.joints, T_base_flange, posture=found.joints, iterations=iterations, limited=False
        )
        if self._fits(free):
            low, high = self._arm.limits.T
            over = np.maximum(low - free.joints, free.joints - high) + self._config.limit_margin
            worst = int(over.argmax())
            if over[worst] > 0:
                degrees = np.rad2deg(over[worst])
                detail = f"{self._arm.joints[worst]} would pass its limit by {degrees:.0f} degrees"
                return detail, _LEVER * float(over[worst])
        far, turned = found.position_error, found.angle_error
        amounts = [f"{1e3 * far:.0f} mm"] if far > self._config.position_tolerance else []
        amounts += [f"{np.rad2deg(turned):.0f} degrees"] if turned > self._config.angle_tolerance else []
        return f"the gripper would be {' and '.join(amounts)} out of reach", far + _LEVER * turned


def _line(
    name: str,
    T_base_flange: Float[np.ndarray, "4 4"],
    start: Float[np.ndarray, "3"],
    end: Float[np.ndarray, "3"],
    step: float,
) -> _Line:
    """Return the poses between two offsets from a pose."""
    length = float(np.linalg.norm(end - start))
    poses = []
    for share in np.linspace(0.0, 1.0, max(round(length / step), 1) + 1):
        T = T_base_flange.copy()
        T[:3, 3] += start + share * (end - start)
        poses.append(T)
    return _Line(name, length, tuple(poses))
