"""Forward kinematics of a hand in torch, for many grasps at once; differentiable.

Rotations are 6-D: two columns that are orthonormalised (Zhou et al., "On the continuity of rotation
representations in neural networks", CVPR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from point2act.grasping.hands.hand import Hand, surface_samples

# Points in a row: a fingertip has about as many.
_ROW = 16


@dataclass(frozen=True, eq=False)
class LinkPoints:
    """Points fixed to links, in rows of points of one link; ``mask`` is 0 where a row has fewer."""

    of_row: Float[Tensor, "r l"]
    """1 for the link of each row: a product with it is deterministic on every device."""
    position: Float[Tensor, "r k 3"]
    mask: Float[Tensor, "r k"]

    def at(
        self, rotations: Float[Tensor, "b l 3 3"], origins: Float[Tensor, "b l 3"]
    ) -> Float[Tensor, "b n 3"]:
        """Return all points at poses of the links, one row after another."""
        turns = torch.einsum("rl,blij->brij", self.of_row, rotations)
        placed = self.position @ turns.transpose(-1, -2) + (self.of_row @ origins)[:, :, None]
        return placed.flatten(1, 2)

    def least(self, values: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
        """Return the smallest of values at the points of each grasp."""
        return values.masked_fill(self.mask.flatten() == 0, torch.inf).amin(dim=1)


@dataclass(frozen=True, eq=False)
class Kinematics:
    """The numbers of a hand as tensors on one device, see ``kinematics_of``."""

    hand: Hand
    parent_rotation: Float[Tensor, "l 3 3"]
    parent_origin: Float[Tensor, "l 3"]
    """Poses of the links in their parents' frames."""
    cross: Float[Tensor, "l 3 3"]
    """Cross-product matrix of each link's joint axis; zero for a fixed link."""
    joint_of_link: Int[Tensor, " l"]
    """Index of each link's joint; any for a fixed link."""
    low: Float[Tensor, " j"]
    high: Float[Tensor, " j"]

    def link_poses(
        self,
        position: Float[Tensor, "b 3"],
        rotation: Float[Tensor, "b 3 3"],
        joints: Float[Tensor, "b j"],
    ) -> tuple[Float[Tensor, "b l 3 3"], Float[Tensor, "b l 3"]]:
        """Return rotations and origins of all links.

        Args:
            position: Origins of the palm frames, metres.
            rotation: Axes of the palm frames as columns.
            joints: Joint positions, radians.
        """
        angle = joints[:, self.joint_of_link][..., None, None]
        eye = torch.eye(3, dtype=joints.dtype, device=joints.device)
        turn = eye + torch.sin(angle) * self.cross + (1 - torch.cos(angle)) * (self.cross @ self.cross)
        local = self.parent_rotation @ turn
        rotations = [torch.empty(0)] * len(self.hand.links)
        origins = list(rotations)
        # All links of one level at once: a link for itself would take four times as many operations.
        for level in self.hand.levels:
            parents = self.hand.parent[level]
            if parents[0] < 0:
                above, at = rotation[:, None], position[:, None]
            else:
                above = torch.stack([rotations[parent] for parent in parents], dim=1)
                at = torch.stack([origins[parent] for parent in parents], dim=1)
            turned = above @ local[:, level]
            moved = at + (above @ self.parent_origin[level, :, None])[..., 0]
            for column, link in enumerate(level.tolist()):
                rotations[link], origins[link] = turned[:, column], moved[:, column]
        return torch.stack(rotations, dim=1), torch.stack(origins, dim=1)

    def points(
        self, link: Int[np.ndarray, " n"], position: Float[np.ndarray, "n 3"], *, width: int
    ) -> LinkPoints:
        """Return points of links, sorted by their links, as tensors with ``width`` points in a row."""
        rows = [
            (index, own[start : start + width])
            for index in range(len(self.hand.links))
            for own in [position[link == index]]
            for start in range(0, len(own), width)
        ]
        of_row = np.zeros((len(rows), len(self.hand.links)))
        places, mask = np.zeros((len(rows), width, 3)), np.zeros((len(rows), width))
        for row, (index, own) in enumerate(rows):
            of_row[row, index], places[row, : len(own)], mask[row, : len(own)] = 1.0, own, 1.0
        return LinkPoints(*(torch.as_tensor(values).to(self.low) for values in (of_row, places, mask)))

    def surface(self, spacing: float) -> LinkPoints:
        """Return points on the hand's surface, about ``spacing`` metres apart."""
        return self.points(*surface_samples(self.hand.primitives, spacing), width=_ROW)


def kinematics_of(hand: Hand, *, device: torch.device | str = "cpu", dtype: torch.dtype) -> Kinematics:
    """Return the kinematics of a hand with all numbers as tensors of a type on a device."""
    joint_of_link = np.zeros(len(hand.links), dtype=int)
    cross = np.zeros((len(hand.links), 3, 3))
    joint_of_link[hand.joints.link] = np.arange(len(hand.joints))
    cross[hand.joints.link] = np.cross(np.eye(3), hand.joints.axis[:, None])

    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=dtype, device=device)

    return Kinematics(
        hand,
        tensor(hand.T_parent_link[:, :3, :3]),
        tensor(hand.T_parent_link[:, :3, 3]),
        tensor(cross),
        torch.as_tensor(joint_of_link, device=device),
        tensor(hand.joints.low),
        tensor(hand.joints.high),
    )


def rotation_of(columns: Float[Tensor, "b 6"]) -> Float[Tensor, "b 3 3"]:
    """Return rotations from their first two columns, which need not be orthonormal (Gram-Schmidt)."""
    x = torch.nn.functional.normalize(columns[:, :3], dim=1)
    y = columns[:, 3:]
    y = torch.nn.functional.normalize(y - (x * y).sum(dim=1, keepdim=True) * x, dim=1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=2)
