"""Training of the networks on a folder of shards."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from point2act.core.types import ProgressCallback
from point2act.grasp_learning.train_config import TrainConfig, Trained
from point2act.grasp_learning.trainer import EVALUATOR, FLOW, train
from point2act.grasping.learned.networks import EvaluatorConfig, FlowConfig, GraspEvaluator, GraspFlow


def train_evaluator(
    data: Path,
    output: Path,
    *,
    config: TrainConfig = TrainConfig(),
    network: EvaluatorConfig | None = None,
    progress: ProgressCallback | None = None,
) -> Trained:
    """Train the network that judges grasps, on all grasps of a folder of shards.

    The weights of the pass with the lowest loss on the held-out families are written, with the result as JSON
    and a model card. An interrupted call is resumed from its last pass by the same call.

    Args:
        data: Folder of shards, of one gripper or hand.
        output: Folder of the files to write.
        config: How it is trained.
        network: Sizes of the network; None for the usual ones.
        progress: Called with the number of steps done and of all steps.

    Raises:
        LearningError: The data cannot be read or trained on, or the output exists.
    """
    build = partial(GraspEvaluator, config=network or EvaluatorConfig())
    return train(EVALUATOR, build, data, output, config, progress)


def train_flow(
    data: Path,
    output: Path,
    *,
    config: TrainConfig = TrainConfig(),
    network: FlowConfig | None = None,
    progress: ProgressCallback | None = None,
) -> Trained:
    """Train the network that proposes grasps of a hand, on those grasps that lifted.

    Those that lifted by the part that was asked for count twice. Files and arguments are as for
    ``train_evaluator``.
    """
    return train(FLOW, partial(GraspFlow, config=network or FlowConfig()), data, output, config, progress)
