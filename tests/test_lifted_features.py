"""Features lifted onto Gaussians: a slow twin, known fields, degenerate inputs; and their crops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic
import torch

import point2act
from point2act.core.errors import SceneError
from point2act.core.geometry import back_project, fit_box, pixel_centers, transform_points
from point2act.core.types import Region, Support
from point2act.localization.features import SceneFeatures, crop_columns, features_at, lift_features
from point2act.splatting.gaussians import freeze
from point2act.splatting.initialization import StartConfig, initialize_gaussians
from point2act.splatting.render import draw
from point2act.splatting.rendering import project_view


@pytest.fixture(scope="module")
def views():
    return synthetic.views(8, height=48, width=64)


@pytest.fixture(scope="module")
def scene(views):
    config = StartConfig(target_count=1500)
    rng = np.random.default_rng(0)
    return initialize_gaussians(views, point_cloud_path=None, config=config, rng=rng).scene


@pytest.fixture
def region():
    corners = np.array([[x, y, 0.1] for x in (-0.03, 0.03) for y in (-0.04, 0.04)])
    return Region(np.array([0.0, 0.0, 0.1]), 0.9, Support(8, 0, 0), fit_box(corners))


def noise(channels: int, size=(48, 64)):
    """An extractor of random features that depend on the image."""

    def extract(rgb):
        return np.random.default_rng(int(rgb.sum())).normal(size=(*size, channels))

    return extract


def slow_twin(scene, views, extractor):
    """The formula in float64 on a dense matrix of blending weights, one rendering per block of Gaussians."""
    frozen, sums, total = freeze(scene), 0.0, 0.0
    for view in views:
        projection = project_view(view, frozen)
        weights = draw(projection, torch.eye(len(scene))).features.numpy().reshape(-1, len(scene)).T
        weights = weights.astype(np.float64)
        if view.mask is not None:
            weights = weights * view.mask.reshape(-1)
        whole = weights.sum(axis=1)
        whole = np.where(whole > 1e-3 * whole.max(), whole, 0.0)
        seen = whole / (whole + 0.25 * np.quantile(whole[whole > 0], 0.8))
        flat = extractor(view.rgb).reshape(weights.shape[1], -1)
        mean = np.divide(
            weights @ flat,
            whole[:, None],
            where=whole[:, None] > 0,
            out=np.zeros((len(whole), flat.shape[1])),
        )
        sums, total = sums + seen[:, None] * mean, total + seen
    return np.divide(sums, total[:, None], where=total[:, None] > 0, out=np.zeros_like(sums)), total


def test_lifting_equals_the_slow_twin(scene, views):
    half = np.zeros((48, 64), dtype=bool)
    half[:, :40] = True
    some = (*views[:2], replace(views[2], mask=half))
    found = point2act.lift_features(scene, some, noise(5))
    values, total = slow_twin(scene, some, noise(5))
    np.testing.assert_allclose(found.seen, total, atol=1e-4)
    # Just above the least weight that counts, sums of float32 have few digits.
    clear = total > 0.05
    assert clear.mean() > 0.5
    np.testing.assert_allclose(found.values[clear], values[clear], atol=2e-3)


def test_the_chunk_changes_nothing(scene, views):
    whole = lift_features(scene, views[:3], noise(7), chunk=64)
    for chunk in (1, 3, 7):
        np.testing.assert_array_equal(
            lift_features(scene, views[:3], noise(7), chunk=chunk).values, whole.values
        )


def test_a_known_field_is_recovered(scene, views):
    """Where every pixel says at which world point it is, and on what, Gaussians learn both."""
    worlds = {}
    for view in views:
        pixels = pixel_centers(48, 64).reshape(-1, 2)
        where = back_project(view.camera, view.T_world_cam, pixels, view.depth.reshape(-1).astype(float))
        on = synthetic.render(view.T_world_cam, synthetic.rays(view.camera)).ids
        fields = [where.reshape(48, 64, 3), on[..., None] == np.arange(-2, 3)]
        worlds[view.rgb.tobytes()] = np.concatenate(fields, axis=2)
    found = lift_features(scene, views, lambda rgb: worlds[rgb.tobytes()])
    clear = found.seen > 1.0
    assert clear.mean() > 0.5
    errors = np.linalg.norm(found.values[:, :3] - scene.means, axis=1)[clear]
    # A pixel is 8 mm, and the Gaussians are as large.
    assert np.median(errors) < 0.02
    blocks = [away_from(block, scene.means) for block in synthetic.TABLETOP]
    away = np.stack([scene.means[:, 2], *blocks], axis=1)
    alone = clear & (np.sort(away, axis=1)[:, 1] > 0.015)
    learnt = found.values[:, 4:].argmax(axis=1)
    assert alone.sum() > 100
    assert (learnt == away.argmin(axis=1))[alone].mean() > 0.95


def away_from(block, points):
    """The distance of points to a block."""
    outside = np.abs(points - block.center) - block.half_extents
    return np.linalg.norm(np.maximum(outside, 0), axis=1)


@pytest.mark.parametrize("size", [(6, 8), (1, 1), (96, 128)])
def test_features_of_any_resolution_are_resized_and_constants_stay(scene, views, size):
    constant = np.broadcast_to(np.array([1.0, -2.0, 0.5], dtype=np.float16), (*size, 3))
    found = lift_features(scene, views[:3], lambda _: constant)
    seen = found.seen > 0
    np.testing.assert_allclose(found.values[seen], np.tile([1.0, -2.0, 0.5], (seen.sum(), 1)), atol=1e-4)
    assert not found.values[~seen].any()


def test_lifting_is_linear(scene, views):
    one, other = (
        lift_features(scene, views[:3], each).values for each in (noise(2), lambda r: 3 * noise(2)(r) + 1)
    )
    seen = lift_features(scene, views[:3], noise(2)).seen > 0
    np.testing.assert_allclose(other[seen], 3 * one[seen] + 1, atol=1e-4)


def test_what_a_mask_excludes_does_not_count(scene, views):
    usable = np.zeros((48, 64), dtype=bool)
    usable[:, 32:] = True
    left = np.where(usable, 1.0, 1e6)[..., None]
    found = lift_features(scene, [replace(view, mask=usable) for view in views], lambda _: left)
    assert np.abs(found.values[found.seen > 0] - 1).max() < 1e-4


@pytest.mark.parametrize(
    ("extractor", "says"),
    [
        (lambda rgb: np.full((4, 4, 2), np.nan), "not finite"),
        (lambda rgb: np.full((4, 4, 2), np.inf), "not finite"),
        (lambda rgb: np.zeros((4, 4)), r"shape \(4, 4\)"),
        (lambda rgb: np.zeros((4, 4, 0)), r"shape \(4, 4, 0\)"),
        (lambda rgb: np.array([["a"]]), "return numbers"),
        (lambda rgb: np.zeros((4, 4, 1 + rgb[0, 0, 0] % 2 + int(rgb.sum()) % 97)), "channels"),
    ],
)
def test_features_that_cannot_be_used_are_refused(scene, views, extractor, says):
    with pytest.raises(SceneError, match=says):
        lift_features(scene, views, extractor)


def test_nothing_to_lift_is_refused(scene, views):
    with pytest.raises(SceneError, match="without views"):
        lift_features(scene, [], noise(2))
    away = views[0].T_world_cam.copy()
    away[:3, :3] = away[:3, :3] @ np.diag([1.0, -1.0, -1.0])
    with pytest.raises(SceneError, match="no view sees any Gaussian"):
        lift_features(scene, [replace(views[0], T_world_cam=away)], noise(2))
    dark = replace(views[0], mask=np.zeros((48, 64), dtype=bool))
    with pytest.raises(SceneError, match="no view sees any Gaussian"):
        lift_features(scene, [dark], noise(2))


def test_progress_counts_views(scene, views):
    calls = []
    lift_features(scene, views[:3], noise(1), progress=lambda *call: calls.append(call))
    assert calls == [(1, 3), (2, 3), (3, 3)]


# ── crops ─────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def features(scene, views):
    return lift_features(scene, views, noise(4))


def test_crops_get_finer_and_are_in_the_frame_of_the_key_point(scene, features, region):
    crops = features_at(scene, features, region, radius=0.16, levels=3, count=100000)
    assert [crop.radius for crop in crops] == [0.16, 0.08, 0.04]
    for crop in crops:
        assert np.linalg.norm(crop.points, axis=1).max() <= crop.radius
        assert len(crop.points) == len(crop.colors) == len(crop.features) == len(crop.normals)
        world = transform_points(crop.T_world_key, crop.points)
        away = np.linalg.norm(scene.means - region.action_point, axis=1)
        expected = scene.means[(away <= crop.radius) & (features.seen > 0)]
        np.testing.assert_allclose(world, expected, atol=1e-9)
        assert ((crop.colors >= 0) & (crop.colors <= 1)).all()
        np.testing.assert_allclose(np.linalg.norm(crop.normals, axis=1), 1, atol=1e-6)
    # On the top of the box: z is up, x along its longer side.
    T = crops[0].T_world_key
    assert T[2, 2] > 0.95
    assert abs(T[1, 0]) > 0.95
    np.testing.assert_allclose(T[:3, 3], region.action_point)


def test_normals_point_to_the_cameras(scene, features):
    table = (scene.means[:, 2] < 0.002) & (features.seen > 1) & (np.abs(scene.means[:, :2]).max(axis=1) < 0.2)
    assert table.sum() > 50
    assert (features.normals[table, 2] > 0).all()


def test_a_moved_scene_has_the_same_crops(scene, views, features, region):
    angle, shift = 0.7, np.array([0.3, -0.2, 0.5])
    R = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    turn = np.array([np.cos(angle / 2), 0, 0, np.sin(angle / 2)])
    w, v = scene.quats[:, :1], scene.quats[:, 1:]
    quats = np.concatenate(
        [turn[0] * w - v @ turn[1:, None], turn[0] * v + w * turn[1:] + np.cross(turn[1:], v)], axis=1
    )
    moved = replace(scene, means=scene.means @ R.T + shift, quats=quats)
    box = replace(region.box, center=R @ region.box.center + shift, axes=region.box.axes @ R.T)
    there = replace(region, action_point=R @ region.action_point + shift, box=box)
    own = replace(features, normals=features.normals @ R.T)
    for one, other in zip(features_at(scene, features, region), features_at(moved, own, there), strict=True):
        np.testing.assert_allclose(other.points, one.points, atol=1e-9)
        np.testing.assert_allclose(other.normals, one.normals, atol=1e-9)
        np.testing.assert_array_equal(other.features, one.features)


def test_large_crops_are_drawn_with_a_seed(scene, features, region):
    one, same, other = (features_at(scene, features, region, count=20, seed=seed) for seed in (0, 0, 1))
    assert [len(crop.points) for crop in one[:2]] == [20, 20]
    np.testing.assert_array_equal(one[0].points, same[0].points)
    assert not np.array_equal(one[0].points, other[0].points)


def test_where_nothing_is_crops_are_empty_and_the_frame_is_rigid(scene, features, region):
    box = replace(region.box, axes=np.eye(3), half_extents=np.array([0.1, 0.1, 0.9]))
    nowhere = replace(region, action_point=np.full(3, 50.0), box=box)
    crops = features_at(scene, features, nowhere)
    assert [crop.points.shape for crop in crops] == [(0, 3)] * 3
    R = crops[0].T_world_key[:3, :3]
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)


def test_features_of_another_scene_are_refused(scene, features, region):
    other = SceneFeatures(features.values[:5], features.seen[:5], features.normals[:5])
    with pytest.raises(SceneError, match="5 Gaussians"):
        point2act.features_at(scene, other, region)


def test_columns_are_named_for_lerobot(scene, features, region, tmp_path):
    columns = crop_columns(features_at(scene, features, region, levels=2, count=30))
    np.savez(tmp_path / "crop.npz", **columns)
    names = ("points", "colors", "features", "normals")
    with np.load(tmp_path / "crop.npz") as read:
        arrays = {f"observation.crop_{level}.{name}" for level in range(2) for name in names}
        assert set(read) == {*arrays, "observation.T_world_key"}
        assert read["observation.crop_0.features"].shape == (30, 4)
