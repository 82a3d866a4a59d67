"""Networks that judge and propose grasps on a local cloud.

Clouds are encoded as in PointNet (Qi et al., CVPR 2017): one small network for every point, and the maximum
over all points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from point2act.grasping.learned.embodiment import Embodiment
from point2act.grasping.learned.features import NUM_CONTEXT, NUM_FEATURES, NUM_TOUCH, SCALE, touches

LABELS = ("free", "lifted", "shaken", "by_part")
"""What the evaluator predicts of a grasp, see ``LabelledGrasps``."""


@dataclass(frozen=True)
class EvaluatorConfig:
    """Sizes of the evaluator."""

    # Sizes chosen such that two cores train it in an hour or two.
    num_points: int = 384
    """Points around the centre of the gripper or hand."""
    radius: float = 0.12
    """Distance from the centre up to which they are drawn, metres: fingers reach as far."""
    encoder: tuple[int, ...] = (64, 128, 512)
    """Widths of the layers for every point."""
    head: tuple[int, ...] = (512, 256)
    """Widths of the layers behind the maximum."""


@dataclass(frozen=True)
class FlowConfig:
    """Sizes of the network that proposes grasps."""

    num_points: int = 256
    """Points around the place on the object that grasps are proposed for."""
    radius: float = 0.12
    """Distance from the place up to which they are drawn, metres: fingers reach as far."""
    encoder: tuple[int, ...] = (64, 128, 256)
    """Widths of the layers for every point."""
    code: int = 256
    """Numbers that describe the cloud."""
    width: int = 320
    """Width of the blocks."""
    blocks: int = 4
    """Number of residual blocks."""
    time_features: int = 32
    """Sines and cosines of the time."""


class GraspEvaluator(nn.Module):
    """Predicts whether grasps hold, from the points around the gripper in its own frame.

    Of a pose only the upward direction is an input as well: a cloud and its grasps can be moved together, and
    turned about the vertical. The planner's score is one of the inputs.
    """

    kind: ClassVar[str] = "evaluator"
    config_type: ClassVar[type] = EvaluatorConfig

    def __init__(self, embodiment: Embodiment, config: EvaluatorConfig = EvaluatorConfig()):
        """Draw random weights for a gripper or a hand."""
        super().__init__()
        self.embodiment, self.config = embodiment, config
        self.encoder = _layers([NUM_FEATURES + embodiment.parts, *config.encoder])
        width = config.encoder[-1] + NUM_CONTEXT + NUM_TOUCH * embodiment.parts
        self.head = _layers([width, *config.head])
        self.output = nn.Linear(config.head[-1], len(LABELS))

    def forward(self, points: Float[Tensor, "b k f"], context: Float[Tensor, "b 10"]) -> Float[Tensor, "b 4"]:
        """Return a logit for each of ``LABELS``.

        Args:
            points: Points in the gripper's frame, see ``with_distances``.
            context: See ``context_of``.
        """
        code = self.encoder(points).amax(dim=1)
        return self.output(self.head(torch.cat([code, context, touches(points)], dim=1)))


class GraspFlow(nn.Module):
    """Velocity of a flow from normal noise to the grasps of a cloud.

    Its paths are straight (Lipman et al., "Flow matching for generative modeling", ICLR 2023).

    A grasp is a vector: position of the palm over ``SCALE``, the first two columns of its rotation, and the
    joints scaled to [-1, 1], relative to a place on the object in a frame that ``facing`` finds, z up.
    """

    kind: ClassVar[str] = "flow"
    config_type: ClassVar[type] = FlowConfig

    def __init__(self, embodiment: Embodiment, config: FlowConfig = FlowConfig()):
        """Draw random weights for a hand."""
        super().__init__()
        self.embodiment, self.config = embodiment, config
        self.size = 9 + len(embodiment.low)
        self.encoder = _layers([NUM_FEATURES, *config.encoder])
        self.describe = nn.Linear(config.encoder[-1], config.code)
        self.input = nn.Linear(self.size, config.width)
        condition = config.code + config.time_features
        self.blocks = nn.ModuleList(_ModulatedBlock(config.width, condition) for _ in range(config.blocks))
        self.output = nn.Linear(config.width, self.size)

    def encode(self, points: Float[Tensor, "b k 9"]) -> Float[Tensor, "b c"]:
        """Describe clouds of points around places on objects, see ``points_near``."""
        return self.describe(self.encoder(points).amax(dim=1))

    def forward(
        self, grasps: Float[Tensor, "b d"], time: Float[Tensor, " b"], code: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b d"]:
        """Return the velocity of grasps at times in [0, 1], given the clouds."""
        condition = torch.cat([code, _waves(time, self.config.time_features)], dim=1)
        hidden = self.input(grasps)
        for block in self.blocks:
            hidden = block(hidden, condition)
        return self.output(hidden)

    def sample(
        self, code: Float[Tensor, "b c"], noise: Float[Tensor, "b d"], *, steps: int
    ) -> Float[Tensor, "b d"]:
        """Follow the flow from noise to grasps, by Euler's method."""
        grasps = noise
        for step in range(steps):
            time = torch.full_like(grasps[:, 0], step / steps)
            grasps = grasps + self(grasps, time, code) / steps
        return grasps


def grasp_vectors(
    embodiment: Embodiment,
    position: Float[Tensor, "b 3"],
    columns: Float[Tensor, "b 6"],
    joints: Float[Tensor, "b j"],
) -> Float[Tensor, "b d"]:
    """Return grasps as the vectors of ``GraspFlow``."""
    return torch.cat([position / SCALE, columns, scale_joints(embodiment, joints)], dim=1)


def scale_joints(embodiment: Embodiment, joints: Float[Tensor, "b j"]) -> Float[Tensor, "b j"]:
    """Scale joint positions within their limits to [-1, 1]."""
    low, high = joints.new_tensor(embodiment.low), joints.new_tensor(embodiment.high)
    return 2 * (joints - low) / (high - low) - 1


def unscale_joints(embodiment: Embodiment, scaled: Float[Tensor, "b j"]) -> Float[Tensor, "b j"]:
    """Return joint positions within their limits of scaled ones."""
    low, high = scaled.new_tensor(embodiment.low), scaled.new_tensor(embodiment.high)
    return torch.lerp(low, high, (scaled.clamp(-1, 1) + 1) / 2)


class _ModulatedBlock(nn.Module):
    """Residual block whose features a condition scales and shifts (FiLM, Perez et al., AAAI 2018)."""

    def __init__(self, width: int, condition: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(condition, 2 * width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, hidden: Float[Tensor, "b w"], condition: Float[Tensor, "b c"]) -> Float[Tensor, "b w"]:
        """Return the features with what the block adds."""
        scale, shift = self.modulation(condition).chunk(2, dim=1)
        return hidden + self.layers((1 + scale) * self.norm(hidden) + shift)


def _layers(widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers, each followed by a rectifier."""
    pairs = [(nn.Linear(first, second), nn.ReLU()) for first, second in pairwise(widths)]
    return nn.Sequential(*(layer for pair in pairs for layer in pair))


def _waves(time: Float[Tensor, " b"], count: int) -> Float[Tensor, "b t"]:
    """Return sines and cosines of times in [0, 1], with periods from 4 down to 1/32."""
    rates = 0.5 * math.pi * torch.logspace(0, 7, count // 2, base=2.0, device=time.device)
    return torch.cat([torch.sin(time[:, None] * rates), torch.cos(time[:, None] * rates)], dim=1)
