"""How a joint path is searched, and what is reported where there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReachConfig:
    """When an arm reaches a grasp."""

    tries: int = 8
    """Postures to start from: the arm's home, then random ones. Of 100 poses that a Panda has at random joint
    positions the first finds 85, eight find 94; of 100 grasps over its table 97."""
    iterations: int = 40
    """Of inverse kinematics for each try."""
    step: float = 0.01
    """Distance between the positions of a path, metres."""
    max_jump: float = 0.2
    """No joint turns further than this within one step, radians: 2 rad/s, what a Panda's joints do, at
    10 cm/s."""
    position_tolerance: float = 0.001
    """From the straight line, metres."""
    angle_tolerance: float = 0.0175
    """From the grasp's orientation, radians: one degree."""
    limit_margin: float = 0.02
    """Kept from every joint limit, radians: about one degree."""
    clearance: float = 0.01
    """Links keep this far from the table and from what was seen, metres: five times the depth noise."""


@dataclass(frozen=True, eq=False)
class Unreachable:
    """Why there is no path."""

    detail: str
    """What is missing, in words."""
    nearness: float
    """Larger for nearer misses: below 0 by how much the start is out of reach, from 0 to 1 by how much of
    the way went well, about 2 where only a link is in the way."""
