from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.core.types import GaussianScene
from point2act.splatting.intersection import intersect_ray


def sheet(rng: np.random.Generator, z: float, count: int = 3000, *, opacity: float = 0.95) -> GaussianScene:
    """Flat Gaussians on the plane of height z, closer to each other than their size."""
    means = np.column_stack([rng.uniform(-1, 1, (count, 2)), np.full(count, z)])
    return GaussianScene(
        means=means,
        quats=np.tile([1.0, 0, 0, 0], (count, 1)),
        scales=np.tile([0.05, 0.05, 1e-3], (count, 1)),
        opacities=np.full(count, opacity),
        sh=np.zeros((count, 1, 3)),
    )


def joined(*scenes: GaussianScene) -> GaussianScene:
    names = ("means", "quats", "scales", "opacities", "sh")
    return GaussianScene(*(np.concatenate([getattr(scene, name) for scene in scenes]) for name in names))


@given(st.integers(0, 1000))
def test_a_plane_is_met_where_the_ray_meets_it(seed: int):
    rng = np.random.default_rng(seed)
    scene = joined(sheet(rng, 0.0), sheet(rng, -0.5))
    origin, goal = np.array([0.3, -0.2, 2.0]), np.append(rng.uniform(-0.7, 0.7, 2), 0.0)
    found = intersect_ray(scene, origin, 3.0 * (goal - origin))
    np.testing.assert_allclose(found, goal, atol=0.01)


@given(st.integers(0, 1000))
def test_a_rigid_motion_of_everything_moves_the_point(seed: int):
    rng = np.random.default_rng(seed)
    scene = replace(sheet(rng, 0.0, 500), scales=np.exp(rng.uniform(-4, -2, (500, 3))))
    origin, direction = np.array([0.0, 0.0, 2.0]), np.append(rng.uniform(-0.2, 0.2, 2), -1.0)
    turn, shift = Rotation.random(random_state=seed), rng.normal(size=3)
    moved = replace(
        scene,
        means=turn.apply(scene.means) + shift,
        quats=(turn * Rotation.from_quat(np.roll(scene.quats, -1, axis=1))).as_quat()[:, [3, 0, 1, 2]],
    )
    here = intersect_ray(scene, origin, direction)
    there = intersect_ray(moved, turn.apply(origin) + shift, turn.apply(direction))
    # Some rays pass between the Gaussians, before and after.
    assert (here is None) == (there is None)
    if here is not None:
        np.testing.assert_allclose(there, turn.apply(here) + shift, atol=1e-9)


def test_haze_does_not_stop_a_ray():
    rng = np.random.default_rng(0)
    haze = sheet(rng, 1.0, 30, opacity=0.05)
    found = intersect_ray(joined(haze, sheet(rng, 0.0)), np.array([0.0, 0, 2]), np.array([0.0, 0, -1]))
    np.testing.assert_allclose(found, [0, 0, 0], atol=0.01)


@pytest.mark.parametrize("direction", [[0.0, 0, 1], [1.0, 0, 0]])
def test_a_ray_that_passes_meets_nothing(direction):
    scene = sheet(np.random.default_rng(0), 0.0)
    assert intersect_ray(scene, np.array([0.0, 0, 2]), np.array(direction)) is None
    none = GaussianScene(*(values[:0] for values in vars(scene).values()))
    assert intersect_ray(none, np.array([0.0, 0, 2]), np.array([0.0, 0, -1])) is None


def test_it_agrees_with_the_rendered_depth():
    """A twin: the rays of pixels against the mean depth that the renderer blends, at 64x48 pixels."""
    import synthetic

    from point2act.core.geometry import back_project, pixel_centers
    from point2act.splatting.gaussians import freeze
    from point2act.splatting.initialization import StartConfig, from_depth
    from point2act.splatting.rendering import project_view, render_view

    views = synthetic.views(4, height=48, width=64)
    scene = from_depth(views, StartConfig(), np.random.default_rng(0))
    view = views[0]
    frozen = freeze(scene)
    rendered = render_view(project_view(view, frozen), frozen)
    pixels = pixel_centers(48, 64)[8:40:8, 8:56:8].reshape(-1, 2)
    rows, columns = np.floor(pixels[:, 1]).astype(int), np.floor(pixels[:, 0]).astype(int)
    points = back_project(view.camera, view.T_world_cam, pixels, rendered.depth[rows, columns])
    eye = view.T_world_cam[:3, 3]
    errors = []
    for point, alpha in zip(points, rendered.alpha[rows, columns], strict=True):
        found = intersect_ray(scene, eye, point - eye)
        if alpha > 0.9:
            assert found is not None
            errors.append(np.linalg.norm(found - point) / np.linalg.norm(point - eye))
    assert len(errors) > 10
    assert np.median(errors) < 0.025
