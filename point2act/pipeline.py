"""The way through: capture → points → heatmaps → relevancy → region → grasps → files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from point2act.capture import disk_to_view, load_views, read_capture
from point2act.errors import PointsError
from point2act.files import write_text
from point2act.grasps.gripper import load_gripper
from point2act.grasps.plan import GraspConfig, plan_grasps
from point2act.points import read_points
from point2act.region import RegionConfig, find_region
from point2act.relevancy import RelevancyConfig, ViewAnswers, lift
from point2act.results import write_grasps, write_relevancy_ply, write_splat_ply
from point2act.splat.fit import FitConfig, fit, psnr
from point2act.splat.picture import Picture, render_view
from point2act.splat.start import StartConfig, start
from point2act.stages import Stages
from point2act.surface import SurfaceConfig, fuse_local
from point2act.threads import configure_threads
from point2act.types import (
    Capture,
    GaussianScene,
    Gripper,
    NoAnswer,
    PointSet,
    Query,
    QueryResult,
    Region,
    RelevancyField,
    View,
)


@dataclass(frozen=True)
class AnswerConfig:
    """From a scene and points to grasps."""

    gripper: str = "panda"
    """A shipped gripper's name, or the path of a gripper's .toml file."""
    metric: bool = False
    """Trust the poses to be in metres although the capture has no depth."""
    relevancy: RelevancyConfig = field(default_factory=RelevancyConfig)
    region: RegionConfig = field(default_factory=RegionConfig)
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    grasp: GraspConfig = field(default_factory=GraspConfig)
    seed: int = 0
    """Of everything random in here; the same seed gives the same grasps."""


@dataclass(frozen=True)
class RunConfig:
    """From a capture to grasps."""

    max_side: int = 480
    """Images are reduced until their longer side is at most this many pixels."""
    holdout_every: int = 8
    """Every so many-th view is kept from the fit to measure its quality; 0 fits all views."""
    start: StartConfig = field(default_factory=StartConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    answer: AnswerConfig = field(default_factory=AnswerConfig)
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
class Answered:
    """Everything said about the queries, with what is needed to show why."""

    results: tuple[QueryResult, ...]
    relevancy: RelevancyField | None
    pictures: tuple[Picture, ...]
    """The scene rendered from every view."""
    answers: tuple[ViewAnswers, ...]
    """Pixels of the views, per query and view."""


@dataclass(frozen=True, eq=False)
class RunResult:
    """What :func:`run` returns."""

    results: tuple[QueryResult, ...]
    scene: GaussianScene
    relevancy: RelevancyField | None
    timings: dict[str, float]
    """Seconds per stage."""
    psnr: float | None


def run(
    capture: Path | str,
    output: Path | str | None = None,
    *,
    points: Path | str | None = None,
    config: RunConfig = RunConfig(),
    show: bool = False,
) -> RunResult:
    """Turn a captured scene and recorded points into grasps, in one process.

    ``capture`` is a folder with ``transforms.json``; ``points`` defaults to ``points.json`` in it.
    With ``output``, writes ``grasps.json``, ``scene.ply``, ``relevancy.ply``, ``report.html`` and
    ``timings.json`` there. ``show`` draws progress bars. Grasps are in the capture's own frame, in
    metres. Raises a :class:`~point2act.errors.Point2ActError` that says what to mend.
    """
    configure_threads()
    stages = Stages(show=show)
    device = choose_device(config.device)
    gripper = load_gripper(config.answer.gripper)
    with stages.stage("read the capture") as tick:
        source = read_capture(capture)
        point_set = find_points(source, points)
        views = load_views(source, max_side=config.max_side, progress=tick)
    built = reconstruct(source, views, config=config, device=device, stages=stages)
    answered = answer(source, views, built.scene, point_set, gripper, config=config.answer, device=device, stages=stages)
    if output is not None:
        with stages.stage("write the results"):
            _write(Path(output), source, views, built, answered, gripper, stages, device)
    return RunResult(answered.results, built.scene, answered.relevancy, dict(stages.seconds), built.psnr)


def choose_device(name: str | None) -> torch.device:
    """The device asked for, else CUDA where it is, else the CPU."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def find_points(capture: Capture, path: Path | str | None) -> PointSet:
    """The points given, or those beside the capture. Raises :class:`PointsError` when there are none."""
    found = Path(path) if path is not None else capture.folder / "points.json"
    if not found.is_file():
        raise PointsError(
            f"{found} does not exist: put the pointing model's answers there, or name the file with --points"
        )
    return read_points(found, capture)


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
        scene = fit(
            begun.scene, kept, config=config.fit, device=device, seed=config.answer.seed, progress=tick
        )
    quality = measure(scene, held_out, device) if held_out else None
    if quality is not None:
        stages.say(f"  held-out PSNR {quality:.1f} dB over {len(held_out)} views")
    return Reconstruction(scene, begun.source, quality)


def split(views: Sequence[View], every: int) -> tuple[list[View], list[View]]:
    """Views to fit and views to measure on; with fewer than nine views, or every = 0, all are fitted."""
    if every <= 0 or len(views) < 9:
        return list(views), []
    return [v for i, v in enumerate(views) if i % every], [v for i, v in enumerate(views) if i % every == 0]


def measure(scene: GaussianScene, views: Sequence[View], device: torch.device) -> float:
    """Mean PSNR of the views in dB, over their masks."""
    images = (render_view(scene, view, device=device) for view in views)
    return float(np.mean([psnr(i.rgb, v.rgb / 255.0, v.mask) for i, v in zip(images, views, strict=True)]))


def answer(
    capture: Capture,
    views: Sequence[View],
    scene: GaussianScene,
    points: PointSet,
    gripper: Gripper,
    *,
    config: AnswerConfig = AnswerConfig(),
    device: torch.device,
    stages: Stages,
) -> Answered:
    """Ask a scene: points to relevancy, regions and grasps for every query. No training."""
    answers = locate(points, capture, views)
    with stages.stage("lift the points") as tick:
        relevancy = lift(
            scene, views, answers, points.queries, config=config.relevancy, device=device, progress=tick
        )
    with stages.stage("render the views") as tick:
        images = []
        for view in views:
            images.append(render_view(scene, view, relevancy=relevancy, device=device))
            tick(len(images), len(views))
    with stages.stage("find grasps") as tick:
        results = []
        for number, query in enumerate(points.queries):
            result = _act(capture, views, scene, relevancy.values[:, number], images, answers[number], query, gripper, config)
            results.append(result)
            tick(number + 1, len(points.queries))
    return Answered(tuple(results), relevancy, tuple(images), tuple(answers))


def locate(points: PointSet, capture: Capture, views: Sequence[View]) -> list[ViewAnswers]:
    """Every query's answers as pixels of the loaded views; several answers for one image are joined."""
    frames = {frame.name: frame for frame in capture.frames}
    said: dict[tuple[str, str], list[Float[np.ndarray, "_ 2"]]] = {}
    for entry in points.answers:
        said.setdefault((entry.query, entry.image), []).append(entry.points)

    def pixels(query: Query, view: View) -> Float[np.ndarray, "_ 2"] | None:
        entries = said.get((query.name, view.name))
        if entries is None:
            return None
        return disk_to_view(frames[view.name], view, np.concatenate(entries))

    return [[pixels(query, view) for view in views] for query in points.queries]


def _act(
    capture: Capture,
    views: Sequence[View],
    scene: GaussianScene,
    relevancy: Float[np.ndarray, " n"],
    images: Sequence[Picture],
    answers: ViewAnswers,
    query: Query,
    gripper: Gripper,
    config: AnswerConfig,
) -> QueryResult:
    """One query: its region, and grasps there."""
    surface = scene.opacities > 0.1
    depths = [image.depth for image in images]
    region, rivals = find_region(
        scene.means[surface], relevancy[surface], views, depths, answers, config=config.region
    )
    if isinstance(region, NoAnswer):
        return QueryResult(query, None, alternatives=rivals, reason=region.reason, detail=region.detail)
    if query.role != "grasp":
        return QueryResult(query, region, alternatives=rivals, detail=f"a place to {query.role}: no grasps wanted")
    grasps, nothing = _grasp(capture, views, images, region, gripper, scene.means[surface], relevancy[surface], config)
    if nothing is None:
        return QueryResult(query, region, grasps, rivals)
    return QueryResult(query, region, (), rivals, nothing.reason, nothing.detail)
