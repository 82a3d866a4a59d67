"""Options and results of training grasp networks. The command line reads its options here: no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from point2act.grasp_learning.ranking import Ranking
else:
    Ranking = Any


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
