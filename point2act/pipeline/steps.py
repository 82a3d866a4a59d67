"""The steps from a capture to files, shared by ``run`` and ``follow``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from point2act.core.open3d_import import open3d
from point2act.core.progress import Bar, Stages
from point2act.core.types import Capture, GaussianScene, PointSet, View
from point2act.data.capture.view_selection import keep_frames
from point2act.data.points import write_points
from point2act.data.resume import NAME as UNFINISHED
from point2act.data.resume import check_writable, find_saved, fingerprint, remove_saved, save_scene
from point2act.data.run_manifest import RunManifest, with_poses, write_run
from point2act.data.scene_ply import as_stored, read_splat_ply
from point2act.data.view_loader import ViewLoader
from point2act.grasping.end_effector import EndEffector
from point2act.pipeline.answering import Answered, AnswerSource, answer
from point2act.pipeline.outputs import RunSummary, publish, publish_grasps, write_scene, write_timings
from point2act.pipeline.planning import Planner, chosen_end_effector
from point2act.pipeline.run_config import RunConfig, RunResult
from point2act.pipeline.session import Session
from point2act.splatting.cpu.compile_kernels import warm_up
from point2act.splatting.gaussians import choose_device
from point2act.splatting.reconstruct import Placed, Reconstruction, Reconstructor
from point2act.vlm.pointing.ask import Answers
from point2act.vlm.segmenters.factory import as_segmenter
from point2act.vlm.segmenters.segmenter import Segmenter, SegmentFunction

_log = logging.getLogger(__name__)

# What fitting keeps in memory for each pixel of all views: colours and depth in float32.
_TARGET_BYTES = 16


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """A scene, and what is known about it by the time that it is made."""

    built: Reconstruction
    early: Answered | None = None
    """Results on the scene's geometry, written already; None if nothing was answered before the fit."""
    saved: Path | None = None
    """A folder in which the scene and its geometry are written, until the run is complete."""


@dataclass(frozen=True, eq=False)
class RunContext:
    """Options and state of one run."""

    config: RunConfig
    output: Path | None
    """Folder to write to; None writes nothing."""
    resume: bool
    """Whether to go on with an interrupted run in the output folder."""
    incremental: bool
    """Whether the scene is made while its images arrive, which gives another scene."""
    gripper: EndEffector
    planner: Planner | None
    segmenter: Segmenter | None
    stages: Stages
    device: torch.device

    @staticmethod
    def create(
        config: RunConfig,
        output: Path | str | None,
        *,
        resume: bool = False,
        incremental: bool = False,
        planner: Planner | None = None,
        segmenter: Segmenter | SegmentFunction | None = None,
        show: bool,
    ) -> RunContext:
        """Check that the gripper, the output folder and the device exist, before any work is done."""
        gripper = chosen_end_effector(config.answer)
        folder = None if output is None else Path(output)
        if folder is not None:
            check_writable(folder)
        device = choose_device(config.device)
        _log.debug("on %s, torch with %d threads", device, torch.get_num_threads())
        ends, stages = as_segmenter(segmenter), Stages(show=show)
        return RunContext(config, folder, resume, incremental, gripper, planner, ends, stages, device)

    @property
    def loader(self) -> ViewLoader:
        """How captures are read, selected from and loaded."""
        return ViewLoader(
            max_side=self.config.max_side,
            max_views=self.config.max_views,
            allow_outside=self.config.allow_outside,
            extra_bytes=_TARGET_BYTES if self.device.type == "cpu" else 0,
        )

    def select_views(self, source: Capture, points: PointSet | None, bar: Bar) -> Capture:
        """Return the capture with the frames to use alone, and note how many are left out."""
        used = self.loader.select(source, points)
        total, count = len(source.frames), len(used.frames)
        if count < total:
            answered = {answer.image for answer in (() if points is None else points.answers)}
            lost = len(answered - {frame.name for frame in used.frames})
            also = f", without {lost} answered ones" if lost else ""
            bar.note(
                f"{total} views: {count} are used, spread over viewpoints{also}; --max-views {total} uses all"
            )
        return used

    def load_views(self, used: Capture, bar: Bar) -> tuple[View, ...]:
        """Load the images, if memory will hold them and what fitting keeps of them."""
        views = self.loader.load(used, bar)
        disk, here = used.frames[0].camera, views[0].camera
        sizes = f"{here.width}x{here.height} pixels ({disk.width}x{disk.height} on disk)"
        _log.debug(
            "%d views of %s, %d with depth", len(views), sizes, sum(v.depth is not None for v in views)
        )
        return views

    def load_dependencies(self, *, grasps: bool) -> None:
        """Import and compile what is needed later, so that what is missing shows before the work."""
        with self.stages.stage("load dependencies") as bar:
            if grasps:
                open3d()
            if self.device.type == "cpu":
                warm_up(compiling=lambda: bar.note("compiling the kernels, once on this machine: 15 s"))

    def metric(self, source: Capture) -> bool:
        """Return whether lengths are taken for metres."""
        return source.metric or self.config.answer.metric

    def reconstructor(self, source: Capture) -> Reconstructor:
        """Return what makes a capture's scene."""
        return Reconstructor(
            self.config.build,
            self.metric(source),
            source.point_cloud_path,
            self.config.answer.seed,
            self.device,
            self.stages,
        )

    def reconstruct(self, source: Capture, views: Sequence[View], asked: AnswerSource) -> Reconstructed:
        """Make the scene, or take that of an interrupted run.

        Where there is depth, the queries are answered before the scene is fitted: what they need is measured.
        """
        if self.output is not None and self.resume:
            with self.stages.stage("check for a saved scene") as bar:
                saved = find_saved(self.output, self._fingerprint(source, views))
                if saved is not None:
                    bar.note("found: going on with it")
                    return Reconstructed(_reopened(saved, views), saved=saved.scene.parent)
        reconstructor = self.reconstructor(source)
        placed = reconstructor.place(views, reconstructor.refine(views))
        early = self.answer_placed(source, placed, asked)
        built = reconstructor.build(placed)
        if self.output is None:
            return Reconstructed(built, early)
        save_scene(self.output, self._manifest(self.output, source, built), built.scene, built.geometry)
        built = replace(built, scene=as_stored(built.scene))
        return Reconstructed(built, early, self.output / UNFINISHED)

    def answer_placed(self, source: Capture, placed: Placed, asked: AnswerSource) -> Answered | None:
        """Answer all queries on Gaussians that are not fitted yet; None if they are not measured surfaces."""
        if placed.geometry is None:
            return None
        answered = self.answer(self.session(source, placed.views, placed.geometry), asked)
        if answered is not None and self.output is not None:
            self.stages.info(f"{self.output / 'grasps.json'} is written; the scene and the report follow")
        return answered

    def session(
        self,
        source: Capture,
        views: Sequence[View],
        scene: GaussianScene,
        geometry: GaussianScene | None = None,
    ) -> Session:
        """Return a session on a scene, see ``Session``."""
        return Session(
            source,
            views,
            scene,
            self.metric(source),
            self.device,
            segmenter=self.segmenter,
            geometry=geometry,
        )

    def answer(self, session: Session, asked: AnswerSource) -> Answered | None:
        """Answer all queries and write the answers and the grasps; None without queries."""
        answered = answer(
            session,
            asked,
            config=self.config.answer,
            choosing=self.config.choosing,
            gripper=self.gripper,
            planner=self.planner,
            stages=self.stages,
        )
        if answered is not None and self.output is not None:
            if answered.points is not asked.known:
                write_points(self.output / "points.json", answered.points)
            publish_grasps(self.output, session, answered.results)
        return answered

    def _fingerprint(self, source: Capture, views: Sequence[View]) -> str:
        """Return a hash of what the scene is made from and how."""
        config = self.config
        how = (config.build, config.max_side, config.answer.seed, self.metric(source), self.incremental)
        used = keep_frames(source, [view.name for view in views])
        return fingerprint(used, version("point2act"), self.device.type, *how)

    def _manifest(self, folder: Path, source: Capture, built: Reconstruction) -> RunManifest:
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
            fingerprint=self._fingerprint(source, built.views),
            views=names if len(names) < len(source.frames) else None,
            geometry=None if built.geometry is None else folder / "geometry.ply",
            notes={"poses": built.poses, "start": built.start},
        )

    def finish(self, source: Capture, made: Reconstructed, asked: AnswerSource) -> RunResult:
        """Get from a scene to grasps, if they are not known yet, and write all files.

        Args:
            source: The capture, with all its frames.
            made: The scene and the views that it was fitted to.
            asked: Where the answers come from.
        """
        built, answered = made.built, made.early
        session = self.session(source, built.views, built.scene, built.geometry)
        if answered is None:
            answered = self.answer(session, asked)
            if answered is None:
                self.stages.warn(f"{source.folder} has no points.json: only the scene is made")
        elif len(built.scene) != len(answered.session.scene):
            # The fit left Gaussians out: relevancies are no longer theirs.
            again = self.answer(session, AnswerSource(answered.points, None, None))
            answered = None if again is None else replace(again, replies=answered.replies)
        elif built.geometry is not None:
            answered = replace(answered, session=answered.session.fitted(built.scene))
        points = None if answered is None else answered.points
        _log.debug("%d Gaussians, %s", len(built.scene), _counted(points))
        if self.output is not None:
            self._write(self.output, session, answered, made)
        return RunResult(
            results=() if answered is None else answered.results.results,
            points=points,
            scene=built.scene,
            relevancy=None if answered is None else answered.results.relevancy,
            psnr=built.psnr,
            timings=dict(self.stages.seconds),
        )

    def _write(self, folder: Path, session: Session, answered: Answered | None, made: Reconstructed) -> None:
        """Write all files of a run but the grasps; run.json last, as it refers to the others."""
        timings = self.stages.seconds
        if answered is None:
            write_scene(folder, session, made.saved)
        else:
            session = answered.session
            summary = RunSummary(
                session,
                answered.results,
                timings,
                _facts(session, made.built, answered.replies),
                self.stages.spans,
                made.saved,
                answered.points,
                self.config.scene_3d,
            )
            publish(folder, summary)
        write_timings(folder / "timings.json", timings)
        write_run(folder, self._manifest(folder, session.capture, made.built))
        remove_saved(folder)


def _reopened(saved: RunManifest, views: Sequence[View]) -> Reconstruction:
    """Return the scene of an interrupted run as its reconstruction returned it."""
    posed, changed = with_poses(views, saved.poses), saved.poses is not None
    scene, notes = read_splat_ply(saved.scene), saved.notes
    geometry = None if saved.geometry is None else read_splat_ply(saved.geometry)
    return Reconstruction(scene, geometry, posed, changed, notes["poses"], notes["start"], saved.psnr)


def _counted(points: PointSet | None) -> str:
    return "no points" if points is None else f"{len(points.queries)} queries, {len(points.answers)} answers"


def _facts(session: Session, built: Reconstruction, answers: Answers | None) -> dict[str, str]:
    """Return facts about a run for the report."""
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
    return facts | {"Questions": str(answers.count), "Unanswered": "; ".join(answers.warnings()) or "none"}
