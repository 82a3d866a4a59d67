"""Simulated tabletops in MuJoCo: scenes, captures by a wrist camera, recorded points, grasp trials, tasks."""

from point2act.physics.scene import Scene, load_scene, part_box
from point2act.physics.trial import FILM_RATE, Trial, TrialConfig, try_grasp
from point2act.simulation.arm import try_grasp_on_arm
from point2act.simulation.camera import PoseErrorConfig, WristConfig, wrist_camera
from point2act.simulation.pointing import CLEAN, HARD, TYPICAL, PointingConfig
from point2act.simulation.record import (
    CaptureConfig,
    capture_scene,
    captured_scene,
    true_poses,
    try_grasps_file,
)
from point2act.simulation.sensor import SensorConfig
from point2act.simulation.task import Success, Task, TaskMonitor, load_task, succeeded

__all__ = [
    "CLEAN",
    "FILM_RATE",
    "HARD",
    "TYPICAL",
    "CaptureConfig",
    "PointingConfig",
    "PoseErrorConfig",
    "Scene",
    "SensorConfig",
    "Success",
    "Task",
    "TaskMonitor",
    "Trial",
    "TrialConfig",
    "WristConfig",
    "capture_scene",
    "captured_scene",
    "load_scene",
    "load_task",
    "part_box",
    "succeeded",
    "true_poses",
    "try_grasp",
    "try_grasp_on_arm",
    "try_grasps_file",
    "wrist_camera",
]
