"""Laws of the rasterizer, and its slow twin."""

from __future__ import annotations

import importlib
import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType

import numba
import numpy as np
import pytest
import reference_render
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from point2act.core.types import Camera
from point2act.splatting.cpu import compile_kernels, raster_kernels, tile_kernels
from point2act.splatting.cpu.tile_kernels import Splats
from point2act.splatting.gaussians import Activated, Projection
from point2act.splatting.render import Rendered, draw, gather, project_gaussians, render

CAMERA = Camera(fx=50.0, fy=47.0, cx=21.3, cy=14.2, height=33, width=45)
NAMES = ("means", "quats", "scales", "opacities", "features", "T_cam_world")


@dataclass(frozen=True, eq=False)
class Scene:
    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    features: Tensor
    T_cam_world: Tensor

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, name) for name in NAMES)

    def leaves(self, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        return [tensor.detach().clone().to(dtype).requires_grad_() for tensor in self.tensors()]

    def render(self, camera: Camera = CAMERA) -> Rendered:
        return render(*self.tensors(), camera)

    def project(self) -> Projection:
        return project_gaussians(Activated(*self.tensors()[:4]), self.T_cam_world, CAMERA)

    def pick(self, index: Tensor) -> Scene:
        return Scene(*(tensor[index] for tensor in self.tensors()[:5]), self.T_cam_world)


def random_scene(seed: int, *, n: int = 60, channels: int = 3) -> Scene:
    """Gaussians of all sizes, some behind the camera and beside the image, seen by a tilted camera."""
    rng = np.random.default_rng(seed)
    in_camera = rng.uniform([-0.6, -0.5, -0.2], [0.6, 0.5, 1.6], (n, 3))
    T_cam_world = random_pose(rng)
    T_world_cam = np.linalg.inv(T_cam_world)
    arrays = (
        in_camera @ T_world_cam[:3, :3].T + T_world_cam[:3, 3],
        rng.normal(size=(n, 4)),
        np.exp(rng.uniform(-5.5, -1.5, (n, 3))),
        rng.uniform(0.01, 1, n),
        rng.normal(size=(n, channels)),
        T_cam_world,
    )
    return Scene(*(torch.tensor(array, dtype=torch.float32) for array in arrays))


def random_pose(rng: np.random.Generator) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    pose[:3, 0] *= np.linalg.det(pose[:3, :3])
    pose[:3, 3] = rng.normal(size=3)
    return pose


def one(**changes: object) -> Scene:
    """A single round Gaussian in front of the camera, with changes."""
    scene = Scene(
        means=torch.tensor([[0.0, 0.0, 1.0]]),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        scales=torch.full((1, 3), 0.05),
        opacities=torch.tensor([0.8]),
        features=torch.tensor([[2.0]]),
        T_cam_world=torch.eye(4),
    )
    return replace(scene, **{name: torch.tensor(value) for name, value in changes.items()})


def loss(picture: Rendered | reference_render.Picture, weights: tuple[Tensor, ...]) -> Tensor:
    """A linear functional of all that is drawn."""
    parts = (picture.features, picture.depth, picture.alpha)
    terms = [(part * weight.to(part.dtype)).sum() for part, weight in zip(parts, weights, strict=True)]
    return torch.stack(terms).sum()


def upstream(seed: int, channels: int, mask: Tensor) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shape = (CAMERA.height, CAMERA.width)
    maps = (torch.randn(size, generator=generator) for size in ((*shape, channels), shape, shape))
    return tuple(random * (mask[..., None] if random.dim() == 3 else mask) for random in maps)


# ── the slow twin ────────────────────────────────────────────────────────────────────────────────
def dense_scene(seed: int) -> Scene:
    """Wide Gaussians that hide one another, a few of them as dense as can be."""
    scene = random_scene(seed)
    opacities = scene.opacities.where(torch.arange(60) % 3 > 0, 1.0)
    return replace(scene, opacities=opacities, scales=scene.scales.clamp_min(0.15))


SCENES = {f"{channels} channels": random_scene(channels, channels=channels) for channels in (0, 1, 3, 7)}
SCENES["dense"] = dense_scene(20)
SCENES["wide, opacity 1"] = one(scales=[[2.0, 1.5, 1.0]], quats=[[0.9, 0.1, 0.2, 0.3]], opacities=[1.0])


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
def test_values_and_gradients_are_those_of_the_slow_twin(scene: Scene) -> None:
    fast, slow = scene.leaves(), scene.leaves(torch.float64)
    ours, twin = render(*fast, CAMERA), reference_render.render(*slow, CAMERA)
    calm = ~twin.risky
    assert calm.float().mean() > 0.99
    for name in ("features", "depth", "alpha"):
        assert torch.allclose(getattr(ours, name)[calm].double(), getattr(twin, name)[calm], atol=5e-6)

    weights = upstream(0, scene.features.shape[1], calm)
    loss(ours, weights).backward()
    loss(twin, weights).backward()
    for name, a, b in zip(NAMES, fast, slow, strict=True):
        size = b.grad.abs().max() if b.grad.numel() else 1.0
        assert torch.allclose(a.grad.double() / size, b.grad / size, atol=1e-5), name


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_scenes_agree_with_the_slow_twin(seed: int) -> None:
    scene = random_scene(seed, n=20, channels=1)
    ours = scene.render()
    twin = reference_render.render(*(tensor.double() for tensor in scene.tensors()), CAMERA)
    wrong = (ours.features - twin.features).abs().amax(dim=-1) > 1e-5
    assert not (wrong & ~twin.risky).any()


def test_projection_is_that_of_gsplat() -> None:
    torch_impl = pytest.importorskip("gsplat.cuda._torch_impl")
    from point2act.splatting.cpu import numba_backend

    scene = random_scene(11, n=300)
    means, quats, scales, opacities, _, pose = scene.tensors()
    covariances, _ = torch_impl._quat_scale_to_covar_preci(quats, scales, compute_preci=False)
    radii, means2d, depths, conics, _ = torch_impl._fully_fused_projection(
        means, covariances, pose[None], torch.tensor(CAMERA.K).float()[None], CAMERA.width, CAMERA.height
    )
    ours = numba_backend.project(means, quats, scales, opacities, pose, CAMERA)
    drawn = ours.radii > 0
    assert drawn.sum() > 100
    a, s, e = ours.shapes[drawn].unbind(1)
    assert torch.allclose(ours.means2d[drawn], means2d[0, drawn], atol=1e-3, rtol=1e-4)
    assert torch.allclose(ours.depths, depths[0], atol=1e-6)
    assert torch.allclose(torch.stack([a, -a * s, e + a * s * s], 1), conics[0, drawn], atol=1e-5, rtol=1e-2)
    assert (ours.radii[drawn] - radii[0, drawn]).abs().max() <= 1
    assert (radii[0, drawn] > 0).all()


# ── laws ─────────────────────────────────────────────────────────────────────────────────────────
def test_picture_is_linear_in_the_features() -> None:
    scene = random_scene(1)
    other = replace(scene, features=torch.randn(scene.features.shape))
    both = replace(scene, features=2 * scene.features - 3 * other.features)
    expected = 2 * scene.render().features - 3 * other.render().features
    assert torch.allclose(both.render().features, expected, atol=1e-5)


def test_equal_features_come_out_as_alpha() -> None:
    scene = random_scene(2)
    rendered = replace(scene, features=torch.ones_like(scene.features)).render()
    assert torch.allclose(
        rendered.features, rendered.alpha[..., None].expand_as(rendered.features), atol=1e-6
    )


def test_background_shows_through() -> None:
    scene = random_scene(2)
    color = torch.tensor([0.1, 0.5, 2.0])
    plain, backed = scene.render(), render(*scene.tensors(), CAMERA, background=color)
    assert torch.allclose(backed.features, plain.features + (1 - plain.alpha[..., None]) * color)


def test_order_of_the_gaussians_does_not_matter() -> None:
    scene = random_scene(3)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    straight, shuffled = scene.render(), scene.pick(order).render()
    assert torch.equal(straight.features, shuffled.features)
    assert torch.equal(straight.radii[order], shuffled.radii)


def test_moving_world_and_camera_together_changes_nothing() -> None:
    scene = random_scene(4)
    T_new_old = torch.tensor(random_pose(np.random.default_rng(9)), dtype=torch.float32)
    half = torch.tensor(_half_turn(T_new_old[:3, :3].double().numpy()), dtype=torch.float32)
    moved = replace(
        scene,
        means=scene.means @ T_new_old[:3, :3].T + T_new_old[:3, 3],
        quats=_quaternion_product(half, scene.quats),
        T_cam_world=scene.T_cam_world @ torch.linalg.inv(T_new_old),
    )
    before, after = scene.render(), moved.render()
    off = (before.features - after.features).abs().amax(dim=-1) > 1e-4
    assert off.float().mean() < 0.005
    assert torch.allclose(before.depth[~off], after.depth[~off], atol=1e-4)


def _half_turn(R: np.ndarray) -> np.ndarray:
    """The quaternion of a rotation matrix, by way of its eigenvector."""
    xx, yy, zz = np.diag(R)
    K = np.array(
        [
            [xx + yy + zz, R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]],
            [R[2, 1] - R[1, 2], xx - yy - zz, R[0, 1] + R[1, 0], R[0, 2] + R[2, 0]],
            [R[0, 2] - R[2, 0], R[0, 1] + R[1, 0], yy - xx - zz, R[1, 2] + R[2, 1]],
            [R[1, 0] - R[0, 1], R[0, 2] + R[2, 0], R[1, 2] + R[2, 1], zz - xx - yy],
        ]
    )
    return np.linalg.eigh(K)[1][:, -1]


def _quaternion_product(p: Tensor, q: Tensor) -> Tensor:
    scalar = p[0] * q[:, 0] - q[:, 1:] @ p[1:]
    vector = p[0] * q[:, 1:] + q[:, :1] * p[1:] + torch.linalg.cross(p[1:].expand_as(q[:, 1:]), q[:, 1:])
    return torch.cat([scalar[:, None], vector], dim=1)


def test_length_of_a_quaternion_does_not_matter() -> None:
    scene = random_scene(6)
    stretched = replace(scene, quats=scene.quats * 17.0)
    assert torch.allclose(scene.render().features, stretched.render().features, atol=1e-6)
    leaves = scene.leaves()
    render(*leaves, CAMERA).features.square().sum().backward()
    along = (leaves[1].grad * leaves[1]).sum(dim=1).abs()
    assert (along <= 1e-4 * (1 + leaves[1].grad.norm(dim=1) * leaves[1].norm(dim=1))).all()


def test_depth_of_a_wall_is_its_depth() -> None:
    scene = one(means=[[0.0, 0.0, 1.7]], scales=[[90.0, 90.0, 1e-4]], opacities=[0.6])
    rendered = scene.render()
    assert torch.allclose(rendered.alpha, torch.tensor(0.6), atol=1e-3)
    assert torch.allclose(rendered.depth, torch.tensor(1.7), atol=1e-4)
    assert torch.equal(one(opacities=[0.0]).render().depth, torch.zeros(CAMERA.height, CAMERA.width))


def test_gradient_of_the_centres_is_kept_in_pixels() -> None:
    leaves = one().leaves()
    rendered = render(*leaves, CAMERA)
    rendered.means2d.retain_grad()
    ramp = torch.arange(CAMERA.width) + 0.5
    (rendered.features[..., 0] * ramp).sum().backward()
    total = rendered.features.sum().item()
    assert rendered.means2d.grad is not None
    assert math.isclose(rendered.means2d.grad[0, 0].item(), total, rel_tol=0.05)
    assert math.isclose(rendered.means2d.grad[0, 1].item(), 0.0, abs_tol=0.01 * total)


# ── gather ───────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("queries", [0, 1, 4])
def test_gather_is_the_gradient_of_the_features(queries: int) -> None:
    scene = random_scene(7, channels=queries)
    maps = torch.randn(CAMERA.height, CAMERA.width, queries)
    features = scene.features.clone().requires_grad_()
    (replace(scene, features=features).render().features * maps).sum().backward()
    sums, weights = gather(scene.project(), maps)
    assert torch.allclose(sums, features.grad, atol=1e-5)
    alpha = scene.render().alpha
    assert torch.isclose(weights.sum(), alpha.sum(), rtol=1e-5)
    assert not sums.requires_grad


def test_gather_and_render_are_adjoint() -> None:
    scene = random_scene(8, channels=2)
    maps = torch.rand(CAMERA.height, CAMERA.width, 2)
    sums, weights = gather(scene.project(), maps)
    assert torch.isclose((sums * scene.features).sum(), (scene.render().features * maps).sum(), rtol=1e-4)
    whole, _ = gather(scene.project(), torch.ones_like(maps))
    assert torch.equal(whole[:, 0], weights)


def spots() -> Tensor:
    """Maps that are 0 in most of the 3x3 tiles: a patch over the border of two, a corner, and nothing."""
    maps = torch.zeros(CAMERA.height, CAMERA.width, 3)
    maps[10:20, 3:9, 0] = torch.rand(10, 6, generator=torch.Generator().manual_seed(0)) - 0.2
    maps[-1, -1, 1] = -2.0
    return maps


def test_gathering_first_and_again_is_that_of_the_slow_twin() -> None:
    scene = random_scene(21)
    # A feature for each Gaussian alone: the twin's picture is the weights.
    each = replace(scene, features=torch.eye(60))
    twin = reference_render.render(*(tensor.double() for tensor in each.tensors()), CAMERA)
    assert not twin.risky.any()
    maps, projection = spots(), scene.project()
    expected = torch.einsum("hwn,hwq->nq", twin.features, maps.double())
    assert (expected.abs().amax(dim=0)[:2] > 1e-3).all()
    for _ in range(2):
        sums, weights = gather(projection, maps)
        assert torch.allclose(sums.double(), expected, atol=1e-5)
        assert torch.allclose(weights.double(), twin.features.sum(dim=(0, 1)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("maps", [spots(), -spots(), spots()[..., 2:], spots()[..., :0], spots() + 0.1])
def test_a_kept_projection_gathers_the_bits_of_a_fresh_one(maps: Tensor) -> None:
    scene = dense_scene(22)
    kept = scene.project()
    gather(kept, torch.rand(CAMERA.height, CAMERA.width, 2))
    for again, first in zip(gather(kept, maps), gather(scene.project(), maps), strict=True):
        assert torch.equal(again, first)


def test_of_the_first_gathering_the_weights_alone_are_kept() -> None:
    projection = random_scene(23).project()
    assert not projection.weights
    for _ in range(2):
        _, weights = gather(projection, torch.rand(CAMERA.height, CAMERA.width, 5))
    assert len(projection.weights) == 1
    assert weights.untyped_storage().nbytes() == 4 * 60


def test_tiles_without_heat_are_passed_over() -> None:
    projection, maps = random_scene(24).project(), spots().numpy()
    seen = (projection.means2d, projection.shapes, projection.opacities)
    splats = Splats(*(tensor.numpy() for tensor in seen), projection.extent)
    records = np.full((len(projection.tiles.members), 4), np.nan, np.float32)
    raster_kernels.gather_nonzero(splats, projection.tiles, maps, records)
    touched = []
    for tile in range(9):
        slots = projection.tiles.slots[projection.tiles.start[tile] : projection.tiles.start[tile + 1]]
        assert len(slots) > 0
        touched.append(bool(np.isfinite(records[slots]).any()))
    assert touched == [True, False, False, True, False, False, False, False, True]


# ── looking once ─────────────────────────────────────────────────────────────────────────────────
def test_what_was_looked_at_is_drawn_and_gathered_again_bit_for_bit() -> None:
    scene, maps = random_scene(18), torch.rand(CAMERA.height, CAMERA.width, 2)
    background = torch.tensor([0.1, 0.2, 0.3])
    whole = render(*scene.leaves(), CAMERA, background=background)
    projection = scene.project()
    for _ in range(2):
        again = draw(projection, scene.features, background=background)
        for name in ("features", "depth", "alpha", "means2d", "depths", "radii"):
            assert torch.equal(getattr(again, name), getattr(whole, name)), name
        for kept, fresh in zip(gather(projection, maps), gather(scene.project(), maps), strict=True):
            assert torch.equal(kept, fresh)


def test_looking_and_drawing_leave_no_gradients() -> None:
    scene = random_scene(19)
    *gaussians, features, pose = scene.leaves()
    projection = project_gaussians(Activated(*gaussians), pose, CAMERA)
    drawn = draw(projection, features)
    tensors = (
        projection.means2d,
        projection.depths,
        projection.opacities,
        drawn.features,
        drawn.depth,
        drawn.alpha,
    )
    assert not any(tensor.requires_grad for tensor in tensors)


# ── degenerate inputs ────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "scene",
    [
        random_scene(0).pick(torch.zeros(0, dtype=torch.long)),
        one(means=[[0.0, 0.0, -1.0]]),
        one(means=[[0.0, 0.0, 0.0]]),
        one(means=[[0.0, 0.0, 0.01]]),
        one(means=[[50.0, 0.0, 1.0]]),
        one(means=[[math.nan, 0.0, 1.0]]),
        one(means=[[math.inf, 0.0, 1.0]]),
        one(opacities=[0.0]),
        one(opacities=[1 / 256]),
        one(opacities=[math.nan]),
        one(quats=[[math.nan, 0.0, 0.0, 1.0]]),
        one(scales=[[math.inf, 1.0, 1.0]]),
        one(scales=[[1e30, 1.0, 1.0]]),
    ],
)
def test_nothing_to_see(scene: Scene) -> None:
    leaves = scene.leaves()
    rendered = render(*leaves, CAMERA)
    assert not rendered.alpha.any()
    assert not rendered.features.any()
    assert not rendered.depth.any()
    assert not rendered.radii.any()
    (rendered.features.sum() + rendered.depth.sum() + rendered.alpha.sum()).backward()
    for leaf in leaves:
        assert leaf.grad is None or not leaf.grad.any()
    sums, weights = gather(scene.project(), torch.ones(33, 45, 1))
    assert not sums.any()
    assert not weights.any()


@pytest.mark.parametrize(
    "scene",
    [
        one(opacities=[1.0]),
        one(scales=[[0.0, 0.0, 0.0]]),
        one(scales=[[1e3, 1e3, 1e3]]),
        one(scales=[[1e6, 1e-6, 1e-6]], quats=[[0.9, 0.1, 0.2, 0.3]]),
        one(means=[[-0.3, 0.2, 0.011]], scales=[[0.1, 0.1, 0.1]]),
        one(quats=[[0.0, 0.0, 0.0, 0.0]]),
        one(quats=[[1e-8, 0.0, 0.0, 1e-8]]),
        one(opacities=[3.0]),
    ],
)
def test_extreme_gaussians_leave_finite_numbers(scene: Scene) -> None:
    leaves = scene.leaves()
    rendered = render(*leaves, CAMERA)
    (rendered.features.sum() + rendered.depth.sum()).backward()
    assert rendered.alpha.max() > 0
    for tensor in (rendered.features, rendered.depth, rendered.alpha, *(leaf.grad for leaf in leaves)):
        assert tensor.isfinite().all()
    assert rendered.alpha.max() <= 0.9991


def test_a_huge_needle_is_drawn_as_by_the_slow_twin() -> None:
    """Where the usual quadratic form loses all its digits in float32."""
    scene = one(scales=[[1e3, 1e-4, 1e-4]], quats=[[0.9, 0.1, 0.2, 0.3]])
    ours = scene.render()
    twin = reference_render.render(*(tensor.double() for tensor in scene.tensors()), CAMERA)
    assert twin.alpha.max() > 0.5
    assert torch.allclose(ours.alpha.double(), twin.alpha, atol=1e-3)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 300))
def test_depths_are_sorted_to_the_last_bit(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    depths = (1 + 1e-7 * rng.integers(0, 50, n) * 10.0 ** rng.integers(0, 8, n)).astype(np.float32)
    extent = rng.uniform(-0.2, 1, (n, 3)).astype(np.float32).clip(0)
    order = np.argsort(depths, kind="stable")
    assert np.array_equal(tile_kernels.sort_by_depth(depths, extent), order[extent[order, 0] > 0])


def test_opaque_wall_hides_all_behind_it() -> None:
    n = 200
    scene = replace(
        random_scene(0, n=n, channels=1),
        means=torch.cat([torch.zeros(n, 2), torch.linspace(1, 2, n)[:, None]], dim=1),
        scales=torch.full((n, 3), 3.0),
        opacities=torch.full((n,), 0.9),
        T_cam_world=torch.eye(4),
    )
    rendered = scene.render()
    _, weights = gather(scene.project(), torch.zeros(33, 45, 0))
    assert (1 - rendered.alpha).min() > 1e-4
    assert (weights > 0).sum() < 8


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (16, 16), (17, 15), (50, 3)])
def test_images_of_any_size(height: int, width: int) -> None:
    camera = replace(CAMERA, height=height, width=width, cx=width / 2, cy=height / 2)
    scene = random_scene(12, n=30, channels=2)
    ours = scene.render(camera)
    twin = reference_render.render(*(tensor.double() for tensor in scene.tensors()), camera)
    assert ours.features.shape == (height, width, 2)
    wrong = (ours.features - twin.features).abs().amax(dim=-1) > 1e-5
    assert not (wrong & ~twin.risky).any()


def test_as_many_tiles_as_the_shuffle_strides() -> None:
    camera = replace(CAMERA, height=16, width=16 * raster_kernels.STRIDE)
    rendered = one(scales=[[1e4, 1e4, 1e4]]).render(camera)
    assert torch.allclose(rendered.alpha, torch.tensor(0.8), atol=0.01)


def test_strided_and_double_inputs() -> None:
    scene = random_scene(13)
    expected = scene.render()
    strided = [tensor.t().contiguous().t() if tensor.dim() == 2 else tensor for tensor in scene.tensors()]
    assert not strided[0].is_contiguous()
    assert torch.equal(render(*strided, CAMERA).features, expected.features)
    leaves = [tensor.double().requires_grad_() for tensor in scene.tensors()]
    rendered = render(*leaves, CAMERA)
    rendered.features.sum().backward()
    assert rendered.features.dtype == torch.float32
    assert leaves[0].grad.dtype == torch.float64


# ── threads ──────────────────────────────────────────────────────────────────────────────────────
def test_any_number_of_threads_gives_the_same_bits() -> None:
    scene = random_scene(14, n=1000)
    results = []
    for threads in range(1, min(numba.config.NUMBA_NUM_THREADS, 4) + 1):
        numba.set_num_threads(threads)
        leaves = scene.leaves()
        rendered = render(*leaves, CAMERA)
        (rendered.features.square().sum() + rendered.depth.sum()).backward()
        results.append([rendered.features.detach(), rendered.depth.detach(), *(leaf.grad for leaf in leaves)])
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_rendering_from_several_threads_at_once() -> None:
    scene = random_scene(15)
    expected = scene.render().features
    seen: list[Tensor] = []
    workers = [threading.Thread(target=lambda: seen.append(scene.render().features)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(seen) == 4
    assert all(torch.equal(picture, expected) for picture in seen)


def test_kernels_compile_where_nothing_can_be_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_folder(function: Callable[..., object], *, cache: bool = False, **options: object) -> object:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return numba.njit(function, **options)

    monkeypatch.setattr(compile_kernels, "njit", without_folder)
    assert compile_kernels.compiled(lambda x: x + 1)(2) == 3


def test_threads_are_set_to_sleep_but_not_against_the_users_will(monkeypatch: pytest.MonkeyPatch) -> None:
    from point2act.core.threads import configure_threads

    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    configure_threads()
    assert os.environ["OMP_WAIT_POLICY"] == "active"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    configure_threads()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"


# ── the graphics card ────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("version", ["1.4", "1.5"])
@pytest.mark.parametrize("channels", [0, 3, 40])
def test_gsplat_is_called_as_it_wants_to_be(
    version: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its CUDA kernels replaced by its own torch code, and its rasterizer by our slow twin's."""
    pretend_gsplat(version, monkeypatch)
    scene = random_scene(17, n=20, channels=channels)
    maps = torch.rand(CAMERA.height, CAMERA.width, 2)
    ours, expected = scene.leaves(), scene.leaves()
    rendered_ours = render(*ours, CAMERA)
    gathered_ours = gather(scene.project(), maps)
    monkeypatch.setattr("point2act.splatting.render._backend", lambda device: gsplat_backend())
    rendered = render(*expected, CAMERA)
    projection = scene.project()
    gathered = gather(projection, maps)
    for again, first in zip(gather(projection, maps), gathered, strict=True):
        assert torch.allclose(again, first, atol=1e-6)
    assert gather(projection, maps[..., :0])[0].shape == (20, 0)
    nothing, weights = gather(scene.project(), maps[..., :0])  # the weights alone, on a new projection
    assert nothing.shape == (20, 0)
    assert torch.allclose(weights, gathered[1], atol=1e-6)

    same = (rendered.alpha - rendered_ours.alpha).abs() < 1e-4
    assert same.float().mean() > 0.99
    assert rendered.radii.shape == (20,)
    assert (rendered.radii > 0).sum() >= (rendered_ours.radii > 0).sum() > 5
    for a, b in zip(gathered, gathered_ours, strict=True):
        assert (a - b).norm() <= 0.01 * b.norm()
    for picture in (rendered, rendered_ours):
        picture.means2d.retain_grad()
        loss(picture, upstream(0, channels, same)).backward()
    assert rendered.means2d.grad is not None
    assert torch.allclose(rendered.means2d.grad, rendered_ours.means2d.grad, rtol=0.01, atol=0.01)
    for name, a, b in zip(NAMES, ours, expected, strict=True):
        assert a.grad.shape == b.grad.shape
        assert (a.grad - b.grad).norm() <= 0.01 * a.grad.norm() + 1e-6, name


def gsplat_backend() -> ModuleType:
    pytest.importorskip("gsplat")
    return importlib.import_module("point2act.splatting.gsplat_backend")


def pretend_gsplat(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins with the shapes of gsplat's functions; 1.5 has radii along x and along y."""
    backend = gsplat_backend()
    torch_impl = importlib.import_module("gsplat.cuda._torch_impl")
    order: list[int] = []

    def fully_fused_projection(means, covars, quats, scales, viewmats, Ks, width, height):
        assert covars is None
        covars, _ = torch_impl._quat_scale_to_covar_preci(quats, scales, compute_preci=False)
        radii, *rest = torch_impl._fully_fused_projection(means, covars, viewmats, Ks, width, height)
        return (radii if version == "1.4" else torch.stack([radii, radii], dim=-1)), *rest

    def isect_tiles(means2d, radii, depths, tile_size, tile_width, tile_height):
        assert radii.shape[:2] == depths.shape == means2d.shape[:2]
        radii = radii if version == "1.4" else radii[..., 0]
        order[:] = [i for i in torch.argsort(depths[0], stable=True).tolist() if radii[0, i] > 0]
        return torch_impl._isect_tiles(means2d, radii, depths, tile_size, tile_width, tile_height)

    def rasterize_to_pixels(means2d, conics, colors, opacities, width, height, tile_size, offsets, ids):
        assert tuple(offsets.shape) == (1, -(-height // tile_size), -(-width // tile_size))
        assert 0 < colors.shape[-1] <= 513
        a, b, c = conics[0].unbind(-1)
        precisions = torch.stack([torch.stack([a, b], -1), torch.stack([b, c], -1)], -2)
        weights, through, _ = reference_render.blend(
            order, means2d[0], precisions, opacities[0], height, width
        )
        return torch.einsum("nhw,nc->hwc", weights, colors[0])[None], (1 - through)[None, ..., None]

    for function in (fully_fused_projection, isect_tiles, rasterize_to_pixels):
        monkeypatch.setattr(backend, function.__name__, function)
    monkeypatch.setattr(backend, "isect_offset_encode", torch_impl._isect_offset_encode)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("channels", [0, 3, 40])
def test_both_backends_agree(channels: int) -> None:
    scene = random_scene(16, channels=channels)
    cpu, gpu = scene.leaves(), [leaf.detach().cuda().requires_grad_() for leaf in scene.leaves()]
    on_cpu, on_gpu = render(*cpu, CAMERA), render(*gpu, CAMERA)
    wrong = (on_cpu.alpha - on_gpu.alpha.cpu()).abs() > 0.005
    assert wrong.float().mean() < 0.01
    weights = upstream(0, channels, ~wrong)
    loss(on_cpu, weights).backward()
    on_gpu.means2d.retain_grad()
    loss(on_gpu, tuple(weight.cuda() for weight in weights)).backward()
    assert on_gpu.means2d.grad is not None
    for name, a, b in zip(NAMES, cpu, gpu, strict=True):
        size = a.grad.norm() if a.grad.numel() else 1.0
        assert (a.grad - b.grad.cpu()).norm() <= 0.03 * size, name
    maps = torch.rand(33, 45, 2)
    ours = gather(scene.project(), maps)
    theirs = gather(project_gaussians(Activated(*gpu[:4]), gpu[5], CAMERA), maps.cuda())
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b.cpu()).norm() <= 0.03 * a.norm()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_graphics_card_gathers_again_what_it_gathered_first() -> None:
    *gaussians, _, pose = (tensor.cuda() for tensor in random_scene(25).tensors())
    projection, maps = project_gaussians(Activated(*gaussians), pose, CAMERA), spots().cuda()
    sums, weights = gather(projection, maps)
    again, kept = gather(projection, maps)
    assert torch.allclose(again, sums, atol=1e-5)  # it adds in any order
    assert torch.equal(kept, weights)
    assert gather(projection, maps[..., :0])[0].shape == (60, 0)
    projection = project_gaussians(Activated(*gaussians), pose, CAMERA)
    assert torch.allclose(gather(projection, maps[..., :0])[1], weights, atol=1e-5)
