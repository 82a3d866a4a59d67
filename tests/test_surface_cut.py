"""Cuts through the surface at a gripper, and their pictures."""

import numpy as np
import pytest

from point2act.core.types import NearestMiss, NoAnswer
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.grippers import load_gripper
from point2act.grasping.surface_cut import cut_at
from point2act.visualization.drawing import draw_cut

GRIPPER = load_gripper("panda")


def half_solid() -> LocalVolume:
    """Return a cube that is free above z = 0, solid below it, and unobserved where y > 2 cm."""
    r, voxel = 91, 0.002
    axis = (np.arange(r) - (r - 1) / 2) * voxel
    heights = np.broadcast_to(axis, (r, r, r))
    observed = np.broadcast_to(axis[:, None] < 0.02, (r, r, r))
    up = np.array([0.0, 0.0, 1.0])
    tsdf = np.clip(heights, -0.004, 0.004)
    return LocalVolume(tsdf, observed, np.eye(4), voxel, 0.004, np.zeros((0, 3)), None, up)


def test_free_occupied_and_unknown_space_lie_where_the_volume_has_them_and_hits_are_red():
    pose = np.diag([1.0, -1.0, -1.0, 1.0])  # from above: y to the right is -y of the volume
    hits = np.array([[0.0, -0.045, -0.01]])
    failure = NoAnswer("all_collide", "", {}, NearestMiss(pose, 0.08, hits))
    cut = cut_at(half_solid(), (), failure, GRIPPER)
    assert cut is not None
    rows, columns = cut.free.shape
    right = slice(columns // 2, columns - 5)
    assert cut.free[10 : rows // 2 - 3, right].all()
    assert cut.occupied[rows // 2 + 3 : rows - 5, right].all()
    assert not (cut.free | cut.occupied)[:, 5 : columns // 2 - 25].any()
    assert not (cut.free & cut.occupied).any()
    picture = draw_cut(cut, GRIPPER, (0, 158, 115))
    at = 3 * (np.array([0.045, 0.01]) / cut.pixel + columns / 2)
    assert picture[round(at[1]), round(at[0])] == pytest.approx([230, 40, 40], abs=3)


def test_without_a_pose_there_is_no_cut():
    assert cut_at(half_solid(), (), NoAnswer("no_contact_pair", ""), GRIPPER) is None
