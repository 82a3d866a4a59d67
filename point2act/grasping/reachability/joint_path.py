"""A joint path for one grasp: straight to it, and straight up with it; or why the arm cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import invert
from point2act.core.types import JointPath
from point2act.grasping.reachability.arm import Arm
from point2act.grasping.reachability.clearance import Surroundings, find_links
from point2act.grasping.reachability.ik import Solution, Solver
from point2act.grasping.reachability.path import ReachConfig, Unreachable

_HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
"""About the approach: the same gripper with its fingers exchanged."""
_LEVER = 0.2
"""What counts as much as a radian, metres: about a gripper's length."""
_FOLLOWING = 8
"""Iterations from one step of a line to the next; two are enough but near limits and singularities."""


def find_path(
    arm: Arm,
    T_base_gripper: Float[np.ndarray, "4 4"],
    *,
    opening: float,
    approach: float,
    lift_base: Float[np.ndarray, "3"],
    around: Surroundings = Surroundings(),
    config: ReachConfig = ReachConfig(),
    rng: np.random.Generator,
) -> JointPath | Unreachable:
    """A path along the last ``approach`` metres of a grasp's own +z, and from there along ``lift_base``.

    Grasp, lift (metres) and surroundings are in the arm's base frame; ``opening`` is the distance of the
    pads when they hold. Turned by half about its approach a parallel gripper is the same, so both are
    tried, and of two paths the one further from its joint limits is taken. Differential inverse kinematics
    from several postures finds the start; from there the straight lines are followed in small steps.
    """
    return Reach(arm, around, config).find(
        T_base_gripper, opening=opening, approach=approach, lift_base=lift_base, rng=rng
    )


@dataclass(frozen=True, eq=False)
class _Line:
    """A straight way of the flange, as poses a step apart."""

    name: str
    length: float
    T_base_flange: tuple[Float[np.ndarray, "4 4"], ...]


class Reach:
    """Paths of one arm in one place; keeps what they share."""

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
        """See ``find_path``."""
        T_gripper_flange = invert(self._arm.T_flange_gripper(opening))
        back = -approach * T_base_gripper[:3, 2]
        ways = []
        for turn in (np.eye(4), _HALF_TURN):
            T_base_flange = T_base_gripper @ turn @ T_gripper_flange
            to = _line("approach", T_base_flange, back, np.zeros(3), self._config.step)
            up = _line("lift", T_base_flange, np.zeros(3), lift_base, self._config.step)
            ways.append((to, up))
        misses: list[Unreachable] = []
        for start in self._starts(rng):
            outcomes = [self._along(to, up, start) for to, up in ways]
            paths = [outcome for outcome in outcomes if isinstance(outcome, JointPath)]
            if paths:
                return max(paths, key=lambda path: path.limit_margin)
            misses += [outcome for outcome in outcomes if isinstance(outcome, Unreachable)]
        return max(misses, key=lambda miss: miss.nearness)

    def _starts(self, rng: np.random.Generator) -> Iterator[Float[np.ndarray, " d"]]:
        """Postures to start from."""
        yield self._arm.home
        for _ in range(self._config.tries - 1):
            yield rng.uniform(self._arm.limits[:, 0], self._arm.limits[:, 1])

    def _along(self, to: _Line, up: _Line, start: Float[np.ndarray, " d"]) -> JointPath | Unreachable:
        """The path from one posture."""
        first = to.T_base_flange[0]
        found = self._solver.solve(start, first, posture=self._arm.home, iterations=self._config.iterations)
        if not self._fits(found):
            detail, short = self._shortfall(found, first)
            return Unreachable(f"at the start of the approach {detail}", -short)
        approach = self._follow(to, found.joints)
        if isinstance(approach, Unreachable):
            return approach
        lift = self._follow(up, approach[-1])
        return lift if isinstance(lift, Unreachable) else self._judged(approach, lift)

    def _follow(self, line: _Line, joints: Float[np.ndarray, " d"]) -> Float[np.ndarray, "n d"] | Unreachable:
        """Joint positions along a line, from those at its first pose."""
        followed = [joints]
        for number, T_base_flange in enumerate(line.T_base_flange[1:], start=1):
            done = (number - 1) / (len(line.T_base_flange) - 1)
            where = f"{1e3 * done * line.length:.0f} mm into the {line.name}"
            nearness = done / 2 + (0.5 if line.name == "lift" else 0.0)
            found = self._solver.solve(joints, T_base_flange, posture=joints, iterations=_FOLLOWING)
            if not self._fits(found):
                return Unreachable(f"{where} {self._shortfall(found, T_base_flange)[0]}", nearness)
            turned = np.abs(found.joints - joints)
            if turned.max() > self._config.max_jump:
                joint = self._arm.joints[int(turned.argmax())]
                return Unreachable(
                    f"{where} {joint} would have to turn by {np.rad2deg(turned.max()):.0f} degrees at once",
                    nearness,
                )
            joints = found.joints
            followed.append(joints)
        return np.array(followed)

    def _judged(
        self, approach: Float[np.ndarray, "a d"], lift: Float[np.ndarray, "l d"]
    ) -> JointPath | Unreachable:
        """The path, unless a link meets something on it."""
        margin, manipulability, clearance = np.inf, np.inf, np.inf
        low, high = self._arm.limits.T
        for name, phase in (("approach", approach), ("lift", lift)):
            for joints in phase:
                self._solver.visit(joints)
                gaps = self._links.gaps(self._solver.data, self._around, self._config.clearance)
                tightest = min(gaps, key=lambda gap: gap.spare)
                if tightest.spare < 0:
                    return Unreachable(f"on the {name} {tightest.words}", 2 + tightest.spare)
                clearance = min(clearance, *(gap.distance for gap in gaps))
                margin = min(margin, float((joints - low).min()), float((high - joints).min()))
                manipulability = min(manipulability, self._solver.manipulability())
        return JointPath(self._arm.joints, approach, lift, margin, manipulability, clearance)

    def _fits(self, found: Solution) -> bool:
        config = self._config
        return (
            found.position_error <= config.position_tolerance and found.angle_error <= config.angle_tolerance
        )

    def _shortfall(self, found: Solution, T_base_flange: Float[np.ndarray, "4 4"]) -> tuple[str, float]:
        """What keeps the flange from a pose, in words, and how much it is, metres."""
        free = self._solver.solve(
            found.joints,
            T_base_flange,
            posture=found.joints,
            iterations=self._config.iterations,
            limited=False,
        )
        if self._fits(free):
            low, high = self._arm.limits.T
            over = np.maximum(low - free.joints, free.joints - high) + self._config.limit_margin
            worst = int(over.argmax())
            if over[worst] > 0:
                degrees = np.rad2deg(over[worst])
                words = f"{self._arm.joints[worst]} would pass its limit by {degrees:.0f} degrees"
                return words, _LEVER * float(over[worst])
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
    """Poses between two offsets from a pose."""
    length = float(np.linalg.norm(end - start))
    poses = []
    for share in np.linspace(0.0, 1.0, max(round(length / step), 1) + 1):
        T = T_base_flange.copy()
        T[:3, 3] += start + share * (end - start)
        poses.append(T)
    return _Line(name, length, tuple(poses))
