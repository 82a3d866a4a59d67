"""The way through: capture → points → heatmaps → relevancy → region → grasps → files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from point2act.answer import AnswerConfig, answer
from point2act.capture import load_views, read_capture
from point2act.grasps.gripper import load_gripper
from point2act.points import read_points
from point2act.publish import Story, publish
from point2act.splat.fit import FitConfig, fit, psnr
from point2act.splat.picture import render_view
from point2act.splat.start import StartConfig, start
from point2act.stages import Stages
from point2act.types import Capture, GaussianScene, PointSet, QueryResult, RelevancyField, View


@dataclass(frozen=True)
class RunConfig:
    """From a capture to grasps."""

    max_side: int = 480
    """Images are reduced until their longer side is at most this many pixels."""
    holdout_every: int = 8
    """Every so many-th view is kept from the fit to measure its quality; 0 fits all views."""
    start: StartConfig = field(default_factory=StartConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    answer: Annotated[AnswerConfig, tyro.conf.arg(name="")] = field(default_factory=AnswerConfig)
    device: str | None = None
    """``cpu`` or ``cuda``; by default what is there."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A fitted scene and how well it explains views it has not seen."""

    scene: GaussianScene
    start: str
    """What the Gaussians started from."""
    psnr: float | None
    """Mean over the held-out views in dB; None when none was held out."""


@dataclass(frozen=True, eq=False)
class RunResult:
    """What :func:`run` returns; everything is in the capture's world frame."""

    results: tuple[QueryResult, ...]
    """One per query; empty for a capture without points."""
    scene: GaussianScene
    relevancy: RelevancyField | None
    psnr: float | None
    """Of held-out views, dB."""
    timings: dict[str, float]
    """Seconds per stage."""


def run(
    capture: Path | str,
    output: Path | str | None = None,
    *,
    points: Path | str | None = None,
    config: RunConfig = RunConfig(),
    show: bool = False,
) -> RunResult:
    """Turn a captured scene and recorded points into grasps, in one process.

    ``capture`` is a folder with ``transforms.json``; ``points`` defaults to ``points.json`` in it, and
    without any only the scene is made. With ``output``, writes ``grasps.json``, ``scene.ply``,
    ``relevancy.ply``, ``report.html`` and ``timings.json`` there. ``show`` draws progress bars. Raises a
    :class:`~point2act.errors.Point2ActError` that says what to mend.
    """
    stages = Stages(show=show)
    device = choose_device(config.device)
    gripper = load_gripper(config.answer.gripper)
    with stages.stage("read the capture") as tick:
        source = read_capture(capture)
        asked = find_points(source, points)
        views = load_views(source, max_side=config.max_side, progress=tick)
    built = reconstruct(source, views, config=config, device=device, stages=stages)
    answered = None
    if asked is None:
        stages.say(f"{source.folder} has no points.json: only the scene is made")
    else:
        answered = answer(
            source, views, built.scene, asked, gripper, config=config.answer, device=device, stages=stages
        )
    if output is not None:
        metric = source.metric or config.answer.metric
        facts = facts_of(built, views, device)
        publish(
            Path(output),
            Story(source, views, built.scene, answered, gripper, metric, stages.seconds, facts),
        )
    return RunResult(
        results=() if answered is None else answered.results,
        scene=built.scene,
        relevancy=None if answered is None else answered.relevancy,
        psnr=built.psnr,
        timings=dict(stages.seconds),
    )


def choose_device(name: str | None) -> torch.device:
    """The device asked for, else CUDA where it is, else the CPU."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def find_points(capture: Capture, path: Path | str | None) -> PointSet | None:
    """The points given, else those beside the capture, else None."""
    beside = capture.folder / "points.json"
    if path is None and not beside.is_file():
        return None
    return read_points(beside if path is None else path, capture)


def reconstruct(
    capture: Capture, views: Sequence[View], *, config: RunConfig, device: torch.device, stages: Stages
) -> Reconstruction:
    """Fit Gaussians to the views that are not held out, and measure on those that are."""
    kept, held_out = split(views, config.holdout_every)
    rng = np.random.default_rng(config.answer.seed)
    with stages.stage("place the Gaussians") as tick:
        begun = start(
            kept, point_cloud_path=capture.point_cloud_path, config=config.start, rng=rng, progress=tick
        )
    stages.say(f"  {len(begun.scene)} Gaussians {begun.detail}")
    with stages.stage("fit the Gaussians") as tick:
        seed = config.answer.seed
        scene = fit(begun.scene, kept, config=config.fit, device=device, seed=seed, progress=tick)
    quality = measure(scene, held_out, device) if held_out else None
    if quality is not None:
        stages.say(f"  {len(scene)} Gaussians, held-out PSNR {quality:.1f} dB over {len(held_out)} views")
    return Reconstruction(scene, begun.source, quality)


def split(views: Sequence[View], every: int) -> tuple[list[View], list[View]]:
    """Views to fit, and every so many-th to measure on.

    The first held out is the middle of the first so many: the ends of a camera's path see what no other
    view does. With fewer than nine views, or every = 0, all are fitted.
    """
    if every <= 0 or len(views) < 9:
        return list(views), []
    held_out = range(every // 2, len(views), every)
    return [v for i, v in enumerate(views) if i not in held_out], [views[i] for i in held_out]


def measure(scene: GaussianScene, views: Sequence[View], device: torch.device) -> float:
    """Mean PSNR of the views in dB, over their masks."""
    return float(
        np.mean([psnr(render_view(scene, v, device=device).rgb, v.rgb / 255.0, v.mask) for v in views])
    )


def facts_of(built: Reconstruction, views: Sequence[View], device: torch.device) -> dict[str, str]:
    """What is worth knowing about a reconstruction, for the report."""
    camera = views[0].camera
    return {
        "Views": f"{len(views)} of {camera.width}x{camera.height} pixels",
        "Gaussians": f"{len(built.scene)}, started from {built.start}",
        "Held-out PSNR": "–" if built.psnr is None else f"{built.psnr:.1f} dB",
        "Device": str(device),
    }
