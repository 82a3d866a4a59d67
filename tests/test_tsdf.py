"""Fusing depth: the surface, the table and the obstacles, whichever way the world is turned."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import reference_grasps as ref
from scipy.spatial.transform import Rotation

from point2act.core.errors import SceneError
from point2act.core.geometry import invert, transform_points
from point2act.core.planes import TableConfig, find_table
from point2act.grasping.antipodal.boundary import BoundaryConfig, field_gradients, surface_points
from point2act.grasping.antipodal.volume import (
    GAP_CELL,
    LocalVolume,
    distance_to_gap,
    interpolate,
    observed_at,
    over_gap,
    solid_field,
    with_free_shadows,
)
from point2act.grasping.depth_images import flying_pixels
from point2act.grasping.tsdf import SurfaceConfig, fuse_local

CENTER = np.array([0.1, 0.05, 0.05])
BOX = ref.Solid("box", (0.02, 0.03, 0.04), ref.at(0.1, 0.05, 0.04, yaw=0.3))
BALL = ref.Solid("sphere", (0.05,), ref.at(0.1, 0.05, 0.05))
AROUND = ref.ring(CENTER, 8)


def moved_world(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=np.random.RandomState(seed)).as_matrix()
    T[:3, 3] = rng.uniform(-2, 2, 3)
    return T


def crossings(volume: LocalVolume, center: np.ndarray, *, seen: bool = True) -> np.ndarray:
    """World points on the fused surface."""
    local = transform_points(invert(volume.T_world_volume), center[None])[0]
    surface = surface_points(volume, local, config=BoundaryConfig())
    return transform_points(volume.T_world_volume, surface.points[surface.seen == seen])


@pytest.fixture(scope="module")
def box_volume() -> LocalVolume:
    return fuse_local(*ref.capture([ref.FLOOR, BOX], AROUND), CENTER)


@pytest.mark.parametrize("solid", [BOX, BALL], ids=["box", "sphere"])
def test_surface_lies_on_the_analytic_one(solid):
    solids = [ref.FLOOR, solid]
    volume = fuse_local(*ref.capture(solids, AROUND), CENTER)
    error = ref.scene_distance(solids, crossings(volume, CENTER))
    assert len(error) > 5000
    assert np.abs(error).mean() < 3e-4
    assert np.percentile(np.abs(error), 99) < 2e-3


def test_a_slanted_plane_seen_by_one_camera_has_no_offset():
    # Half a pixel is 0.8 mm at half a metre; on a plane seen at 60 degrees that would be 0.7 mm of depth.
    plane = ref.Solid("floor", (), np.eye(4))
    target = np.zeros(3)
    for eye in ([0.43, 0.0, 0.25], [-0.43, 0.0, 0.25], [0.0, 0.43, 0.25]):
        pose = ref.look_at(np.array(eye), target, np.array([0.0, 0.0, 1.0]))
        volume = fuse_local(*ref.capture([plane], [pose]), target)
        assert abs(crossings(volume, target)[:, 2].mean()) < 1e-4


def test_fusing_matches_the_twin():
    poses = [
        *ref.ring(CENTER, 4),
        ref.ring(CENTER, 1, radius=0.05, heights=(0.02,))[0],
    ]  # one inside the cube
    views, depths = ref.capture([ref.FLOOR, BOX], poses, noise=0.001)
    depths = [np.where(flying_pixels(depth, 0.02), 0.0, depth).astype(np.float32) for depth in depths]
    volume = fuse_local(views, depths, CENTER)
    rng = np.random.default_rng(0)
    index = rng.integers(volume.tsdf.shape[0], size=(2000, 3))
    world = transform_points(volume.T_world_volume, index * volume.voxel - volume.half_size)
    values, counts = ref.fused(views, depths, world, volume.truncation)
    observed = volume.observed[tuple(index.T)]
    # open3d rounds to float32: a voxel on the border of two pixels may be read off either.
    assert (observed == (counts > 0)).mean() > 0.99
    both = observed & (counts > 0)
    assert both.sum() > 500
    assert (np.abs(volume.tsdf[tuple(index.T)] - values)[both] < 1e-6).mean() > 0.99


def test_normals_are_those_of_the_sphere():
    volume = fuse_local(*ref.capture([ref.FLOOR, BALL], AROUND), CENTER)
    points = crossings(volume, CENTER)
    points = points[(BALL.distance(points) < 1e-3) & (points[:, 2] > 0.03)]
    local = transform_points(invert(volume.T_world_volume), points)
    normals = field_gradients(volume, local) @ volume.T_world_volume[:3, :3].T
    cosine = (normals * BALL.normals(points)).sum(axis=1)
    assert cosine.mean() > 0.99
    assert np.percentile(cosine, 2) > 0.95


def test_free_space_is_seen_and_the_inside_is_not(box_volume):
    world = np.array([[0.1, 0.05, 0.115], [0.1, 0.05, 0.04], [0.1, 0.05, -0.03]])
    local = transform_points(invert(box_volume.T_world_volume), world)
    assert observed_at(box_volume, local).tolist() == [True, False, False]
    assert interpolate(box_volume, box_volume.tsdf, local[:1], outside=0.0)[0] == pytest.approx(
        0.004, abs=1e-6
    )


def test_what_is_outside_the_grid(box_volume):
    far = np.array([[1.0, 0.0, 0.0]])
    assert observed_at(box_volume, far).all()
    assert interpolate(box_volume, box_volume.tsdf, far, outside=-7.0)[0] == -7.0


def test_table_is_found_and_points_towards_the_cameras():
    for seed in range(2):
        T = moved_world(seed)
        center = transform_points(T, CENTER[None])[0]
        volume = fuse_local(*ref.capture([ref.FLOOR, BOX], AROUND, T, noise=0.001), center)
        assert volume.table is not None
        assert volume.table[:3] @ T[:3, 2] > 0.9999
        assert abs(volume.table[:3] @ T[:3, 3] + volume.table[3]) < 1e-3
        assert np.allclose(volume.T_world_volume[:3, 2], volume.table[:3])


def test_a_moved_world_gives_the_same_volume_moved(box_volume):
    T = moved_world(5)
    volume = fuse_local(*ref.capture([ref.FLOOR, BOX], AROUND, T), transform_points(T, CENTER[None])[0])
    assert np.allclose(volume.T_world_volume, T @ box_volume.T_world_volume, atol=1e-5)
    assert (volume.observed == box_volume.observed).mean() > 0.999
    both = volume.observed & box_volume.observed
    assert np.abs(volume.tsdf - box_volume.tsdf)[both].mean() < 1e-5


def test_a_big_lid_is_not_a_table():
    lid = ref.Solid("box", (0.12, 0.12, 0.1), ref.at(0.1, 0.05, 0.1))
    top = np.array([0.1, 0.05, 0.2])
    volume = fuse_local(*ref.capture([ref.FLOOR, lid], ref.ring(top, 12)), top)
    assert volume.table is None or abs(volume.table[3]) < 2e-3


def test_no_table_among_scattered_points():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (3000, 3))
    assert find_table(points, np.array([0.0, 0.0, 1.0]), config=TableConfig(), rng=rng) is None


@pytest.mark.parametrize(
    ("side", "height", "found"), [(0.5, 0.0, True), (0.2, 0.0, False), (0.5, -0.05, False)]
)
def test_what_lies_near_an_edge_lies_on_the_table_but_not_what_is_on_a_lid_or_below(side, height, found):
    """A plane of which 5 % of the points around are lower: what is seen beyond its edge."""
    rng = np.random.default_rng(0)
    plane = np.concatenate([rng.uniform(-side / 2, side / 2, (3000, 2)), np.zeros((3000, 1))], axis=1)
    below = rng.uniform([-0.2, 0.2, -0.4], [0.2, 0.3, -0.1], (200, 3))
    points = np.concatenate([plane, below, rng.uniform([-0.2] * 2 + [0.02], [0.2] * 2 + [0.2], (800, 3))])
    up = np.array([0.0, 0.0, 1.0])
    thing = np.array([0.0, side / 2 - 0.03, height])
    table = find_table(points, up, config=TableConfig(), rng=rng, supported=thing)
    assert (table is not None) == found
    if table is not None:
        np.testing.assert_allclose(table, [0, 0, 1, 0], atol=0.01)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_table_of_next_to_nothing(count):
    points = np.eye(3)[:count]
    plane = find_table(points, np.ones(3) / 3**0.5, config=TableConfig(), rng=np.random.default_rng(0))
    assert plane is None if count < 3 else plane[:3] == pytest.approx(np.full(3, 3**-0.5))


def test_obstacles_lie_on_the_scene_and_outside_the_cube():
    other = ref.Solid("cylinder", (0.03, 0.08), ref.at(0.1, 0.25, 0.08))
    solids = [ref.FLOOR, BOX, other]
    volume = fuse_local(*ref.capture(solids, AROUND), CENTER)
    error = np.abs(ref.scene_distance(solids, volume.obstacles))
    assert np.percentile(error, 95) < 0.0015
    assert error.max() < 0.010
    assert (np.abs(volume.obstacles_in_volume) > volume.half_size).any(axis=1).all()
    assert (np.abs(other.distance(volume.obstacles)) < 0.003).sum() > 200
    # One point for each 5 mm cell at most.
    cells = np.rint(volume.obstacles_in_volume / 0.005).astype(int)
    assert len(np.unique(cells, axis=0)) == len(cells)


def test_stray_readings_are_not_obstacles():
    views, depths = ref.capture([ref.FLOOR, BOX], AROUND)
    clean = fuse_local(views, depths, CENTER)
    depths[3][100:130, 20:50] = 0.35  # a patch that floats before the camera, in one view only
    spoilt = fuse_local(views, depths, CENTER)
    assert (ref.scene_distance([ref.FLOOR, BOX], spoilt.obstacles) > 0.02).sum() == 0
    assert len(spoilt.obstacles) > 0.95 * len(clean.obstacles)


def plate(thickness: float = 0.01) -> ref.Solid:
    """A table top of 40 by 40 cm; its edge is 5 cm from the action point."""
    return ref.Solid("box", (0.2, 0.2, thickness / 2), ref.at(CENTER[0] - 0.15, CENTER[1], -thickness / 2))


LOW_FLOOR = ref.Solid("floor", (), ref.at(0.0, 0.0, -0.7))


def test_the_table_ends_where_views_look_past_it():
    volume = fuse_local(*ref.capture([LOW_FLOOR, plate(), BOX], AROUND), CENTER)
    assert volume.table is not None
    assert volume.table[:3] @ [0, 0, 1] > 0.999
    world = CENTER + np.array([[0.12, 0, -0.2], [0.12, 0, 0.05], [-0.1, 0.1, -0.2], [0.0, 0.0, -0.2]])
    local = transform_points(invert(volume.T_world_volume), world)
    assert over_gap(volume, local).tolist() == [True, True, False, False]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
def test_the_distance_to_a_gap_is_never_more_than_it_is(box_volume, share):
    rng = np.random.default_rng(5)
    volume = dataclasses.replace(box_volume, table_gaps=rng.random((15, 15)) < share)
    points = rng.uniform(-0.25, 0.25, (300, 3))
    corners = (np.argwhere(volume.table_gaps) - 7) * GAP_CELL
    beside = np.maximum(np.abs(points[:, None, :2] - corners) - GAP_CELL / 2, 0)
    exact = np.linalg.norm(beside, axis=2).min(axis=1, initial=np.inf)
    bound = distance_to_gap(volume, points)
    assert (bound <= exact).all()
    assert ((bound == 0) == (exact == 0)).all()
    near = np.abs(points[:, :2]).max(axis=1) < 7 * GAP_CELL
    assert (exact <= bound + 2 * np.sqrt(2) * GAP_CELL)[near].all()


def test_what_stands_near_an_edge_stands_on_the_table():
    # A part of what the cameras see is a lower shelf, beyond the edge of the table.
    shelf, top = ref.Solid("floor", (), ref.at(0.0, 0.0, -0.15)), plate()
    top = dataclasses.replace(top, size=(0.5, 0.5, 0.005), T_world_body=ref.at(-0.25, 0.05, -0.005))
    views, depths = ref.capture([shelf, top, BOX], AROUND)
    volume = fuse_local(views, depths, np.array([0.1, 0.05, 0.08]))
    assert volume.table is not None
    assert abs(volume.table[3]) < 0.003


def test_the_far_side_of_a_box_drops_from_the_edge_of_its_top():
    eye = ref.look_at(np.array([-0.35, 0.05, 0.45]), CENTER, np.array([0.0, 0.0, 1.0]))
    straight = ref.Solid("box", (0.02, 0.03, 0.04), ref.at(0.1, 0.05, 0.04))
    volume = fuse_local(*ref.capture([ref.FLOOR, straight], [eye]), CENTER)
    behind, inside, below = np.array([[0.13, 0.05, 0.03], [0.1, 0.05, 0.04], [0.13, 0.05, 0.005]])
    local = transform_points(invert(volume.T_world_volume), np.array([behind, inside, below]))
    assert not observed_at(volume, local).any()
    solid = interpolate(volume, solid_field(volume), local, outside=0.0)
    presumed = with_free_shadows(volume)
    free = interpolate(volume, solid_field(presumed), local, outside=0.0)
    assert (solid < 0).all()
    assert (free > 0).tolist() == [True, False, True]
    assert solid_field(presumed)[volume.observed] == pytest.approx(solid_field(volume)[volume.observed])


def test_without_a_table_nothing_hidden_is_presumed_free(box_volume):
    volume = dataclasses.replace(box_volume, table=None)
    assert with_free_shadows(volume) is volume


def test_a_whole_table_has_no_gap(box_volume):
    assert box_volume.table is not None
    assert not box_volume.table_gaps.any()


def test_the_back_of_a_chair_is_not_a_table():
    rail = ref.Solid("box", (0.01, 0.2, 0.035), ref.at(0.0, 0.0, 0.0))
    front = ref.ring(np.zeros(3), 4, arc=1.0, start=-0.5, radius=0.8, heights=(0.15, 0.3))
    behind = ref.Solid("box", (0.05, 2.0, 2.0), ref.at(-1.0, 0.0, 0.0))
    volume = fuse_local(*ref.capture([rail, behind], front), np.array([0.01, 0.0, 0.02]))
    assert volume.table is None


def test_masked_pixels_and_bad_readings_do_not_count():
    views, depths = ref.capture([ref.FLOOR, BOX], AROUND)
    hidden = [dataclasses.replace(view, mask=np.zeros(view.rgb.shape[:2], bool)) for view in views]
    assert not fuse_local(hidden, depths, CENTER).observed.any()
    broken = [np.full_like(depth, np.nan) for depth in depths]
    volume = fuse_local(views, broken, CENTER)
    assert not volume.observed.any()
    assert volume.table is None
    assert len(volume.obstacles) == 0


def test_no_views_at_all():
    volume = fuse_local([], [], CENTER)
    assert not volume.observed.any()
    assert len(crossings(volume, CENTER)) == 0


def test_cameras_on_all_sides_still_have_a_side():
    views, depths = ref.capture([BALL], AROUND)
    opposite = [dataclasses.replace(view, T_world_cam=_through(view.T_world_cam)) for view in views]
    volume = fuse_local([*views, *opposite], [*depths, *depths], CENTER)
    assert np.linalg.norm(volume.up) == pytest.approx(1.0)


def _through(pose: np.ndarray) -> np.ndarray:
    """The pose turned by half a turn about a level axis through the centre."""
    turn = np.eye(4)
    turn[:3, :3] = np.diag([1.0, -1.0, -1.0])
    turn[:3, 3] = CENTER - turn[:3, :3] @ CENTER
    return turn @ pose


def test_flying_pixels_are_between_front_and_back():
    depth = np.full((20, 30), 0.5)
    depth[:, 15:] = 0.8
    assert not flying_pixels(depth, 0.02).any()
    depth[:, 15] = 0.65
    expected = np.zeros_like(depth, bool)
    expected[:, 15] = True
    assert np.array_equal(flying_pixels(depth, 0.02), expected)
    assert np.array_equal(flying_pixels(depth.T.copy(), 0.02), expected.T)


def test_a_thin_bar_keeps_its_thickness():
    bar = ref.Solid("box", (0.003, 0.05, 0.03), ref.at(0.1, 0.05, 0.03))
    volume = fuse_local(*ref.capture([ref.FLOOR, bar], ref.ring(CENTER, 24)), CENTER)
    points = crossings(volume, CENTER)
    side = points[(np.abs(points[:, 1] - 0.05) < 0.03) & (np.abs(points[:, 2] - 0.035) < 0.015)] - [0.1, 0, 0]
    assert side[side[:, 0] > 0, 0].mean() == pytest.approx(0.003, abs=3e-4)
    assert side[side[:, 0] < 0, 0].mean() == pytest.approx(-0.003, abs=3e-4)


def test_mismatches_are_named():
    views, depths = ref.capture([ref.FLOOR], AROUND[:2])
    with pytest.raises(SceneError, match="1 depth images for 2 views"):
        fuse_local(views, depths[:1], CENTER)
    with pytest.raises(SceneError, match=r"images/0001\.png is 10x20"):
        fuse_local(views, [depths[0], np.ones((20, 10))], CENTER)


def test_coarser_voxels_give_a_smaller_grid():
    views, depths = ref.capture([ref.FLOOR, BOX], AROUND[:4])
    volume = fuse_local(views, depths, CENTER, config=SurfaceConfig(voxel=0.004, truncation=0.008))
    assert volume.tsdf.shape == (47, 47, 47)
    assert volume.half_size == pytest.approx(0.092)
