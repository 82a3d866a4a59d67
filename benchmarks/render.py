"""How long the rasterizer takes on the processor, projection, sorting and binning included."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
import torch
from torch import Tensor

from benchmarks import Metric
from point2act.geometry import frame_from_normal
from point2act.splat.render import gather, render
from point2act.types import Camera

SIZES = ((10_000, 120, 160), (30_000, 240, 320), (50_000, 480, 640))
"""Gaussians, height, width."""
CHANNELS = 4
"""Beside depth: red, green, blue and relevancy."""
SECONDS = 2.0
"""Spent on each measurement."""


def measure() -> Iterator[Metric]:
    """Milliseconds for each size, and seconds to compile from nothing."""
    for n, height, width in SIZES:
        yield from _measure_size(n, height, width)
    yield Metric("compile from nothing", cold_start() - warm_start(), "s")


def _measure_size(n: int, height: int, width: int) -> Iterator[Metric]:
    gaussians, features = tabletop(n, np.random.default_rng(0))
    camera = Camera(fx=width, fy=width, cx=width / 2, cy=height / 2, height=height, width=width)
    pose = torch.eye(4)
    maps = torch.rand(height, width, CHANNELS)
    size = f"{n // 1000}k, {width}x{height}, {CHANNELS} + 1 channels"

    def draw() -> Tensor:
        rendered = render(*gaussians, features, pose, camera)
        return rendered.features.sum() + rendered.depth.sum()

    def draw_only() -> None:
        with torch.no_grad():
            draw()

    yield Metric(f"{size}: forward", milliseconds(draw_only), "ms")
    yield Metric(f"{size}: forward and backward", milliseconds(lambda: draw().backward()), "ms")
    yield Metric(f"{size}: gather", milliseconds(lambda: gather(*gaussians, pose, camera, maps)), "ms")


def tabletop(n: int, rng: np.random.Generator) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Flat Gaussians on a table and on a ball on it, in front of a camera at the origin."""
    ball = rng.normal(size=(n, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    down = np.array([0.0, 0.8, 0.6])
    table = rng.uniform([-0.45, -0.45, 0], [0.45, 0.45, 0], (n, 3)) @ frame_from_normal(down[None])[0].T
    on_ball = np.arange(n) % 4 == 0
    center = np.array([0.0, 0.0, 0.9])
    points = np.where(on_ball[:, None], center + 0.12 * (ball - down), center + table)
    normals = np.where(on_ball[:, None], ball, -down)
    scales = np.column_stack([rng.uniform(0.002, 0.006, (n, 2)), np.full(n, 0.001)])
    arrays = (
        points,
        quaternions_to(normals),
        scales,
        rng.uniform(0.3, 0.9, n),
        rng.uniform(size=(n, CHANNELS)),
    )
    means, quats, sizes, opacities, features = (
        torch.tensor(array, dtype=torch.float32).requires_grad_() for array in arrays
    )
    return (means, quats, sizes, opacities), features


def quaternions_to(normals: np.ndarray) -> np.ndarray:
    """Turns, of any length, that bring +z to the normals: half-way between the two."""
    scalar = 1 + normals[:, 2] + 1e-6
    return np.column_stack([scalar, -normals[:, 1], normals[:, 0], np.zeros(len(normals))])


def milliseconds(work: Callable[[], object]) -> float:
    """The median time of one call, after a first one."""
    work()
    times: list[float] = []
    while sum(times) < SECONDS:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * median(times)


def cold_start() -> float:
    """Seconds for a new interpreter without compiled kernels to draw, go back and gather once."""
    with tempfile.TemporaryDirectory() as folder:
        return _seconds({**os.environ, "NUMBA_CACHE_DIR": folder})


def warm_start() -> float:
    """The same with compiled kernels."""
    return _seconds(dict(os.environ))


def _seconds(environment: dict[str, str]) -> float:
    code = (
        "import numpy, torch; from benchmarks.render import *;"
        "g, f = tabletop(9, numpy.random.default_rng(0)); c = Camera(9., 9., 4., 4., 8, 8);"
        "render(*g, f, torch.eye(4), c).features.sum().backward();"
        "gather(*g, torch.eye(4), c, torch.ones(8, 8, 1))"
    )
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return time.perf_counter() - start
