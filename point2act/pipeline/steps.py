"""What is done on the way from a capture to files, step by step, however its images come."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import torch
import tyro

from point2act.core.progress import Bar, Stages, Tick
from point2act.core.types import Capture, GaussianScene, PointSet, QueryResult, RelevancyField, View
from point2act.data.capture import load_views
from point2act.data.capture.view_selection import keep_frames, select_views
from point2act.data.points import PERSON, write_points
from point2act.data.resume import check_writable, find_saved, fingerprint, remove_saved, save_scene
from point2act.data.run_manifest import RunManifest, with_poses, write_run
from point2act.data.scene_ply import read_splat_ply, write_splat_ply
from point2act.grasping.grippers import load_gripper
from point2act.grasping.tsdf import open3d
from point2act.pipeline.mark_selection import MarkSelectionConfig, ask_with_marks
from point2act.pipeline.outputs import RunSummary, publish, write_timings
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.session import Session, SessionResult, choose_device
from point2act.splatting.cpu.compile_kernels import warm_up
from point2act.splatting.reconstruct import Reconstruction, ReconstructionConfig, Reconstructor
from point2act.vlm.pointing.ask import Answers
from point2act.vlm.pointing.mark_selector import MarkSelector

_log = logging.getLogger(__name__)

# What the fit keeps of each pixel of all views (splat/fit.py): colours and depth, in float32.
_TARGET_BYTES = 16


@dataclass(frozen=True)
class RunConfig:
    """From a capture to grasps."""

    max_side: int = 480
    """Images are reduced until their longer side is at most this many pixels."""
    max_views: int = 150
    """Of a capture with more views, as many are used: spread evenly over viewpoints, the answered ones first
    and sharp ones before blurred ones."""
    build: Annotated[ReconstructionConfig, tyro.conf.arg(name="")] = field(
        default_factory=ReconstructionConfig
    )
    answer: Annotated[AnswerConfig, tyro.conf.arg(name="")] = field(default_factory=AnswerConfig)
    allow_outside: bool = False
    """Read files that the capture names outside its folder, also by way of symbolic links."""
    choosing: MarkSelectionConfig = field(default_factory=MarkSelectionConfig)
    """How choices are put to whoever chooses."""
    device: str | None = None
    """``cpu`` or ``cuda``; by default what is there."""


@dataclass(frozen=True, eq=False)
class RunResult:
    """What ``run`` returns; everything is in the capture's world frame."""

    results: tuple[QueryResult, ...]
    """One per query; empty for a capture without points."""
    points: PointSet | None
    """What they were made from."""
    scene: GaussianScene
    relevancy: RelevancyField | None
    psnr: float | None
    """Of held-out views, dB."""
    timings: dict[str, float]
    """Seconds per stage."""


@dataclass(frozen=True, eq=False)
class RunContext:
    """The steps, and what every one of them needs."""

    config: RunConfig
    output: Path | None
    resume: bool
    """Whether to go on with what is in the output."""
    grown: bool
    """Whether the scene is made while its images come, which makes another one."""
    stages: Stages
    device: torch.device

    @staticmethod
    def begin(
        config: RunConfig,
        output: Path | str | None,
        *,
        resume: bool = False,
        grown: bool = False,
        show: bool,
    ) -> RunContext:
        """See that what was asked for can be done, before any of it is."""
        # Asked for again later; here, so that a wrong name is told before the work begins.
        load_gripper(config.answer.gripper)
        folder = None if output is None else Path(output)
        if folder is not None:
            check_writable(folder)
        device = choose_device(config.device)
        _log.debug("on %s, torch with %d threads", device, torch.get_num_threads())
        return RunContext(config, folder, resume, grown, Stages(show=show), device)

    def thinned(self, source: Capture, known: PointSet | None, bar: Bar) -> Capture:
        """What is used of a capture with very many views: what was answered first, by persons before all."""
        answers = () if known is None else known.answers
        answered = {answer.image for answer in answers}
        persons = {answer.image for answer in answers if answer.model == PERSON}
        frames = select_views(source.frames, self.config.max_views, first=(persons, answered))
        views, lost = len(source.frames), len(answered - {frame.name for frame in frames})
        if len(frames) < views:
            also = f", without {lost} answered ones" if lost else ""
            bar.note(
                f"{views} views: {len(frames)} are used, spread over viewpoints{also}; "
                f"--max-views {views} uses all"
            )
        return replace(source, frames=frames)

    def load_views(self, source: Capture, tick: Tick) -> tuple[View, ...]:
        """The images, where memory will hold them and what the fit makes of them."""
        beside = _TARGET_BYTES if self.device.type == "cpu" else 0
        views = load_views(source, max_side=self.config.max_side, beside=beside, progress=tick)
        disk, here = source.frames[0].camera, views[0].camera
        sizes = f"{here.width}x{here.height} pixels ({disk.width}x{disk.height} on disk)"
        _log.debug(
            "%d views of %s, %d with depth", len(views), sizes, sum(v.depth is not None for v in views)
        )
        return views

    def load(self, *, grasps: bool) -> None:
        """Load what is needed later: that it cannot start is better known before the work."""
        with self.stages.stage("load what it takes") as bar:
            if grasps:
                open3d()
            if self.device.type == "cpu":
                warm_up(compiling=lambda: bar.note("compiling the kernels, once on this machine: 15 s"))

    def metric(self, source: Capture) -> bool:
        """Whether lengths are taken for metres."""
        return source.metric or self.config.answer.metric

    def reconstructor(self, source: Capture) -> Reconstructor:
        """Who makes the scene."""
        return Reconstructor(
            self.config.build,
            self.metric(source),
            source.point_cloud_path,
            self.config.answer.seed,
            self.device,
            self.stages,
        )

    def reconstruct(self, source: Capture, views: Sequence[View]) -> Reconstruction:
        """The scene, made now, or by a run that was cut off. It is kept until all else is written."""
        if self.output is None:
            return self.reconstructor(source).reconstruct(views)
        taken_up = self._take_up(self.output, source, views) if self.resume else None
        if taken_up is not None:
            return taken_up
        built = self.reconstructor(source).reconstruct(views)
        return replace(
            built, scene=save_scene(self.output, self._saved(self.output, source, built), built.scene)
        )

    def _take_up(self, folder: Path, source: Capture, views: Sequence[View]) -> Reconstruction | None:
        """The scene of a run that was cut off, where there is one."""
        with self.stages.stage("look for the scene") as bar:
            saved = find_saved(folder, self._made(source, views))
            if saved is None:
                return None
            bar.note("it is there already: going on with it")
            posed, moved = with_poses(views, saved.poses), saved.poses is not None
            scene, told = read_splat_ply(saved.scene), saved.told
            return Reconstruction(scene, posed, moved, told["poses"], told["start"], saved.psnr)

    def _made(self, source: Capture, views: Sequence[View]) -> str:
        """What the scene is made from and how."""
        config = self.config
        how = (config.build, config.max_side, config.answer.seed, self.metric(source), self.grown)
        used = keep_frames(source, [view.name for view in views])
        return fingerprint(used, version("point2act"), self.device.type, *how)

    def _saved(self, folder: Path, source: Capture, built: Reconstruction) -> RunManifest:
        names = tuple(view.name for view in built.views)
        return RunManifest(
            capture=source.folder,
            scene=folder / "scene.ply",
            max_side=self.config.max_side,
            metric=self.metric(source),
            psnr=built.psnr,
            timings=self.stages.seconds,
            poses={view.name: view.T_world_cam for view in built.views} if built.poses_changed else None,
            allow_outside=self.config.allow_outside,
            made=self._made(source, built.views),
            views=names if len(names) < len(source.frames) else None,
            told={"poses": built.poses, "start": built.start},
        )

    def conclude(
        self,
        source: Capture,
        built: Reconstruction,
        known: PointSet | None,
        answers: Answers | None,
        mark_selector: MarkSelector | None,
    ) -> RunResult:
        """From a scene and points to grasps, written where that is wanted."""
        points = known if answers is None else answers.points
        session = Session(source, built.views, built.scene, self.metric(source), self.device)
        _log.debug("%d Gaussians, %s", len(built.scene), _counted(points))
        answered = None
        if points is None:
            self.stages.warn(f"{source.folder} has no points.json: only the scene is made")
        else:
            answered, points = ask_with_marks(
                session,
                points,
                mark_selector,
                config=self.config.answer,
                choosing=self.config.choosing,
                stages=self.stages,
            )
        if self.output is not None:
            if points is not known and points is not None:
                write_points(self.output / "points.json", points)
            self._write(self.output, session, answered, built, answers)
        return RunResult(
            results=() if answered is None else answered.results,
            points=points,
            scene=built.scene,
            relevancy=None if answered is None else answered.relevancy,
            psnr=built.psnr,
            timings=dict(self.stages.seconds),
        )

    def _write(
        self,
        folder: Path,
        session: Session,
        answered: SessionResult | None,
        built: Reconstruction,
        answers: Answers | None,
    ) -> None:
        """All files of a run; run.json last, so that what it leads to is there."""
        timings = self.stages.seconds
        if answered is None:
            write_splat_ply(folder / "scene.ply", session.scene)
        else:
            facts = _facts(session, built, answers)
            publish(folder, RunSummary(session, answered, timings, facts, self.stages.spans))
        write_timings(folder / "timings.json", timings)
        write_run(folder, self._saved(folder, session.capture, built))
        remove_saved(folder)


def _counted(points: PointSet | None) -> str:
    return "no points" if points is None else f"{len(points.queries)} queries, {len(points.answers)} answers"


def _facts(session: Session, built: Reconstruction, answers: Answers | None) -> dict[str, str]:
    """What is worth knowing about a run, for the report."""
    camera, views = session.views[0].camera, len(session.capture.frames)
    used = f"{len(session.views)} of {views}, each" if len(session.views) < views else str(views)
    facts = {
        "Views": f"{used} of {camera.width}x{camera.height} pixels",
        "Poses": built.poses,
        "Gaussians": f"{len(built.scene)}, started from {built.start}",
        "Held-out PSNR": "–" if built.psnr is None else f"{built.psnr:.1f} dB",
        "Device": str(session.device),
    }
    if answers is None:
        return facts
    return facts | {"Questions": str(answers.count), "Unanswered": "; ".join(answers.troubles()) or "none"}
