"""Palm and fingers as boxes: distances of points to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from point2act.grasping.end_effector import load_end_effector
from point2act.grasping.grippers import load_gripper
from point2act.grasping.hands.load import load_hand
from point2act.grasping.learned.embodiment import embodiment_of
from point2act.grasping.learned.features import NUM_CONTEXT, NUM_TOUCH, context_of, touches, with_distances
from point2act.grasping.learned.parts import posed_parts


@pytest.mark.parametrize("name", ["allegro", "leap"])
def test_distances_to_a_hand_are_those_of_its_primitives(name: str):
    hand, rng = load_hand(name), np.random.default_rng(0)
    joints = rng.uniform(hand.joints.low, hand.joints.high, (3, len(hand.joints)))
    points = rng.uniform(-0.15, 0.15, (3, 50, 3))
    found = posed_parts(hand, joints).distances(torch.as_tensor(points, dtype=torch.float32))
    assert found.shape == (3, 50, embodiment_of(hand).parts)
    for one, own, distances in zip(joints, points, found.numpy(), strict=True):
        placed = hand.link_poses(one)[hand.primitives.link] @ hand.primitives.T_link_shape
        depth = hand.primitives.depth_inside(own + hand.grasp_center, placed)
        np.testing.assert_allclose(distances.min(axis=1), -depth, atol=1e-6)


def test_fingers_of_a_hand_are_distinguished():
    """The middle of a fingertip is in its own finger, and in no other."""
    hand = load_hand("allegro")
    shapes, poses = hand.primitives, hand.link_poses(hand.joints.rest)
    for finger in range(int(hand.fingers.max()) + 1):
        last = int(np.flatnonzero(hand.fingers[shapes.link] == finger)[-1])
        T = poses[shapes.link[last]] @ shapes.T_link_shape[last]
        point = torch.as_tensor(T[None, None, :3, 3] - hand.grasp_center, dtype=torch.float32)
        inside = posed_parts(hand, hand.joints.rest[None]).distances(point)[0, 0] < 0
        assert inside.tolist() == [number == finger + 1 for number in range(len(inside))]


@pytest.mark.parametrize("name", ["panda", "robotiq_2f85"])
def test_distances_to_a_gripper_distinguish_its_fingers_and_its_palm(name: str):
    gripper = load_gripper(name)
    widths = np.array([[0.02], [0.6 * gripper.max_width]])
    parts = posed_parts(gripper, widths)
    for row, width in enumerate(widths[:, 0]):
        fingers, body = gripper.fingers_at(width), gripper.body_at(width)
        half = len(fingers) // 2
        for number, boxes in enumerate((body, fingers[:half], fingers[half:])):
            points = torch.as_tensor(boxes.center[None], dtype=torch.float32).expand(2, -1, -1)
            assert (parts.distances(points)[row, :, number] < 0).all()
        middle = parts.distances(torch.zeros((2, 1, 3)))[row, 0]
        # The pads are half of the opening away, on both sides.
        torch.testing.assert_close(middle[1:], torch.full((2,), float(width) / 2), atol=1e-6, rtol=0)


def test_distances_are_scaled_and_end_where_they_do_not_matter():
    parts = posed_parts(load_gripper("panda"), np.array([[0.08]]))
    points = torch.zeros((1, 2, 9))
    points[0, 1, :3] = 30.0
    found = with_distances(points, parts)
    assert found.shape == (1, 2, 12)
    torch.testing.assert_close(found[0, 0, 10:], torch.full((2,), 0.8))
    assert found[0, 1, 9:].tolist() == [1.0, 1.0, 1.0]


def test_touches_are_means_over_the_objects_points_at_a_finger():
    """Two points at one pad, of which one is of a neighbour, and one far away."""
    points = torch.zeros((1, 4, 9))
    points[0, :, :3] = torch.tensor([[0.0, 0.4, 0.0], [0.02, 0.4, 0.0], [0.0, 0.4, 0.0], [9.0, 9.0, 9.0]])
    points[0, :, 4], points[0, :, 6] = 1.0, torch.tensor([1.0, 1.0, 0.0, 1.0])
    points[0, :2, 8] = torch.tensor([0.2, 0.6])
    found = touches(with_distances(points, posed_parts(load_gripper("panda"), np.array([[0.08]]))))
    assert found.shape == (1, 3 * NUM_TOUCH)
    means, total = found[0, :21].reshape(3, 7), found[0, 21:]
    assert total.tolist() == pytest.approx([0.0, 0.2, 0.0], abs=1e-6)
    torch.testing.assert_close(means[1], torch.tensor([0.01, 0.4, 0.0, 0.0, 1.0, 0.0, 0.4]))
    assert not means[[0, 2]].any()


def test_the_context_is_up_the_object_and_the_score():
    rng = np.random.default_rng(0)
    own = rng.uniform(-1, 1, (500, 3)) * [0.01, 0.02, 0.05] + [0.1, 0.0, 0.2]
    rows = np.zeros((600, 9))
    rows[:500, :3], rows[:500, 6] = own, 1.0
    rows[500:, :3] = 5.0
    turn = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    rotation = torch.as_tensor(np.stack([np.eye(3), turn]))
    found = context_of(
        torch.as_tensor(rows).expand(2, -1, -1),
        rotation,
        torch.zeros((2, 3)).double(),
        torch.tensor([0.3, 0.9]),
    )
    assert found.shape == (2, NUM_CONTEXT)
    torch.testing.assert_close(found[:, :3], torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]).double())
    middle = own.mean(axis=0)
    np.testing.assert_allclose(found[1, 3:6], 10 * middle @ turn)
    extents = np.sort(np.linalg.svd(own - middle, full_matrices=False)[1]) / np.sqrt(500)
    np.testing.assert_allclose(found[0, 6:9], 10 * extents, rtol=1e-6)
    assert found[:, 9].tolist() == pytest.approx([0.3, 0.9])
    nothing = context_of(torch.zeros((1, 4, 9)), torch.eye(3)[None], torch.zeros((1, 3)), torch.zeros(1))
    assert nothing.isfinite().all()


def test_every_effector_has_its_number_of_parts():
    for name, count in (("panda", 3), ("allegro", 5), ("leap", 5)):
        effector = load_end_effector(name)
        joints = np.zeros((1, len(embodiment_of(effector).low)))
        assert embodiment_of(effector).parts == count == len(posed_parts(effector, joints).part.unique())
