"""Losses of the networks on examples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from point2act.grasp_learning.examples import Examples
from point2act.grasping.learned.embodiment import Embodiment
from point2act.grasping.learned.features import (
    SCALE,
    about_vertical,
    context_of,
    facing,
    points_near,
    with_distances,
)
from point2act.grasping.learned.networks import GraspEvaluator, GraspFlow, grasp_vectors

# Times and noises for each grasp of a step: encoding its cloud takes twenty times as long. Chosen.
_DRAWS = 4
# Standard deviations of the place that a grasp is seen from in training, metres, and of the direction there,
# radians: where an object is nearly round ``facing`` is uncertain. Chosen.
_SHIFT = 0.005
_TURN = 0.2


@dataclass(frozen=True, eq=False)
class EvaluatorLoss:
    """Binary cross-entropy of all labels."""

    examples: Examples
    jitter: float
    """Standard deviation of the noise on points in training, metres."""

    def __call__(
        self, network: GraspEvaluator, rows: Int[Tensor, " b"], generator: torch.Generator, *, augment: bool
    ) -> Float[Tensor, ""]:
        """Return the mean loss of some examples.

        Args:
            network: The network.
            rows: Indices of the examples.
            generator: Draws the points, and the noise on them.
            augment: Whether there is noise, and whether grippers that are symmetric turn by half a turn.
        """
        of, sizes = self.examples, network.config
        poses = of.poses[rows]
        rotation = poses[:, :3, :3]
        origin = poses[:, :3, 3] + rotation @ poses.new_tensor(network.embodiment.center)
        if augment and network.embodiment.symmetric:
            rotation = rotation * _half_turns(len(rows), generator)
        clouds = of.clouds[of.region[rows]]
        points = points_near(
            clouds, rotation, origin, _keys(clouds, generator), radius=sizes.radius, count=sizes.num_points
        )
        if augment:
            points = _with_noise(points, self.jitter, generator)
        context = context_of(clouds, rotation, origin, of.scores[rows])
        logits = network(with_distances(points, of.parts.only(rows)), context)
        return nn.functional.binary_cross_entropy_with_logits(logits, of.labels[rows])


@dataclass(frozen=True, eq=False)
class FlowLoss:
    """Squared error of the velocity on straight paths from noise to grasps (conditional flow matching)."""

    examples: Examples
    jitter: float
    """Standard deviation of the noise on points in training, metres."""

    def __call__(
        self, network: GraspFlow, rows: Int[Tensor, " b"], generator: torch.Generator, *, augment: bool
    ) -> Float[Tensor, ""]:
        """Return the mean loss of some examples.

        Args:
            network: The network.
            rows: Indices of the examples.
            generator: Draws the points, times and noise.
            augment: Whether clouds and grasps move and turn about the vertical together, with noise on the
                points.
        """
        of, sizes = self.examples, network.config
        clouds, poses = of.clouds[of.region[rows]], of.poses[rows]
        origin = nearest_own(clouds, poses, network.embodiment)
        origin = origin + augment * _SHIFT * torch.randn(
            origin.shape, generator=generator, device=origin.device
        )
        frame = facing(clouds, origin) @ _turns(len(rows), generator, augment).to(clouds)
        points = points_near(
            clouds, frame, origin, _keys(clouds, generator), radius=sizes.radius, count=sizes.num_points
        )
        if augment:
            points = _with_noise(points, self.jitter, generator)
        position = ((poses[:, :3, 3] - origin)[:, None] @ frame)[:, 0]
        columns = (frame.transpose(1, 2) @ poses[:, :3, :2]).transpose(1, 2).flatten(1)
        grasps = grasp_vectors(network.embodiment, position, columns, of.joints[rows])
        grasps = grasps.repeat_interleave(_DRAWS, dim=0)
        noise = torch.randn(grasps.shape, generator=generator, device=grasps.device)
        time = torch.rand(len(grasps), generator=generator, device=grasps.device)
        between = torch.lerp(noise, grasps, time[:, None])
        velocity = network(between, time, network.encode(points).repeat_interleave(_DRAWS, dim=0))
        return nn.functional.mse_loss(velocity, grasps - noise)


def nearest_own(
    clouds: Float[Tensor, "b m 9"], poses: Float[Tensor, "b 4 4"], embodiment: Embodiment
) -> Float[Tensor, "b 3"]:
    """Return the point of the object that is nearest to where it is to be in each hand."""
    center = poses[:, :3, 3] + poses[:, :3, :3] @ poses.new_tensor(embodiment.center)
    distance = (clouds[..., :3] - center[:, None]).norm(dim=-1)
    nearest = distance.masked_fill(clouds[..., 6] == 0, torch.inf).argmin(dim=1)
    return clouds[torch.arange(len(clouds), device=clouds.device), nearest, :3]


def _keys(clouds: Float[Tensor, "b m 9"], generator: torch.Generator) -> Float[Tensor, "b m"]:
    return torch.rand(clouds.shape[:2], generator=generator, device=clouds.device)


def _with_noise(
    points: Float[Tensor, "b k 9"], jitter: float, generator: torch.Generator
) -> Float[Tensor, "b k 9"]:
    """Return points with normal noise on their positions."""
    noise = torch.randn(points[..., :3].shape, generator=generator, device=points.device)
    return torch.cat([points[..., :3] + jitter / SCALE * noise, points[..., 3:]], dim=-1)


def _half_turns(count: int, generator: torch.Generator) -> Float[Tensor, "b 1 3"]:
    """Return signs of the axes, for half a turn about z or none, at random."""
    sign = 1 - 2 * torch.randint(2, (count, 1, 1), generator=generator, device=generator.device)
    return torch.cat([sign, sign, torch.ones_like(sign)], dim=2).float()


def _turns(count: int, generator: torch.Generator, augment: bool) -> Float[Tensor, "b 3 3"]:
    """Return turns about z by half a turn or none, and a little; without augmentation, none."""
    half = math.pi * torch.randint(2, (count,), generator=generator, device=generator.device)
    little = _TURN * torch.randn(count, generator=generator, device=generator.device)
    return about_vertical((half + little) * augment)
