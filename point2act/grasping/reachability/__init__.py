"""Reachability of grasps: inverse kinematics of an arm with mink, and collision-free joint paths.

This module needs neither MuJoCo nor mink, which are installed only where an arm is used.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReachConfig:
    """Search for the joint path of a grasp."""

    starts: int = 8
    """Number of start postures: the arm's home, then random ones."""
    # Of 100 poses that a Panda has at random joint positions the first finds 85, eight find 94; of 100 grasps
    # over its table 97.
    iterations: int = 40
    """Largest number of iterations of inverse kinematics from each start posture."""
    step: float = 0.01
    """Distance between the poses of a path, metres."""
    max_jump: float = 0.2
    """Largest rotation of a joint within one step, radians."""
    # 2 rad/s, the limit of a Panda's joints, at 10 cm/s.
    position_tolerance: float = 0.001
    """Largest distance from the straight path, metres."""
    angle_tolerance: float = 0.0175
    """Largest angle from the grasp's orientation, radians."""
    limit_margin: float = 0.02
    """Smallest distance to every joint limit, radians."""
    clearance: float = 0.01
    """Smallest distance of links to the table and to observed surfaces, metres."""
    # Five times the noise of depth.
