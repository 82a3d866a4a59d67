"""Whether a capture gives the pose of the robot's base."""

from __future__ import annotations

from point2act.calibration.checks.findings import Evidence, Finding
from point2act.core.types import Capture


def check_base(capture: Capture) -> Evidence:
    """Report whether grasps can be given in the robot's base frame.

    Args:
        capture: A capture as it was read.
    """
    if capture.T_base_world is not None:
        return Evidence(fine="the robot's base frame")
    message = (
        "the pose of the robot's base is not given, so grasps are in the capture's frame alone: write "
        "'T_base_world', a 4x4 matrix from the capture's frame to the base, at the top of transforms.json"
    )
    return Evidence((Finding("remark", "base", message),))
