"""From a capture's folder to views in memory: read, select, load."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from point2act.core.types import Capture, Frame, PointSet, ProgressCallback, View
from point2act.data.capture import load_view, load_views, read_capture
from point2act.data.capture.view_selection import keep_frames, select_views
from point2act.data.points import PERSON
from point2act.data.run_manifest import Poses, with_poses

MAX_SIDE = 480
"""Default longer side of a loaded image, pixels."""


@dataclass(frozen=True, eq=False)
class ViewLoader:
    """One set of options for every step from a capture's folder to its views.

    Args:
        max_side: Images are reduced until their longer side is at most this many pixels; None keeps them.
        max_views: Maximum number of views; None for all.
        names: Frames to use, by name, in place of a selection; None to select.
        poses: ``T_world_cam`` by frame name, in place of the capture's own poses.
        allow_outside: Accept files outside the capture's folder.
        extra_bytes: Memory that the caller needs beside the views, bytes per pixel of all views.
    """

    max_side: int | None = MAX_SIDE
    max_views: int | None = None
    names: tuple[str, ...] | None = None
    poses: Poses | None = None
    allow_outside: bool = False
    extra_bytes: int = 0

    def read(self, folder: Path | str) -> Capture:
        """Read a capture's transforms.json; no image is opened."""
        return read_capture(folder, allow_outside=self.allow_outside)

    def select(self, capture: Capture, points: PointSet | None = None) -> Capture:
        """Return the capture with the frames to use alone.

        Farthest point sampling over viewpoints. Frames that a person answered come first, then frames with
        any other answer, then the rest.
        """
        if self.names is not None or self.max_views is None:
            return keep_frames(capture, self.names)
        answers = () if points is None else points.answers
        by_person = {answer.image for answer in answers if answer.model == PERSON}
        answered = {answer.image for answer in answers}
        frames = select_views(capture.frames, self.max_views, priority=(by_person, answered))
        return replace(capture, frames=frames)

    def load(self, capture: Capture, progress: ProgressCallback | None = None) -> tuple[View, ...]:
        """Load all frames of a capture, at most ``max_side`` large, at the run's poses where it has some.

        Raises:
            CaptureError: An image is broken, or memory will not hold all views.
        """
        views = load_views(capture, max_side=self.max_side, extra=self.extra_bytes, progress=progress)
        return with_poses(views, self.poses)

    def load_frame(self, capture: Capture, frame: Frame) -> View:
        """Load one frame of a capture."""
        view = load_view(capture, frame, max_side=self.max_side)
        return view if self.poses is None else with_poses([view], self.poses)[0]
