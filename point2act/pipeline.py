"""The way through: capture → points → heatmaps → relevancy → region → grasps → files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from point2act.answer import AnswerConfig
from point2act.capture import load_views, read_capture
from point2act.grasps.gripper import load_gripper
from point2act.poses import PoseConfig, Refined, refine_poses
from point2act.publish import Story, publish, write_timings
from point2act.results import write_splat_ply
from point2act.runs import SavedRun, write_run
from point2act.session import Answered, Session, choose_device, find_points
from point2act.splat.fit import FitConfig, fit, psnr
from point2act.splat.gaussians import still
from point2act.splat.picture import draw_picture, look_from
from point2act.splat.start import StartConfig, start
from point2act.splat.warm_up import warm_up
from point2act.stages import Stages
from point2act.surface import open3d
from point2act.types import Capture, GaussianScene, QueryResult, RelevancyField, View


@dataclass(frozen=True)
class RunConfig:
    """From a capture to grasps."""

    max_side: int = 480
    """Images are reduced until their longer side is at most this many pixels."""
    holdout_every: int = 8
    """Every so many-th view is kept from the fit to measure its quality; 0 fits all views."""
    refine_poses: bool = True
    """Move the cameras a little, to where their pictures agree; they stay where that is not clearly better.
    Only where lengths are known to be metres, as how far poses may be off is given in them."""
    poses: PoseConfig = field(default_factory=PoseConfig)
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
    ``relevancy.ply``, ``report.html``, ``timings.json`` and ``run.json`` there, for
    :func:`~point2act.session.open_run` to ask the scene more. ``show`` draws progress bars. Raises a
    :class:`~point2act.errors.Point2ActError` that says what to mend.
    """
    stages = Stages(show=show)
    device = choose_device(config.device)
    # Asked for again later; here, so that a wrong name is told before the work begins.
    load_gripper(config.answer.gripper)
    with stages.stage("read the capture") as tick:
        source = read_capture(capture)
        asked = find_points(source, points)
        views = load_views(source, max_side=config.max_side, progress=tick)
    metric = source.metric or config.answer.metric
    with stages.stage("load what it takes"):
        if asked is not None and metric:
            open3d()  # takes a second; and where it cannot start, that is better known before the fit
        if device.type == "cpu":
            warm_up(compiling=lambda: stages.say("  compiling the kernels, once on this machine: about 15 s"))
    refined = _refined(views, config.poses, stages) if metric and config.refine_poses else None
    views = views if refined is None else refined.views
    built = reconstruct(source, views, config=config, device=device, stages=stages)
    session = Session(source, views, built.scene, metric, device)
    answered = None
    if asked is None:
        stages.say(f"{source.folder} has no points.json: only the scene is made")
    else:
        answered = session.ask(asked, config=config.answer, stages=stages)
    if output is not None:
        _write(Path(output), session, answered, built, refined, config, stages.seconds)
    return RunResult(
        results=() if answered is None else answered.results,
        scene=built.scene,
        relevancy=None if answered is None else answered.relevancy,
        psnr=built.psnr,
        timings=dict(stages.seconds),
    )


def _refined(views: Sequence[View], config: PoseConfig, stages: Stages) -> Refined:
    """Better poses, and what is to be said about them."""
    with stages.stage("refine the poses") as tick:
        refined = refine_poses(views, config=config, progress=tick)
    stages.say(f"  {refined.detail}")
    return refined


def _write(
    folder: Path,
    session: Session,
    answered: Answered | None,
    built: Reconstruction,
    refined: Refined | None,
    config: RunConfig,
    timings: Mapping[str, float],
) -> None:
    """All files of a run; run.json last, so that what it leads to is there."""
    if answered is None:
        write_splat_ply(folder / "scene.ply", session.scene)
    else:
        publish(folder, Story(session, answered, timings, facts_of(session, built, refined)))
    write_timings(folder / "timings.json", timings)
    changed = refined is not None and refined.changed
    saved = SavedRun(
        capture=session.capture.folder,
        scene=folder / "scene.ply",
        max_side=config.max_side,
        metric=session.metric,
        psnr=built.psnr,
        timings=timings,
        poses={view.name: view.T_world_cam for view in session.views} if changed else None,
    )
    write_run(folder, saved)


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
    fixed = still(scene, device=device)
    pictures = [draw_picture(look_from(view, fixed), fixed) for view in views]
    values = [psnr(p.rgb, v.rgb / 255.0, v.mask) for p, v in zip(pictures, views, strict=True)]
    return float(np.mean(values))


def facts_of(session: Session, built: Reconstruction, refined: Refined | None) -> dict[str, str]:
    """What is worth knowing about a reconstruction, for the report."""
    camera = session.views[0].camera
    return {
        "Views": f"{len(session.views)} of {camera.width}x{camera.height} pixels",
        "Poses": "as the capture has them" if refined is None else refined.detail,
        "Gaussians": f"{len(built.scene)}, started from {built.start}",
        "Held-out PSNR": "–" if built.psnr is None else f"{built.psnr:.1f} dB",
        "Device": str(session.device),
    }
