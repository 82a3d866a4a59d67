"""CUDA: agreement with the CPU, and times.

``python -m benchmarks gpu``, or ``python benchmarks/splatting/gpu.py`` as a script. Besides
``point2act.core`` and ``point2act.splatting`` it needs torch, gsplat and, for the CPU, numba; nothing is
downloaded.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

if __name__ == "__main__":  # A script is searched for imports beside it; the repository is above.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
import torch
from torch import Tensor

from benchmarks import CannotMeasureError, Metric, Plan
from benchmarks.common.synthetic_gaussians import (
    answers,
    camera,
    leaves,
    poses,
    project_all,
    questions,
    tabletop,
    views,
    with_images,
)
from benchmarks.common.timing import Work, best, once
from point2act.core.types import GaussianScene, View
from point2act.localization.relevancy import lift
from point2act.splatting.fit import fit
from point2act.splatting.losses import psnr
from point2act.splatting.render import Rendered, render

CUDA = "cuda"
CHANNELS = 4
SIZES = ((30_000, 240, 320), (50_000, 480, 640))
"""Gaussians, height and width of rasterisation."""
CAPTURES = ((24, 240, 320), (48, 480, 640))
"""Views, height and width of captures, from the last image to relevancy."""
GAUSSIANS = 30_000


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield agreement with the CPU, then seconds."""
    if not torch.cuda.is_available():
        raise CannotMeasureError("torch finds no CUDA device, so there is nothing to check or to time")
    yield Metric("gpu.build_s", once(drawing(9, 8, 8, CUDA)), "s")
    yield from agreement(CUDA)
    for n, height, width in SIZES:
        took = best(drawing(n, height, width, CUDA), plan.seconds)
        yield Metric(f"gpu.ms_{n // 1000}k_{width}x{height}", 1000 * took, "ms")
    for count, height, width in CAPTURES:
        yield from _capture_to_relevancy(count, height, width, plan)


# ── agreement ──────────────────────────────────────────────────────────────────────────────────
def agreement(device: str, *, n: int = 5_000, height: int = 120, width: int = 160) -> Iterator[Metric]:
    """Compare images, gradients and relevancy of a device with the CPU's."""
    scene = tabletop(n, _rng())
    ours, v_ours = _with_gradients(scene, height, width, "cpu")
    theirs, v_theirs = _with_gradients(scene, height, width, device)
    off = (ours.features - theirs.features.cpu()).detach().abs().amax(dim=-1)
    yield Metric("gpu.image_difference", float(off.median()), "1")
    yield Metric("gpu.pixels_off", 100 * float((off > 0.01).float().mean()), "%")
    relative = [float((a - b).norm() / a.norm()) for a, b in zip(v_ours, v_theirs, strict=True)]
    yield Metric("gpu.gradient_difference", max(relative), "1")
    seen = views(6, height, width)
    answered, asked = answers(seen, 2, _rng()), questions(2)
    relevancy = [lift(project_all(scene, seen, device=d), answered, asked).values for d in ("cpu", device)]
    yield Metric("gpu.relevancy_difference", float(np.abs(relevancy[0] - relevancy[1]).max()), "1")


def _with_gradients(
    scene: GaussianScene, height: int, width: int, device: str
) -> tuple[Rendered, list[Tensor]]:
    """Return an image, and the gradients of a random weighting of it, on the CPU."""
    random = torch.Generator().manual_seed(0)
    gaussians = leaves(scene, device=device)
    features = torch.rand(len(scene), CHANNELS, generator=random).to(device).requires_grad_()
    weights = torch.rand(height, width, CHANNELS, generator=random).to(device)
    (pose,) = poses(1, device=device)
    image = render(*gaussians, features, pose, camera(height, width))
    ((image.features * weights).mean() + image.depth.mean()).backward()
    gradients = [leaf.grad.cpu() for leaf in (*gaussians, features) if leaf.grad is not None]
    return image, gradients


# ── times ──────────────────────────────────────────────────────────────────────────────────────
def _capture_to_relevancy(count: int, height: int, width: int, plan: Plan) -> Iterator[Metric]:
    """Yield seconds from images in memory to relevancy, and of the next query, for one size of capture."""
    # Imported late: the checks and the rendering do without SciPy, which initialisation needs.
    from point2act.splatting.initialization import initialize_gaussians

    seen = with_images(tabletop(GAUSSIANS, _rng()), views(count, height, width), CUDA)
    answered, asked = answers(seen, 1, _rng()), questions(1)
    size = f"{count}_views_{width}x{height}"

    def reconstruct() -> GaussianScene:
        started = initialize_gaussians(seen, point_cloud_path=None, rng=_rng()).scene
        return fit(started, seen, device=CUDA)

    start = time.perf_counter()
    scene = reconstruct()
    projections = project_all(scene, seen, device=CUDA)
    lift(projections, answered, asked)
    yield Metric(f"gpu.capture_s_{size}", time.perf_counter() - start, "s")
    yield Metric(f"gpu.psnr_{size}", _psnr(scene, seen), "dB", "higher")
    yield Metric(
        f"gpu.question_s_{size}", best(lambda: lift(projections, answered, asked), plan.seconds), "s"
    )


def _psnr(scene: GaussianScene, seen: Sequence[View]) -> float:
    """Return the mean PSNR over the fitted views, as a check of the fit."""
    drawn = with_images(scene, seen, CUDA)
    return float(np.mean([psnr(a.rgb / 255.0, b.rgb / 255.0) for a, b in zip(drawn, seen, strict=True)]))


def drawing(n: int, height: int, width: int, device: str) -> Work:
    """Return a function that rasterises n Gaussians forward and backward and waits for the device."""
    gaussians = leaves(tabletop(n, _rng()), device=device)
    features = torch.ones(n, CHANNELS, device=device, requires_grad=True)
    (pose,) = poses(1, device=device)

    def work() -> None:
        image = render(*gaussians, features, pose, camera(height, width))
        (image.features.sum() + image.depth.sum()).backward()
        if gaussians.means.is_cuda:
            torch.cuda.synchronize()

    return work


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


if __name__ == "__main__":
    try:
        for figure in measure(Plan()):
            print(f"{figure.name:<38} {figure.value:>10.4g} {figure.unit:<8} {figure.better} is better")
        print(f"on {torch.cuda.get_device_name()}, torch {torch.__version__}")
    except CannotMeasureError as error:
        print(error)
