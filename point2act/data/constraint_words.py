"""Constraints in words, for people."""

from __future__ import annotations

import math

from point2act.core.constraints import (
    Above,
    ArcPath,
    Axis,
    AxisToAxis,
    Constraint,
    GripperWidth,
    Height,
    KeepAway,
    KeepGrasp,
    KeepUpright,
    LinePath,
    Point,
    PointToPoint,
)


def in_words(constraint: Constraint) -> str:
    """Return what a constraint demands, in a few words; lengths in metres and angles in degrees."""
    match constraint:
        case PointToPoint():
            return f"{constraint.point} {_place(constraint.target, constraint.distance, constraint.along)}"
        case LinePath():
            end = _place(constraint.target, constraint.distance, constraint.along)
            return f"{constraint.point} on a line to where it is {end}"
        case AxisToAxis():
            return f"{constraint.axis} at {_degrees(constraint.angle)} to {constraint.target}"
        case Height():
            return f"{constraint.point} {_limits(constraint)} above {constraint.target}"
        case Above():
            radius, height = _metres(constraint.radius), _metres(constraint.min_height)
            return (
                f"{constraint.point} over {constraint.target}, within {radius} and at least {height} above it"
            )
        case KeepAway():
            return f"{constraint.point} at least {_metres(constraint.distance)} from {constraint.region}"
        case KeepUpright():
            return f"{constraint.axis} tilted by at most {_degrees(constraint.max_angle)}"
        case KeepGrasp():
            return f"{constraint.query} in the gripper"
        case ArcPath():
            return f"{constraint.point} on a circle about {constraint.center}, around {constraint.axis}"
        case GripperWidth():
            return f"gripper open by {_metres(constraint.width)}" if constraint.width else "gripper closed"
    raise TypeError(f"{type(constraint).__name__} is not of a known kind")


def _place(target: Point, distance: float, along: Axis) -> str:
    return f"{_metres(distance)} from {target} along {along}" if distance else f"at {target}"


def _limits(height: Height) -> str:
    low, high = height.min_height, height.max_height
    if low is None or high is None:
        return f"at most {_metres(high)}" if high is not None else f"at least {_metres(low or 0.0)}"
    return f"{low:g} to {_metres(high)}"


def _metres(length: float) -> str:
    return f"{length:g} m"


def _degrees(angle: float) -> str:
    return f"{math.degrees(angle):.3g}°"
