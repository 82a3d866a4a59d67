"""The palm and the fingers of grippers and hands as rounded boxes, and distances of points to them.

From these a network sees which finger touches where; from joint positions it would have to learn the
kinematics first.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from point2act.grasping.end_effector import EndEffector
from point2act.grasping.grippers import Gripper
from point2act.grasping.hands.hand import Hand


@dataclass(frozen=True, eq=False)
class PosedParts:
    """Rounded boxes of a gripper or a hand at the joint positions of many grasps."""

    rotation: Float[Tensor, "g p 3 3"]
    origin: Float[Tensor, "g p 3"]
    """Poses of the boxes along the axes of the gripper or palm, from where an object is to be, metres."""
    half: Float[Tensor, "p 3"]
    """Half the sides of each box inside the rounding, metres."""
    radius: Float[Tensor, " p"]
    """Radius of the rounding, metres."""
    part: Int[Tensor, " p"]
    """What each box belongs to: 0 for the palm, and the fingers from 1 on."""

    def to(self, device: torch.device) -> PosedParts:
        """Return the boxes on a device."""
        return PosedParts(*(getattr(self, one.name).to(device) for one in fields(self)))

    def only(self, rows: Int[Tensor, " b"]) -> PosedParts:
        """Return the boxes of some grasps."""
        return PosedParts(self.rotation[rows], self.origin[rows], self.half, self.radius, self.part)

    def distances(self, points: Float[Tensor, "g k 3"]) -> Float[Tensor, "g k n"]:
        """Return the signed distance of points to the palm and to each finger, metres.

        That to a box with half sides h, rounded by r, is ``|max(|x| - h, 0)| + min(max(|x| - h), 0) - r``,
        with x in the frame of the box.

        Args:
            points: Points of each grasp along the axes of the gripper or palm, from where an object is to be,
                metres.
        """
        local = torch.einsum("gkpi,gpij->gkpj", points[:, :, None] - self.origin[:, None], self.rotation)
        beyond = local.abs() - self.half
        distance = torch.relu(beyond).norm(dim=-1) + beyond.amax(dim=-1).clamp(max=0) - self.radius
        return torch.stack(
            [distance[..., self.part == one].amin(dim=-1) for one in self.part.unique()], dim=-1
        )


def posed_parts(effector: EndEffector, joints: Float[np.ndarray, "g j"]) -> PosedParts:
    """Return the boxes of a gripper or a hand.

    Args:
        effector: The gripper or hand.
        joints: Joint positions of each grasp, radians; the distance between a gripper's pads, metres.
    """
    if isinstance(effector, Hand):
        return _of_hand(effector, joints)
    return _of_gripper(effector, joints[:, 0])


def _of_hand(hand: Hand, joints: Float[np.ndarray, "g j"]) -> PosedParts:
    shapes = hand.primitives
    poses = [hand.link_poses(one)[shapes.link] @ shapes.T_link_shape for one in joints]
    placed = np.array(poses).reshape(-1, len(shapes), 4, 4)
    return PosedParts(
        _floats(placed[..., :3, :3]),
        _floats(placed[..., :3, 3] - hand.grasp_center),
        _floats(shapes.half),
        _floats(shapes.radius),
        torch.as_tensor(hand.fingers[shapes.link] + 1),
    )


def _of_gripper(gripper: Gripper, widths: Float[np.ndarray, " g"]) -> PosedParts:
    boxes = [gripper.boxes_at(float(width)) for width in widths]
    at_rest = gripper.boxes_at(0.0)
    count, fingers = len(at_rest), len(gripper.finger)
    centers = np.array([one.center for one in boxes]).reshape(-1, count, 3)
    part = np.repeat([1, 2, 0], [fingers, fingers, count - 2 * fingers])
    return PosedParts(
        torch.eye(3).expand(len(boxes), count, 3, 3),
        _floats(centers),
        _floats(at_rest.half),
        torch.zeros(count),
        torch.as_tensor(part),
    )


def _floats(values: np.ndarray) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)
