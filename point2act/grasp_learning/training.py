"""Training of the networks on a folder of shards.

The command line reads its options here: torch is imported late.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point2act.core.types import ProgressCallback

if TYPE_CHECKING:
    from point2act.grasp_learning.ranking import Ranking
    from point2act.grasping.learned.networks import EvaluatorConfig, FlowConfig
else:
    Ranking = EvaluatorConfig = FlowConfig = Any


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained."""

    epochs: int = 40
    """Most passes over the grasps."""
    batch: int = 256
    """Grasps of a step."""
    learning_rate: float = 1e-3
    """Highest learning rate; it falls along a cosine."""
    weight_decay: float = 0.01
    """Weight decay of AdamW."""
    patience: int = 6
    """Passes without a lower loss on the held-out families after which training stops."""
    held_out: tuple[str, ...] = ()
    """Families of objects that are held out; by default a fifth of them, drawn with the seed."""
    max_points: int = 4096
    """Largest number of points of a cloud that is kept in memory."""
    # The noise of a fused surface, see BoundaryConfig.
    jitter: float = 0.001
    """Standard deviation of the noise on points in training, metres."""
    seed: int = 0
    """Seed of the first weights, of the order of the grasps, and of the noise."""
    device: str | None = None
    """Device: cuda, cuda:1, mps or cpu; by default cuda if available, else cpu."""


@dataclass(frozen=True)
class Trained:
    """A network that was trained."""

    kind: str
    effector: str
    weights: Path
    """File of the weights."""
    parameters: int
    """Number of weights."""
    regions: tuple[int, int]
    """Number of regions that were trained on, and that were held out."""
    grasps: tuple[int, int]
    """Number of grasps that were trained on, and that were held out."""
    families: tuple[str, ...]
    """Families of objects that were trained on."""
    held_out: tuple[str, ...]
    """Families of objects that were held out."""
    train_losses: tuple[float, ...]
    """Mean loss of each pass."""
    held_out_losses: tuple[float, ...]
    """Mean loss of the held-out families after each pass; empty without any."""
    best: int
    """Index of the pass whose weights are kept."""
    seconds: float
    lifted: Ranking | None = None
    """How the evaluator ranks held-out grasps by whether they lift; None for a flow, or without any."""
    by_part: Ranking | None = None
    """The same by whether they lift by the part, over regions where one was asked for."""


def weights_path(data: Path, output: Path, kind: str) -> Path:
    """Return the file that a training writes last: if it exists, all is done.

    Args:
        data: Folder of shards, of one gripper or hand.
        output: Folder of the files to write.
        kind: Kind of the network, evaluator or flow.

    Raises:
        LearningError: There are no shards, or the first one is damaged.
    """
    from point2act.grasp_learning.shards import read_shards
    from point2act.grasping.learned.weights import file_name

    return output / file_name(next(read_shards(data)).source.effector, kind)


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
    from point2act.grasp_learning.trainer import EVALUATOR, train
    from point2act.grasping.learned.networks import EvaluatorConfig, GraspEvaluator

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
    from point2act.grasp_learning.trainer import FLOW, train
    from point2act.grasping.learned.networks import FlowConfig, GraspFlow

    return train(FLOW, partial(GraspFlow, config=network or FlowConfig()), data, output, config, progress)
