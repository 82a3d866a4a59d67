"""The control loop: what reaches the robot stays inside its limits."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mink", reason="control needs mink: pip install point2act[act]")
pytest.importorskip("ruckig")

from point2act.acting.execution.control_loop import ControlLoop, LoopConfig
from point2act.acting.execution.perception import BesideControl, Unchanging
from point2act.acting.execution.robot import RobotState
from point2act.acting.execution.scene_memory import SceneMemory, TaskScene
from point2act.acting.execution.timeline import NoObserver
from point2act.core.types import Camera, View
from point2act.grasping.grippers import load_gripper
from point2act.grasping.reachability.arm import load_arm

ARM = load_arm("panda", load_gripper("panda"))


class Obedient:
    """A robot that is at once where it is commanded to be."""

    period, real_time = 0.01, False

    def __init__(self, joints: np.ndarray):
        self.joints, self.time = joints, 0.0

    def state(self) -> RobotState:
        return RobotState(self.time, self.joints, 0.08, 0.0)

    def command(self, joints: np.ndarray, width: float) -> None:
        self.joints, self.time = joints, self.time + self.period

    def view(self) -> View:
        camera = Camera(50.0, 50.0, 4.0, 3.0, 6, 8)
        return View("camera", camera, np.eye(4), np.zeros((6, 8, 3), np.uint8), np.ones((6, 8), np.float32))

    def stop(self) -> None:
        pass


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("joint", range(7))
def test_commands_keep_off_the_limits_of_position(joint: int, sign: float):
    """A joint swings about its command: at the limit it would pass it."""
    robot = Obedient(ARM.home)
    beside = BesideControl(Unchanging(()), period=0.2, latency=0.1, real_time=False)
    loop = ControlLoop(robot, ARM, SceneMemory(TaskScene({}, {}, {})), beside, (), NoObserver(), LoopConfig())
    velocity = np.zeros(7)
    velocity[joint] = sign * ARM.velocity[joint]
    for _ in range(400):
        loop.sense()
        loop.send(velocity)
    loop.close()
    low, high = ARM.limits.T
    reached = (robot.joints - low)[joint] if sign < 0 else (high - robot.joints)[joint]
    assert reached == pytest.approx(0.005, abs=1e-6)
    assert loop.violations == 0
