"""Time of rasterising Gaussians, forward and backward, beside gsplat's pure-torch path."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from benchmarks import Metric, Plan
from benchmarks.common.synthetic_gaussians import camera, leaves, poses, tabletop
from benchmarks.common.timing import best, best_of_each, python
from point2act.core.types import Camera
from point2act.splatting.gaussians import Activated
from point2act.splatting.render import gather, project_gaussians, render

SIZES = ((30_000, 240, 320), (50_000, 480, 640))
"""Gaussians, height and width."""
CHANNELS = 4
"""Channels besides depth: red, green, blue and one more."""
_DRAW_ONCE = (
    "from benchmarks.common.synthetic_gaussians import *; "
    "from point2act.splatting.render import gather, project_gaussians, render;"
    "g = leaves(tabletop(9, np.random.default_rng(0))); c = camera(8, 8); T = torch.eye(4);"
    "render(*g, torch.ones(9, 4, requires_grad=True), T, c).features.sum().backward();"
    "gather(project_gaussians(g, T, c), torch.ones(8, 8, 1))"
)


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield milliseconds and speed-ups for each size, and seconds to compile from an empty cache."""
    for n, height, width in SIZES:
        yield from measure_size(n, height, width, plan)
    yield Metric("raster.compile_s", compile_seconds(plan), "s")


def measure_size(n: int, height: int, width: int, plan: Plan) -> Iterator[Metric]:
    """Yield the metrics of one size. Times include projection, sorting and binning."""
    # Imported late, because the reference loads gsplat and nerfacc; the compile times above do without.
    from benchmarks.splatting import gsplat_torch

    rng = np.random.default_rng(0)
    gaussians = leaves(tabletop(n, rng))
    features = torch.tensor(rng.uniform(size=(n, CHANNELS)), dtype=torch.float32, requires_grad=True)
    lens = camera(height, width)
    (T_cam_world,) = poses(1)
    maps = torch.ones(height, width, CHANNELS)
    size = f"{n // 1000}k_{width}x{height}"

    def ours() -> Tensor:
        image = render(*gaussians, features, T_cam_world, lens)
        return image.features.sum() + image.depth.sum()

    def gsplats() -> Tensor:
        image, depth, _ = gsplat_torch.render(*gaussians, features, T_cam_world, lens)
        return image.sum() + depth.sum()

    def gsplats_without_its_loop() -> Tensor:
        leaner = gsplat_torch.isect_tiles
        image, depth, _ = gsplat_torch.render(*gaussians, features, T_cam_world, lens, isect_tiles=leaner)
        return image.sum() + depth.sum()

    yield Metric(f"raster.ms_{size}", 1000 * best(lambda: ours().backward(), plan.seconds), "ms")
    with torch.no_grad():
        yield Metric(f"raster.forward_ms_{size}", 1000 * best(ours, plan.seconds), "ms")
        yield Metric(f"raster.difference_{size}", difference(gaussians, features, T_cam_world, lens), "1")
    gathering = best(lambda: gather(project_gaussians(gaussians, T_cam_world, lens), maps), plan.seconds)
    yield Metric(f"raster.gather_ms_{size}", 1000 * gathering, "ms")
    works = {"ours": ours, "gsplat": gsplats, "gsplat without its loop": gsplats_without_its_loop}
    times = best_of_each({name: lambda w=work: w().backward() for name, work in works.items()}, plan.rounds)
    peer, leaner = times["gsplat"], times["gsplat without its loop"]
    yield Metric(f"raster.gsplat_ms_{size}", 1000 * peer, "ms")
    yield Metric(f"raster.speedup_{size}", peer / times["ours"], "x", "higher")
    yield Metric(f"raster.speedup_no_loop_{size}", leaner / times["ours"], "x", "higher")


def difference(gaussians: Activated, features: Tensor, T_cam_world: Tensor, lens: Camera) -> float:
    """Return the median over pixels and channels of the absolute difference from gsplat's image."""
    from benchmarks.splatting import gsplat_torch

    ours = render(*gaussians, features, T_cam_world, lens).features
    leaner = gsplat_torch.isect_tiles
    theirs, _, _ = gsplat_torch.render(*gaussians, features, T_cam_world, lens, isect_tiles=leaner)
    return float((ours - theirs).abs().median())


def compile_seconds(plan: Plan) -> float:
    """Return the seconds that an empty kernel cache adds to one forward and backward pass and gather."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"NUMBA_CACHE_DIR": folder}
        first = python("-c", _DRAW_ONCE, environment=environment).seconds
        later = [python("-c", _DRAW_ONCE, environment=environment).seconds for _ in range(plan.rounds // 2)]
    return first - min(later)
