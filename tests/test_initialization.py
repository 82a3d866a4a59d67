"""Where the Gaussians start: on surfaces, on clouds, on features, or spread; laws and slow twins."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reference_initialization as slow
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from point2act.core.errors import SceneError
from point2act.core.geometry import (
    back_project,
    inside,
    pixel_centers,
    project,
    quaternion_to_matrix,
    transform_points,
)
from point2act.core.types import Camera, GaussianScene, View
from point2act.data.capture import load_view, load_views, read_capture
from point2act.splatting.fill import fill_holes, random_surfels
from point2act.splatting.initialization import (
    StartConfig,
    from_cloud,
    from_depth,
    from_nothing,
    initialize_gaussians,
    read_cloud,
)
from point2act.splatting.surfels import (
    concatenate,
    count_votes,
    local_planes,
    orient_towards,
    quaternions_from_normals,
    spacing,
    surfels_of_view,
    voxel_downsample,
)
from point2act.splatting.triangulate import triangulate

BARE = StartConfig(target_count=3000, fill_share=0.0)
"""Only what was measured."""


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def tabletop() -> tuple[View, ...]:
    return synthetic.views(8, height=96, width=128)


@pytest.fixture(scope="module")
def textured() -> list[View]:
    """RGB views of the tabletop with a random texture in space, 10 degrees apart, without depth."""
    noise = rng(3).uniform(size=(48, 48, 48))
    found = []
    for view in synthetic.views(36, height=180, width=240)[:7]:
        assert view.depth is not None
        points = world_points(view)
        value = sum(map_coordinates(noise, points.T / size, order=1, mode="wrap") for size in (0.008, 0.02))
        rgb = np.repeat(np.clip(value * 127, 0, 255).astype(np.uint8)[:, None], 3, axis=1)
        rgb[view.depth.ravel() == 0] = 0
        found.append(replace(view, rgb=rgb.reshape(view.rgb.shape), depth=None))
    return found


def world_points(view: View) -> np.ndarray:
    pixels = pixel_centers(view.camera.height, view.camera.width).reshape(-1, 2)
    assert view.depth is not None
    return back_project(view.camera, view.T_world_cam, pixels, view.depth.ravel().astype(float))


def distance_to_surface(points: np.ndarray) -> np.ndarray:
    """Metres from the table or the faces of the three boxes."""
    distances = [np.abs(points[:, 2])]
    for block in synthetic.TABLETOP:
        beyond = np.abs(points - block.center) - block.half_extents
        outside = np.linalg.norm(np.maximum(beyond, 0), axis=1)
        distances.append(np.abs(outside + np.minimum(beyond.max(axis=1), 0)))
    return np.min(distances, axis=0)


def moved(views: tuple[View, ...], T: np.ndarray) -> tuple[View, ...]:
    return tuple(replace(view, T_world_cam=T @ view.T_world_cam) for view in views)


def colors_of(scene: GaussianScene) -> np.ndarray:
    return 0.5 + 0.28209479177387814 * scene.sh[:, 0]


def assert_sound(scene: GaussianScene) -> None:
    """What holds for every start."""
    n = len(scene)
    assert n > 0
    assert scene.sh.shape == (n, 1, 3)
    for array in (scene.means, scene.quats, scene.scales, scene.opacities, scene.sh):
        assert len(array) == n
        assert np.isfinite(array).all()
    assert (scene.scales > 0).all()
    assert ((scene.opacities > 0) & (scene.opacities < 1)).all()
    np.testing.assert_allclose(np.linalg.norm(scene.quats, axis=1), 1.0, atol=1e-9)
    assert colors_of(scene).min() > -1e-9
    assert colors_of(scene).max() < 1 + 1e-9


# ── from depth ─────────────────────────────────────────────────────────────────────────────────
def test_gaussians_from_depth_lie_on_the_surface_and_look_like_it(tabletop):
    scene = from_depth(tabletop, BARE, rng())
    assert_sound(scene)
    off = distance_to_surface(scene.means)
    assert np.median(off) < 1e-4
    assert off.max() < 2 * np.median(scene.scales[:, 0])
    _, nearest = KDTree(world_points(tabletop[0])).query(scene.means[:200])
    seen = tabletop[0].rgb.reshape(-1, 3)[nearest] / 255.0
    near = KDTree(world_points(tabletop[0])).query(scene.means[:200])[0] < 0.003
    assert near.sum() > 20
    assert np.median(np.abs(colors_of(scene)[:200][near] - seen[near])) < 0.05


def test_normals_from_depth_are_the_surface_s_and_point_to_the_cameras(tabletop):
    scene = from_depth(tabletop, BARE, rng())
    on_table = (np.abs(scene.means[:, 2]) < 1e-6) & (np.abs(scene.means[:, :2]).max(axis=1) < 0.4)
    normals = quaternion_to_matrix(scene.quats)[:, :, 2]
    assert on_table.sum() > 500
    upright = normals[on_table, 2]
    assert np.median(upright) > np.cos(np.radians(0.5))
    assert (upright > np.cos(np.radians(20))).mean() > 0.9
    assert (scene.scales[:, 2] < scene.scales[:, 0]).all()


def test_noise_in_depth_averages_out_of_the_normals(tabletop):
    noise = rng(1)
    noisy = [replace(v, depth=v.depth * noise.normal(1.0, 0.002, v.depth.shape)) for v in tabletop]
    scene = from_depth(noisy, replace(BARE, target_count=1000), rng())
    inner = (np.abs(scene.means[:, 2]) < 0.005) & (np.abs(scene.means[:, :2]).max(axis=1) < 0.3)
    upright = quaternion_to_matrix(scene.quats)[inner, 2, 2]
    assert np.median(upright) > np.cos(np.radians(12))


@settings(max_examples=8)
@given(target=st.integers(300, 6000))
def test_count_is_near_the_target(target):
    scene = from_depth(synthetic.views(6, height=96, width=128), replace(BARE, target_count=target), rng())
    assert 0.75 * target < len(scene) < 1.25 * target


def test_cells_are_never_smaller_than_a_pixel(tabletop):
    pixels = sum(np.count_nonzero(view.depth) for view in tabletop)
    scene = from_depth(tabletop, replace(BARE, target_count=10**6), rng())
    assert len(scene) < pixels


@settings(max_examples=5)
@given(seed=st.integers(0, 1000), size=st.floats(0.01, 100.0))
def test_start_moves_and_grows_with_the_world(seed, size):
    views = synthetic.views(5, height=48, width=64)
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    T[:3, 3] = rng(seed).normal(size=3)
    bigger = []
    for view in moved(views, T):
        pose = view.T_world_cam.copy()
        pose[:3, 3] *= size
        bigger.append(replace(view, T_world_cam=pose, depth=view.depth.astype(float) * size))
    here = from_depth(views, replace(BARE, target_count=800), rng())
    there = from_depth(bigger, replace(BARE, target_count=800), rng())
    # Rounding may carry a pixel over the border of a cell.
    assert abs(len(here) - len(there)) <= 0.02 * len(here)
    apart, twin = KDTree(there.means).query(size * transform_points(T, here.means))
    same = apart < 1e-6 * size
    assert same.mean() > 0.95
    np.testing.assert_allclose(np.median(there.scales[twin[same]] / here.scales[same]), size, rtol=1e-6)


def test_flying_pixels_are_rejected():
    mixed = []
    for view in synthetic.views(4, height=240, width=320):
        depth = view.depth.copy()
        rows, columns = np.nonzero(np.abs(np.diff(depth, axis=1)) > 0.02)
        depth[rows, columns] = (depth[rows, columns] + view.depth[rows, columns + 1]) / 2
        mixed.append(replace(view, depth=depth))
    one = [surfels_of_view(view).points for view in mixed]
    flying = sum((distance_to_surface(world_points(view)) > 0.01).sum() for view in mixed)
    kept = sum((distance_to_surface(points) > 0.01).sum() for points in one)
    assert flying > 50
    assert kept < 0.1 * flying


def test_what_other_views_look_through_is_dropped(tabletop):
    depth = tabletop[0].depth.copy()
    depth[20:80, 20:110] = 0.25
    views = (replace(tabletop[0], depth=depth), *tabletop[1:])
    every = voxel_downsample(concatenate([surfels_of_view(view) for view in views]), views, BARE.target_count)
    phantom = (distance_to_surface(every.points) > 0.05).sum()
    scene = from_depth(views, BARE, rng())
    assert phantom > 100
    assert (distance_to_surface(scene.means) > 0.05).sum() < 0.15 * phantom


def test_masked_pixels_leave_no_trace(tabletop):
    red = []
    for view in tabletop:
        ids = synthetic.render(view.T_world_cam, synthetic.rays(view.camera)).ids
        red.append(replace(view, mask=ids != 0))
    with_all = from_depth(tabletop, BARE, rng()).means
    without = from_depth(red, replace(BARE, fill_share=0.1), rng()).means
    block = synthetic.TABLETOP[0]

    def on_block(points: np.ndarray) -> int:
        near = (np.abs(points - block.center) < np.array(block.half_extents) + 0.002).all(axis=1)
        return int((near & (points[:, 2] > 0.01)).sum())

    assert on_block(with_all) > 50
    assert on_block(without) == 0


def test_one_view_and_unreadable_depths_will_do(tabletop):
    assert_sound(from_depth(tabletop[:1], BARE, rng()))
    broken = tabletop[1].depth.copy()
    broken[::2] = np.nan
    broken[1::4] = np.inf
    broken[3::4] = -1
    views = [tabletop[0], replace(tabletop[1], depth=broken), replace(tabletop[2], depth=None)]
    scene = from_depth(views, BARE, rng())
    assert_sound(scene)
    assert distance_to_surface(scene.means).max() < 0.02


def test_no_usable_depth_gives_no_gaussians(tabletop):
    blind = [replace(view, depth=np.zeros_like(view.depth)) for view in tabletop]
    masked = [replace(view, mask=np.zeros(view.depth.shape, dtype=bool)) for view in tabletop]
    for views in (blind, masked, [replace(view, depth=None) for view in tabletop]):
        assert len(from_depth(views, StartConfig(), rng())) == 0


def test_a_patch_of_one_surfel_has_a_size(tabletop):
    depth = np.zeros_like(tabletop[0].depth)
    depth[50:52, 60:62] = 0.5
    scene = from_depth([replace(tabletop[0], depth=depth)], replace(BARE, target_count=1), rng())
    assert_sound(scene)
    assert len(scene) <= 4


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_votes_count_as_the_slow_twin(seed):
    views = list(synthetic.views(4, height=24, width=32))
    views[1] = replace(views[1], mask=rng(seed).uniform(size=(24, 32)) < 0.7)
    points = rng(seed).uniform(-0.3, 0.3, (60, 3))
    fast = count_votes(points, views, 0.05)
    for got, wanted in zip(fast, slow.votes(points, views, 0.05), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_thinning_keeps_means_of_points_and_colours(tabletop):
    surfels = concatenate([surfels_of_view(view) for view in tabletop])
    one = voxel_downsample(surfels, tabletop, 1)
    assert len(one) < 60
    assert one.points.min() >= surfels.points.min() - 1e-9
    assert one.points.max() <= surfels.points.max() + 1e-9
    assert len(voxel_downsample(concatenate([]), tabletop, 100)) == 0


# ── holes ──────────────────────────────────────────────────────────────────────────────────────
def test_holes_are_filled_behind_the_surface_not_before_it(tabletop):
    shiny = []
    for view in tabletop:
        ids = synthetic.render(view.T_world_cam, synthetic.rays(view.camera)).ids
        shiny.append(replace(view, depth=np.where(ids == 0, 0.0, view.depth).astype(np.float32)))
    surfels = voxel_downsample(concatenate([surfels_of_view(view) for view in shiny]), shiny, 3000)
    holes, widths = fill_holes(surfels, shiny, budget=500, tolerance=0.02, rng=rng())
    assert 10 < len(holes) <= 500
    assert (widths > 0).all()
    for view in shiny:
        pixels, z = project(view.camera, view.T_world_cam, holes.points)
        seen = (z > 0) & inside(view.camera, pixels)
        columns, rows = pixels[seen].astype(int).T
        near = np.where(view.depth > 0, view.depth, 0)[rows, columns]
        # A reading behind the filler would be free space with something in it.
        assert ((near == 0) | (z[seen] > 0.9 * near)).mean() > 0.97


def test_fillers_keep_to_their_budget_and_cover_what_is_out_of_range(tabletop):
    short = [replace(view, depth=np.where(view.depth < 0.5, view.depth, 0)) for view in tabletop]
    scene = from_depth(short, replace(BARE, fill_share=0.05), rng())
    bare = from_depth(short, BARE, rng())
    assert 20 < len(scene) - len(bare) <= 0.05 * BARE.target_count
    np.testing.assert_array_equal(scene.means[: len(bare)], bare.means)


def test_nothing_known_fills_nothing(tabletop):
    holes, widths = fill_holes(concatenate([]), tabletop, budget=100, tolerance=0.02, rng=rng())
    assert len(holes) == len(widths) == 0


# ── neighbours ─────────────────────────────────────────────────────────────────────────────────
@given(n=st.integers(2, 30), seed=st.integers(0, 10**6))
def test_spacing_equals_the_slow_twin(n, seed):
    points = rng(seed).normal(size=(n, 3))
    np.testing.assert_allclose(spacing(points), slow.spacing(points, 3), rtol=1e-9)


def test_spacing_and_flatness_of_too_few_points():
    assert np.isinf(spacing(np.zeros((1, 3)))).all()
    assert len(spacing(np.zeros((0, 3)))) == 0
    normals, thickness = local_planes(rng().normal(size=(3, 3)))
    assert (thickness == 1).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)


@given(seed=st.integers(0, 10**6))
def test_flatness_finds_a_plane_and_a_ball(seed):
    random = rng(seed)
    R = Rotation.random(random_state=seed).as_matrix()
    plane = random.uniform(-1, 1, (200, 3)) * [1, 1, 0] @ R.T
    normals, thickness = local_planes(plane)
    np.testing.assert_allclose(np.abs(normals @ R[:, 2]), 1, atol=1e-6)
    assert thickness.max() < 1e-5
    assert np.median(local_planes(random.normal(size=(200, 3)))[1]) > 0.25
    eye = 3 * R[:, 2] + [0.1, 0.2, 0]
    assert (np.einsum("ni,ni->n", orient_towards(normals, plane, eye[None]), eye - plane) > 0).all()


@given(seed=st.integers(0, 10**6))
def test_quaternions_turn_z_to_the_normal(seed):
    normals = rng(seed).normal(size=(5, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals[0] = [0.0, 0.0, -1.0]
    turned = quaternion_to_matrix(quaternions_from_normals(normals))[:, :, 2]
    np.testing.assert_allclose(turned, normals, atol=1e-9)


# ── from a cloud ───────────────────────────────────────────────────────────────────────────────
def write_cloud(path: Path, points: np.ndarray, colors: np.ndarray | None = None) -> Path:
    names = ["float x", "float y", "float z"]
    names += [] if colors is None else ["uchar red", "uchar green", "uchar blue"]
    header = ["ply", "format ascii 1.0", f"element vertex {len(points)}", *(f"property {n}" for n in names)]
    rows = []
    for i, point in enumerate(points):
        values = [f"{value:.9g}" for value in point] + ([] if colors is None else [str(c) for c in colors[i]])
        rows.append(" ".join(values))
    path.write_text("\n".join([*header, "end_header", *rows]) + "\n", encoding="ascii")
    return path


def test_gaussians_of_a_cloud_lie_on_its_points_with_its_colours(tabletop):
    points = world_points(tabletop[0])[tabletop[0].depth.ravel() > 0][::7]
    colors = rng().uniform(size=points.shape)
    scene = from_cloud(points, colors, tabletop, replace(BARE, target_count=len(points)), rng())
    assert_sound(scene)
    np.testing.assert_array_equal(scene.means, points)
    np.testing.assert_allclose(colors_of(scene), colors, atol=1e-12)


def test_round_gaussians_in_a_ball_flat_ones_in_a_plane(tabletop):
    config = replace(BARE, target_count=500)
    ball, plane = rng().normal(size=(500, 3)) * 0.03, rng().uniform(-0.1, 0.1, (500, 3)) * [1, 1, 0]
    grey = np.full((500, 3), 0.5)
    rounded = from_cloud(ball, grey, tabletop, config, rng()).scales
    flat = from_cloud(plane, grey, tabletop, config, rng()).scales
    assert np.median(rounded[:, 2] / rounded[:, 0]) > config.thickness
    np.testing.assert_allclose(flat[:, 2], config.thickness * flat[:, 0])


def test_dense_clouds_are_thinned_and_sparse_ones_thickened(tabletop):
    points = concatenate([surfels_of_view(view) for view in tabletop]).points
    grey = np.full_like(points, 0.5)
    dense = from_cloud(points, grey, tabletop, replace(BARE, target_count=1000), rng())
    assert 700 < len(dense) < 1300
    few = points[:: len(points) // 300][:300]
    sparse = from_cloud(few, grey[:300], tabletop, BARE, rng())
    assert len(sparse) == 900
    np.testing.assert_array_equal(sparse.means[:300], few)
    assert_sound(sparse)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_clouds_of_a_few_points(tabletop, n):
    points = np.tile(tabletop[0].T_world_cam[:3, 3], (n, 1))
    points[1:] += rng().normal(size=(n - 1, 3))
    assert_sound(from_cloud(points, np.full((n, 3), 0.5), tabletop, StartConfig(), rng()))


def test_read_cloud(tmp_path):
    points = rng().normal(size=(20, 3))
    colors = rng().integers(0, 256, (20, 3))
    got_points, got_colors = read_cloud(write_cloud(tmp_path / "a.ply", points, colors))
    np.testing.assert_allclose(got_points, points, rtol=1e-6)
    np.testing.assert_allclose(got_colors, colors / 255)
    points[3] = np.nan
    got_points, got_colors = read_cloud(write_cloud(tmp_path / "b.ply", points))
    assert len(got_points) == 19
    assert (got_colors == 0.5).all()
    with pytest.raises(SceneError, match="cannot be read"):
        read_cloud(tmp_path / "no.ply")
    header = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float u\nend_header\n1\n"
    (tmp_path / "c.ply").write_text(header, encoding="ascii")
    with pytest.raises(SceneError, match="x, y and z"):
        read_cloud(tmp_path / "c.ply")


def test_a_cloud_may_hold_signalling_nans(tmp_path):
    """These warn where they are cast, unlike the usual ones."""
    properties = "".join(f"property float {name}\n" for name in "xyz")
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex 2\n{properties}end_header\n"
    numbers = np.array([0x7F800001, 0, 0, 0, 0, 0], "<u4")
    (tmp_path / "a.ply").write_bytes(header.encode() + numbers.tobytes())
    assert len(read_cloud(tmp_path / "a.ply")[0]) == 1


# ── from features ──────────────────────────────────────────────────────────────────────────────
def test_features_have_pixel_centres_at_one_half():
    """Round spots on a plane one metre below four cameras are found where they are."""
    random = rng()
    spots = np.append(random.uniform([-0.8, -0.5], [0.8, 0.5], (250, 2)), np.zeros((250, 1)), axis=1)
    widths, heights = random.uniform(1.5, 3.0, 250), random.uniform(60, 120, 250)
    camera, views = Camera(200.0, 200.0, 120.0, 90.0, 180, 240), []
    for x in (-0.15, -0.05, 0.05, 0.15):
        pose = np.diag([1.0, -1.0, -1.0, 1.0])
        pose[:3, 3] = x, 0, 1
        at, _ = project(camera, pose, spots)
        squares = np.sum((pixel_centers(180, 240)[:, :, None] - at) ** 2, axis=-1)
        gray = np.sum(heights * np.exp(-squares / (2 * widths**2)), axis=-1).clip(0, 255).astype(np.uint8)
        views.append(View(f"{x}", camera, pose, np.repeat(gray[..., None], 3, axis=2)))
    points, _ = triangulate(views)
    distance, nearest = KDTree(spots).query(points)
    close = distance < 0.01
    assert close.sum() > 50
    assert np.abs(np.median((points - spots[nearest])[close, :2], axis=0)).max() < 0.1 / 200


def test_triangulated_features_lie_on_the_surface(textured):
    points, colors = triangulate(textured)
    off = distance_to_surface(points)
    assert len(points) > 120
    assert np.median(off) < 1e-3
    assert (off < 5e-3).mean() > 0.9
    assert ((colors >= 0) & (colors <= 1)).all()


def test_triangulation_is_repeatable_and_reports_its_progress(textured):
    ticks: list[tuple[int, int]] = []
    first, _ = triangulate(textured[:4], progress=lambda done, total: ticks.append((done, total)))
    np.testing.assert_array_equal(first, triangulate(textured[:4])[0])
    done, total = zip(*ticks, strict=True)
    assert list(done) == list(range(1, total[0] + 1))
    assert set(total) == {len(ticks)}


def test_points_move_with_the_world(textured):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    T[:3, 3] = [3.0, -2.0, 0.5]
    points, colors = triangulate(textured[:4])
    moved_points, moved_colors = triangulate(moved(tuple(textured[:4]), T))
    np.testing.assert_allclose(moved_points, transform_points(T, points), atol=1e-5)
    np.testing.assert_array_equal(moved_colors, colors)


def test_masked_features_are_not_used(textured):
    mask = np.zeros(textured[0].rgb.shape[:2], dtype=bool)
    mask[:, 120:] = True
    points, _ = triangulate([replace(view, mask=mask) for view in textured])
    assert 0 < len(points) < len(triangulate(textured)[0])
    seen = [project(view.camera, view.T_world_cam, points)[0][:, 0] > 119 for view in textured]
    assert (np.sum(seen, axis=0) >= 3).all()
    # Masks may be given for some views only.
    some = [replace(textured[0], mask=mask), *textured[1:]]
    assert len(triangulate(some)[0]) > len(points)


def test_triangulation_leaves_nothing_behind_and_says_nothing(textured, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert len(triangulate(textured[:4])[0]) > 0
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_two_views_noise_and_blank_images_give_no_points(textured):
    for n in range(3):
        points, colors = triangulate(textured[:n])
        assert points.shape == colors.shape == (0, 3)
    masked = [replace(view, mask=np.zeros(view.rgb.shape[:2], dtype=bool)) for view in textured]
    assert len(triangulate(masked)[0]) == 0
    assert len(triangulate(synthetic.views(4, height=2, width=2))[0]) == 0
    blank = [replace(view, rgb=np.zeros_like(view.rgb)) for view in textured]
    assert len(triangulate(blank)[0]) == 0
    random = rng()
    noise = [
        replace(view, rgb=random.integers(0, 256, view.rgb.shape, dtype=np.uint8)) for view in textured[:4]
    ]
    assert len(triangulate(noise)[0]) < 20


def test_views_from_one_place_give_no_points(textured):
    together = [replace(textured[0], name=str(i)) for i in range(4)]
    assert len(triangulate(together)[0]) == 0


# ── from nothing ───────────────────────────────────────────────────────────────────────────────
def test_spread_points_have_the_colour_of_their_pixel_and_surround_the_scene(tabletop):
    cloud = random_surfels(tabletop, 2000, rng())
    assert len(cloud) == 2000
    hits = np.zeros(2000, dtype=bool)
    for view in tabletop:
        pixels, z = project(view.camera, view.T_world_cam, cloud.points)
        seen = (z > 0) & inside(view.camera, pixels)
        columns, rows = pixels[seen].astype(int).T
        hits[seen] |= np.abs(view.rgb[rows, columns] / 255 - cloud.colors[seen]).max(axis=1) < 1e-9
    assert hits.mean() > 0.999
    assert np.linalg.norm(np.median(cloud.points, axis=0) - [0, 0, 0.03]) < 0.05
    assert_sound(from_nothing(tabletop, replace(BARE, target_count=2000), rng()))


def test_spread_keeps_to_the_masks(tabletop):
    mask = np.zeros(tabletop[0].rgb.shape[:2], dtype=bool)
    mask[10:20, 30:40] = True
    cloud = random_surfels([replace(tabletop[0], mask=mask)], 300, rng())
    pixels, _ = project(tabletop[0].camera, tabletop[0].T_world_cam, cloud.points)
    assert (pixels >= [30, 10]).all()
    assert (pixels <= [40, 20]).all()
    nothing = [replace(view, mask=np.zeros_like(mask)) for view in tabletop]
    with pytest.raises(SceneError, match="mask"):
        random_surfels(nothing, 300, rng())


def test_spread_for_one_camera_parallel_ones_and_ones_that_look_away(tabletop):
    side_by_side, away = [], []
    for i, view in enumerate(tabletop[:4]):
        pose = tabletop[0].T_world_cam.copy()
        pose[:3, 3] += 0.1 * i * pose[:3, 0]
        side_by_side.append(replace(view, T_world_cam=pose))
        away.append(replace(view, T_world_cam=view.T_world_cam @ np.diag([-1.0, 1, -1, 1])))
    for views in (tabletop[:1], [tabletop[0]] * 3, side_by_side, away):
        scene = from_nothing(views, replace(BARE, target_count=200), rng())
        assert_sound(scene)
        depths = [project(v.camera, v.T_world_cam, scene.means)[1] for v in views]
        assert (np.max(depths, axis=0) > 0).all()


# ── the choice ─────────────────────────────────────────────────────────────────────────────────
def test_the_best_source_is_chosen(tabletop, textured, tmp_path):
    cloud = write_cloud(tmp_path / "cloud.ply", world_points(tabletop[0])[::50])
    config = replace(BARE, target_count=1000)

    def chosen(views, path=None) -> str:
        initial = initialize_gaussians(views, point_cloud_path=path, config=config, rng=rng())
        assert_sound(initial.scene)
        assert initial.detail
        return initial.source

    blind = [replace(view, depth=np.zeros_like(view.depth)) for view in tabletop]
    flat = [replace(view, depth=None, rgb=np.full_like(view.rgb, 90)) for view in tabletop]
    assert chosen(tabletop, cloud) == "depth"
    assert chosen(blind, cloud) == "cloud"
    assert chosen(textured) == "features"
    assert chosen(flat) == "spread"
    assert chosen(flat, write_cloud(tmp_path / "empty.ply", np.zeros((0, 3)))) == "spread"
    with pytest.raises(SceneError, match="no views"):
        initialize_gaussians([], point_cloud_path=None, rng=rng())


def test_the_same_seed_starts_the_same(tabletop):
    views = [replace(view, depth=None) for view in tabletop]
    first, again, other = (
        initialize_gaussians(views, point_cloud_path=None, config=BARE, rng=rng(seed)).scene
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first.means, again.means)
    assert not np.array_equal(first.means, other.means)


def test_progress_from_depth_ends_at_its_total(tabletop):
    ticks: list[tuple[int, int]] = []
    initialize_gaussians(
        tabletop, point_cloud_path=None, config=BARE, rng=rng(), progress=lambda *tick: ticks.append(tick)
    )
    assert ticks == [(i, len(tabletop)) for i in range(1, len(tabletop) + 1)]


# ── captures that others recorded ──────────────────────────────────────────────────────────────
def test_a_real_depth_capture(shared_data):
    views = load_views(read_capture(shared_data / "apc_shelf"), max_side=240)
    initial = initialize_gaussians(
        views, point_cloud_path=None, config=StartConfig(target_count=10_000), rng=rng()
    )
    assert initial.source == "depth"
    assert_sound(initial.scene)
    assert 6000 < len(initial.scene) < 12_000
    # The gripper, which moves with the camera, is 11 cm before it; the shelf is not.
    distance, _ = KDTree([view.T_world_cam[:3, 3] for view in views]).query(initial.scene.means)
    assert (distance < 0.15).mean() < 0.02


def test_a_real_photo_capture(shared_data):
    capture = read_capture(shared_data / "fox")
    views = [load_view(capture, frame, max_side=320) for frame in capture.frames[:16]]
    initial = initialize_gaussians(
        views, point_cloud_path=None, config=StartConfig(target_count=10_000), rng=rng()
    )
    assert initial.source == "features"
    assert_sound(initial.scene)
    assert len(initial.scene) > 1500
