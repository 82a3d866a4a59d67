"""Selection and alignment of the views of a region: good poses stay, wrong ones are corrected or left out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import reference_grasps as ref
from scipy.spatial.transform import Rotation

from point2act.core.errors import SceneError
from point2act.core.geometry import invert, transform_points
from point2act.core.types import View
from point2act.grasping.registration import AlignmentConfig, align_views

CENTER = np.array([0.1, 0.05, 0.06])
SOLIDS = [
    ref.FLOOR,
    ref.Solid("box", (0.02, 0.03, 0.04), ref.at(0.1, 0.05, 0.04, yaw=0.3)),
    ref.Solid("cylinder", (0.02, 0.05), ref.at(0.19, 0.0, 0.05)),
    ref.Solid("sphere", (0.03,), ref.at(0.03, 0.12, 0.03)),
]
POSES = ref.ring(CENTER, 6, arc=2.0)


def moved(view: View, distance: float, angle: float) -> View:
    """A view whose pose is off, turned about the action point."""
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(angle * np.array([0.6, 0.0, 0.8])).as_matrix()
    T[:3, 3] = CENTER - T[:3, :3] @ CENTER + distance * np.array([0.0, 0.8, 0.6])
    return dataclasses.replace(view, T_world_cam=T @ view.T_world_cam)


def pose_error(view: View, true: View) -> float:
    """How far the action point is from where the true pose has it, metres."""
    in_camera = transform_points(invert(view.T_world_cam), CENTER[None])
    return float(np.linalg.norm(transform_points(true.T_world_cam, in_camera) - CENTER))


def test_good_poses_stay_and_the_nearest_view_comes_first():
    near = ref.ring(CENTER, 1, radius=0.3, heights=(0.2,))
    views, depths = ref.capture(SOLIDS, [*POSES, *near], noise=0.001)
    aligned = align_views(views, depths, CENTER)
    assert aligned.indices[0] == len(POSES)
    assert sorted(aligned.indices) == list(range(len(views)))
    assert aligned.left_out == ()
    for index, view in zip(aligned.indices, aligned.views, strict=True):
        assert np.array_equal(view.T_world_cam, views[index].T_world_cam)


def test_the_noise_of_depth_is_that_of_the_readings():
    quiet, loud = (
        align_views(*ref.capture(SOLIDS, POSES, noise=noise), CENTER).depth_sigma for noise in (0.0, 0.004)
    )
    assert quiet < 0.0005
    assert 0.001 < loud < 0.006


def test_a_pose_that_is_off_a_little_is_corrected():
    views, depths = ref.capture(SOLIDS, POSES, noise=0.0005)
    wrong = [*views[:3], moved(views[3], 0.006, 0.015), *views[4:]]
    aligned = align_views(wrong, depths, CENTER)
    corrected = aligned.views[aligned.indices.index(3)]
    assert pose_error(corrected, views[3]) < 0.5 * pose_error(wrong[3], views[3])


@pytest.mark.parametrize("away", [(2.0, -1.5, 1.0), (-20.0, 30.0, 5.0)])
def test_where_the_world_has_its_origin_does_not_matter(away: tuple[float, float, float]):
    """A turn about a distant origin is a shift as well, and steps of coloured ICP about it diverge."""
    views, depths = ref.capture(SOLIDS, POSES, noise=0.0005)
    wrong = [views[0], *(moved(view, 0.004 + 0.001 * k, 0.015) for k, view in enumerate(views[1:]))]
    shift = np.eye(4)
    shift[:3, 3] = away
    there = [dataclasses.replace(view, T_world_cam=shift @ view.T_world_cam) for view in wrong]
    here, elsewhere = align_views(wrong, depths, CENTER), align_views(there, depths, CENTER + away)
    assert elsewhere.indices == here.indices
    for one, other in zip(here.views, elsewhere.views, strict=True):
        np.testing.assert_allclose(invert(shift) @ other.T_world_cam, one.T_world_cam, atol=1e-5)


def test_alignment_is_the_same_to_the_last_digit_each_time():
    """open3d's threads add up in any order."""
    views, depths = ref.capture(SOLIDS, POSES, noise=0.0005)
    wrong = [views[0], *(moved(view, 0.004 + 0.001 * k, 0.015) for k, view in enumerate(views[1:]))]
    first, *others = (align_views(wrong, depths, CENTER) for _ in range(8))
    poses = np.array([view.T_world_cam for view in first.views])
    assert any(view is not wrong[i] for i, view in zip(first.indices, first.views, strict=True))
    for other in others:
        assert other.indices == first.indices
        np.testing.assert_array_equal([view.T_world_cam for view in other.views], poses)


def test_a_view_that_cannot_be_aligned_is_left_out():
    views, depths = ref.capture(SOLIDS, POSES)
    depths[2] = np.where(depths[2] > 0, 1.08 * depths[2], 0)  # another scale: no motion corrects it
    aligned = align_views(views, depths, CENTER)
    assert aligned.left_out == (2,)
    assert sorted(aligned.indices) == [0, 1, 3, 4, 5]


def test_the_majority_decides_when_the_best_view_is_the_wrong_one():
    near = ref.ring(CENTER, 1, radius=0.3, heights=(0.2,))
    views, depths = ref.capture(SOLIDS, [*near, *POSES])
    depths[0] = np.where(depths[0] > 0, 1.08 * depths[0], 0)
    aligned = align_views(views, depths, CENTER)
    assert aligned.left_out == (0,)


def test_no_more_views_than_asked_for():
    views, depths = ref.capture(SOLIDS, POSES)
    aligned = align_views(views, depths, CENTER, config=AlignmentConfig(max_views=2))
    assert len(aligned.views) == 2


@pytest.mark.parametrize("count", [0, 1, 3])
def test_views_without_readings_are_returned_as_they_are(count):
    views, depths = ref.capture(SOLIDS, POSES[:count])
    aligned = align_views(views, [np.zeros_like(depth) for depth in depths], CENTER)
    assert aligned.views == tuple(views)
    assert aligned.depth_sigma == 0


def test_another_number_of_depths_is_an_error():
    views, depths = ref.capture(SOLIDS, POSES[:2])
    with pytest.raises(SceneError, match="1 depth images for 2 views"):
        align_views(views, depths[:1], CENTER)
