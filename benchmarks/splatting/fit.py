"""Time of a reconstruction from depth, and its quality on held-out views.

Some held-out views show surfaces that no fitted view saw: a strip of floor at the edge would dominate the
PSNR of whole images. The metrics are therefore over pixels whose surface, by the simulator's true depth, a
fitted view sees as well; the PSNR of whole images, which a run reports, is given beside them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from benchmarks import Metric, Plan
from benchmarks.common.capture import true_depths, views
from point2act.core.geometry import back_project, inside, pixel_centers, project
from point2act.core.progress import Stages
from point2act.core.types import GaussianScene, View
from point2act.simulation import SensorConfig
from point2act.splatting.fit import FitConfig
from point2act.splatting.gaussians import freeze
from point2act.splatting.losses import psnr
from point2act.splatting.reconstruct import ReconstructionConfig, Reconstructor, split
from point2act.splatting.rendering import project_view, render_view

SAME = 0.01
"""Depths that differ by less than this are of one surface, metres."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the seconds of a reconstruction from depth, its PSNR in dB and its depth error in millimetres."""
    kept, _ = split(views(), 8)
    _reconstruct(kept[:4], FitConfig(iterations=8))  # compiles the kernels
    start = time.perf_counter()
    scene = _reconstruct(kept, FitConfig())
    yield Metric("fit.seconds", time.perf_counter() - start, "s")
    found = quality(scene)
    yield Metric("fit.psnr", found.psnr, "dB", "higher")
    yield Metric("fit.psnr_whole", found.psnr_whole, "dB", "higher")
    yield Metric("fit.depth_error_mm", 1000 * found.depth_error, "mm")


def _reconstruct(kept: Sequence[View], config: FitConfig) -> GaussianScene:
    """Initialise and fit Gaussians as ``run`` does, to all of the views."""
    reconstructor = Reconstructor(
        ReconstructionConfig(holdout_every=0, fit=config),
        metric=True,
        point_cloud_path=None,
        seed=0,
        device=torch.device("cpu"),
        stages=Stages(show=False),
    )
    return reconstructor.build(reconstructor.place(kept, None)).scene


# ── measuring on the held-out views ──────────────────────────────────────────────────────────────
@dataclass(frozen=True)
class Quality:
    """Quality of a scene on held-out views."""

    psnr: float
    """Mean PSNR over pixels whose surface a fitted view sees, dB."""
    psnr_whole: float
    """Mean PSNR over whole views, dB."""
    depth_error: float
    """Median distance of rendered from true depth, metres, where a fitted view sees the same surface."""


def quality(scene: GaussianScene) -> Quality:
    """Compare rendered held-out views with the captured images and the true depth."""
    number_of = {view.name: number for number, view in enumerate(views())}
    kept, held_out = ([number_of[view.name] for view in part] for part in split(views(), 8))
    at_rest = freeze(scene)
    psnrs, whole, errors = [], [], []
    for number in held_out:
        view, truth, known = views()[number], true_depths()[number], seen_by_any(number, kept)
        image = render_view(project_view(view, at_rest), at_rest)
        psnrs.append(psnr(image.rgb, view.rgb / 255.0, known))
        whole.append(psnr(image.rgb, view.rgb / 255.0))
        errors.append(np.abs(image.depth - truth)[known & (truth < SensorConfig().farthest)])
    return Quality(float(np.mean(psnrs)), float(np.mean(whole)), float(np.median(np.concatenate(errors))))


def seen_by_any(number: int, others: Sequence[int]) -> Bool[np.ndarray, "h w"]:
    """Return where a view's surfaces are visible in at least one of the others."""
    view, truth = views()[number], true_depths()[number]
    pixels = pixel_centers(*truth.shape).reshape(-1, 2)
    points = back_project(view.camera, view.T_world_cam, pixels, truth.reshape(-1))
    return np.any([_sees(other, points) for other in others], axis=0).reshape(truth.shape)


def _sees(number: int, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    view, truth = views()[number], true_depths()[number]
    pixels, depths = project(view.camera, view.T_world_cam, points)
    found = (depths > 0) & inside(view.camera, pixels)
    columns, rows = pixels[found].astype(int).T
    found[found] = np.abs(truth[rows, columns] - depths[found]) < SAME
    return found
