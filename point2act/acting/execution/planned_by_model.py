"""A simulated scene with a model of one's own: it plans an instruction, points, and is asked again."""

from __future__ import annotations

import tempfile

import numpy as np

from point2act.acting.execution.preparation import PreparedTask, acting_config, prepare
from point2act.core.progress import Stages
from point2act.data.capture import read_capture
from point2act.grasping.grippers import Gripper
from point2act.physics.scene import Scene
from point2act.pipeline.run import place
from point2act.simulation.record import CaptureConfig, capture_scene
from point2act.vlm.clients.factory import OpenModel
from point2act.vlm.pointing.constraint_planner import plan_constraints
from point2act.vlm.pointing.questions import AskConfig, ask, questions_for
from point2act.vlm.pointing.task_planner import plan, scene_images


def prepare_by_model(
    scene: Scene,
    instruction: str,
    opened: OpenModel,
    gripper: Gripper,
    *,
    stages: Stages | None = None,
    seed: int = 0,
) -> PreparedTask:
    """Capture a scene, have a model plan an instruction and point in every image, and locate what it names.

    Args:
        scene: The settled scene; of what its queries mean nothing is used.
        instruction: What to do, such as "Press the red button.".
        opened: The model, with the cache of its replies.
        gripper: The gripper to plan for.
        stages: Where progress is reported; by default it is not shown.
        seed: Seed of the noise of images.

    Raises:
        ModelError: The model does not answer.
        ReplyError: Its replies are not a plan.
        PlanError: Something of the plan is not found, or has no grasp.
    """
    stages = stages or Stages(show=False)
    with tempfile.TemporaryDirectory() as folder:
        with stages.stage("capture the scene"):
            capture_scene(scene, folder, CaptureConfig(), np.random.default_rng([seed, 1]))
        capture = read_capture(folder)
        with stages.stage("plan"):
            images = scene_images(capture)
            made = plan(
                opened.client, instruction, model_name=opened.model.model, images=images, cache=opened.cache
            )
            made = plan_constraints(opened.client, made, images=images, cache=opened.cache)
        answers = ask(
            capture, questions_for(opened, made.queries, config=AskConfig(), plan=made), stages=stages
        )
        with stages.stage("find what the plan names"):
            return prepare(place(folder), answers.points, made, gripper, acting_config(gripper.name))
