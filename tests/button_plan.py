"""A plan for the red button of the task ``press_button``, whose features are known instead of localized."""

from __future__ import annotations

import numpy as np

from point2act.acting.constraints.region_features import RegionFeatures
from point2act.acting.execution.preparation import PreparedTask
from point2act.acting.execution.scene_memory import TaskScene
from point2act.acting.execution.scenery import Scenery
from point2act.core.constraints import Above, Axis, AxisToAxis, Point
from point2act.core.geometry import transform_points
from point2act.core.types import OrientedBox, Plan, Query, Step, Target
from point2act.grasping.reachability.arm import Arm
from point2act.simulation import part_box
from point2act.simulation.task import Task


def button_scene(task: Task) -> TaskScene:
    """Return the true features of the red button in the base frame."""
    box, T = part_box(task.scene, "button"), task.scene.T_base_world
    center, up = transform_points(T, box.center), np.array([0.0, 0.0, 1.0])
    height = box.half_extents[2] * up
    points = {"center": center, "top": center + height, "bottom": center - height}
    features = RegionFeatures(points, {"up": up}, OrientedBox(center, np.eye(3), box.half_extents))
    return TaskScene(
        {"button": features}, {"button": "red button"}, {}, Scenery(), np.array([0.0, 0.0, 1.0, 0.0])
    )


def hold_over_button(task: Task) -> PreparedTask:
    """Return a plan that holds the gripper 0.1 m over the button, with points on its top, base frame."""
    scene = button_scene(task)
    top = scene.features["button"].points["top"]
    hold = Above(Point("gripper", "center"), Point("button", "top"), min_height=0.1, radius=0.02)
    down = AxisToAxis(Axis("gripper", "approach"), angle=float(np.pi))
    target = Target(Query("button", "the red button", "place"), "red button", None, "")
    plan = Plan("Hold the gripper over it.", (Step("hold", (target,), (hold, down)),))
    x, y = np.mgrid[-2:3, -2:3].reshape(2, -1) * 0.005
    return PreparedTask(plan, scene, {"button": top + np.stack([x, y, np.zeros(25)], axis=1)})


def assert_over_button(prepared: PreparedTask, arm: Arm, joints: np.ndarray) -> None:
    """Check that the gripper is where the plan has it."""
    gripper = arm.T_base_gripper(joints, arm.gripper.max_width)[:3, 3]
    above = gripper - prepared.scene.features["button"].points["top"]
    assert np.linalg.norm(above[:2]) < 0.03
    assert above[2] > 0.08
