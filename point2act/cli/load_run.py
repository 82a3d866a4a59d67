"""A finished run, ours or nerfstudio's, as the commands open it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point2act.core.types import Capture, Frame, GaussianScene, ProgressCallback
from point2act.data.capture import load_views, read_capture
from point2act.data.capture.view_selection import keep_frames
from point2act.data.run_manifest import NAME, Poses, read_run, with_poses
from point2act.data.scene_ply import read_splat_ply

if TYPE_CHECKING:
    from point2act.pipeline.session import Session
else:
    Session = Any

_log = logging.getLogger(__name__)

# Of a config.yml, which does not say: RunConfig's.
_MAX_SIDE = 480


@dataclass(frozen=True, eq=False)
class Opened:
    """What both kinds of runs have."""

    folder: Path
    """Where the run lies."""
    scene: GaussianScene
    capture: Capture
    max_side: int
    metric: bool
    timings: Mapping[str, float]
    poses: Poses | None
    views: tuple[str, ...] | None
    """The frames that are used, by name; None for all."""

    @property
    def used(self) -> Capture:
        """The capture with the frames that are used alone."""
        return keep_frames(self.capture, self.views)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The capture's, at the run's poses."""
        known = self.poses or {}
        return tuple(
            replace(frame, T_world_cam=known.get(frame.name, frame.T_world_cam)) for frame in self.used.frames
        )

    @property
    def points(self) -> Path | None:
        """What was answered for this run, else for its capture; None where nothing was."""
        files = (self.folder / "points.json", self.capture.folder / "points.json")
        return next((path for path in files if path.is_file()), None)

    def session(self, *, max_side: int | None, device: str | None, progress: ProgressCallback) -> Session:
        """Ready for questions; images as large as the run had them unless ``max_side`` says otherwise."""
        # Late: torch takes seconds, in which the scene may be shown already.
        from point2act.pipeline.session import Session, choose_device

        views = load_views(self.used, max_side=max_side or self.max_side, progress=progress)
        metric = self.metric or self.capture.metric
        posed = with_poses(views, self.poses)
        session = Session(self.capture, posed, self.scene, metric, choose_device(device))
        _log.debug("%d views, %d Gaussians, on %s", len(views), len(self.scene), session.device)
        return session


def open_scene(path: Path) -> Opened:
    """Open a run by its folder, its run.json or its config.yml; the ending decides.

    Raises a ``Point2ActError`` that says what to mend.
    """
    if path.suffix == ".json" or path.is_dir():
        saved = read_run(path)
        capture = read_capture(saved.capture, allow_outside=saved.allow_outside)
        scene = read_splat_ply(saved.scene)
        folder = saved.scene.parent
        return Opened(
            folder, scene, capture, saved.max_side, saved.metric, saved.timings, saved.poses, saved.views
        )
    # Late: nerfstudio takes seconds to import.
    from point2act.plugin.run import load_run

    trained = load_run(path)
    # nerfstudio has opened all that it names already.
    capture = read_capture(trained.capture, allow_outside=True)
    return Opened(path.parent, trained.scene, capture, _MAX_SIDE, capture.metric, trained.timings, None, None)


def is_run(path: Path) -> bool:
    """Whether a path leads to a run, and not to a capture."""
    return path.name == NAME or path.suffix in (".yml", ".yaml") or (path / NAME).is_file()
