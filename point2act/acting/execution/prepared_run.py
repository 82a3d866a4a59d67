"""A prepared task on any robot: perception beside the control loop, and the plan stage after stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from point2act.acting.execution.asking import Ask
from point2act.acting.execution.executor import ExecutionConfig, Executor, Outcome
from point2act.acting.execution.perception import BesideControl, Perception
from point2act.acting.execution.preparation import PreparedTask
from point2act.acting.execution.relocation import locate_again
from point2act.acting.execution.robot import Robot
from point2act.acting.execution.timeline import NoObserver, Observer
from point2act.core.types import OrientedBox
from point2act.grasping.reachability.arm import Arm


@dataclass(frozen=True)
class RunConfig:
    """A run on a robot."""

    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    tracking_period: float = 0.2
    """Time between images of the camera, seconds."""
    latency: float = 0.15
    """Time from an image to its use, seconds, where the robot's clock does not run on by itself."""
    keep_out: tuple[OrientedBox, ...] = ()
    """Boxes that the middle of the gripper never enters, base frame."""


def run_prepared(
    robot: Robot,
    arm: Arm,
    prepared: PreparedTask,
    perception: Perception,
    config: RunConfig,
    rng: np.random.Generator,
    reask: Ask | None = None,
    observer: Observer = NoObserver(),
) -> Outcome:
    """Carry out a prepared plan; the robot holds still at the end.

    Args:
        robot: The robot, at rest.
        arm: Its arm with the gripper.
        prepared: The plan with the scene that it acts on.
        perception: Follows the things.
        config: All options.
        rng: Draws start postures.
        reask: Asks a pointing model again while the plan runs, see ``Inquiry``; None to ask nothing.
        observer: Follows the run while it lasts.
    """
    beside = BesideControl(
        perception, period=config.tracking_period, latency=config.latency, real_time=robot.real_time
    )
    executor = Executor(
        robot,
        arm,
        prepared.scene,
        beside,
        keep_out=config.keep_out,
        reask=reask,
        locate=partial(locate_again, prepared),
        observer=observer,
        config=config.execution,
        rng=rng,
    )
    return executor.run(prepared.plan)
