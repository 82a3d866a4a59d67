"""A finished run read from disk, whichever trainer wrote it; torch is imported only for a session."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point2act.core.types import Capture, Frame, GaussianScene, ProgressCallback
from point2act.data.capture.view_selection import keep_frames
from point2act.data.points import points_file
from point2act.data.run_manifest import read_run
from point2act.data.scene_ply import read_splat_ply
from point2act.data.view_loader import ViewLoader

if TYPE_CHECKING:
    from point2act.pipeline.session import Session
    from point2act.vlm.segmenters.segmenter import Segmenter, SegmentFunction
else:
    Segmenter = SegmentFunction = Session = Any

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """The scene and the capture of a finished run, in the capture's world frame."""

    folder: Path
    """The run's folder."""
    scene: GaussianScene
    capture: Capture
    """The capture with all its frames."""
    loader: ViewLoader
    """Which frames the run used, at which size and poses."""
    metric: bool
    """Whether lengths are metres."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds per stage."""
    geometry: GaussianScene | None = None
    """The Gaussians that queries are localized on; None for those of the scene."""

    @staticmethod
    def read(path: Path | str) -> FinishedRun:
        """Read what ``point2act run`` wrote: its folder or the run.json in it.

        Raises:
            Point2ActError: The run, its capture or its scene cannot be read.
        """
        run = read_run(path)
        loader = ViewLoader(
            max_side=run.max_side, names=run.views, poses=run.poses, allow_outside=run.allow_outside
        )
        capture = loader.read(run.capture)
        scene = read_splat_ply(run.scene)
        geometry = None if run.geometry is None else read_splat_ply(run.geometry)
        return FinishedRun(run.scene.parent, scene, capture, loader, run.metric, run.timings, geometry)

    @property
    def used(self) -> Capture:
        """The capture with the frames that the run used alone."""
        return keep_frames(self.capture, self.loader.names)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The frames that the run used, at the run's poses."""
        poses = self.loader.poses or {}
        return tuple(
            replace(frame, T_world_cam=poses.get(frame.name, frame.T_world_cam)) for frame in self.used.frames
        )

    @property
    def points(self) -> Path | None:
        """The points.json of the run, else of its capture; None if neither has one."""
        return points_file(None, self.folder, self.capture.folder)

    def session(
        self,
        *,
        max_side: int | None = None,
        device: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> Session:
        """Load the views and return a session.

        Args:
            max_side: Longer side of the images in pixels; by default the run's.
            device: ``cpu`` or ``cuda``; by default CUDA if there is one.
            progress: Called with views done and all views.
        """
        from point2act.pipeline.session import Session
        from point2act.splatting.gaussians import choose_device

        loader = self.loader if max_side is None else replace(self.loader, max_side=max_side)
        views = loader.load(loader.select(self.capture), progress)
        metric = self.metric or self.capture.metric
        session = Session(
            self.capture, views, self.scene, metric, choose_device(device), geometry=self.geometry
        )
        _log.debug("%d views, %d Gaussians, on %s", len(views), len(self.scene), session.device)
        return session


def open_run(
    path: Path | str,
    *,
    device: str | None = None,
    segmenter: Segmenter | SegmentFunction | None = None,
) -> Session:
    """Open a finished run for new queries.

    Reads the scene and the images again and renders the scene from every view, so that the first query is as
    quick as the others.

    Args:
        path: The output folder of ``point2act run``, or the run.json in it.
        device: ``cpu`` or ``cuda``; by default CUDA if there is one.
        segmenter: Where things end, as for ``run``.

    Raises:
        Point2ActError: The run, its capture or its scene cannot be read.
    """
    from point2act.vlm.segmenters.factory import as_segmenter

    session = FinishedRun.read(path).session(device=device)
    session = replace(session, segmenter=as_segmenter(segmenter))
    _ = session.surfaces, session.segmentation()
    return session
