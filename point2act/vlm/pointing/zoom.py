"""The second, zoomed pass: crop each image around the point where the first answers of all views agree.

A zoomed answer replaces the view's first answer, also where it is "not visible". Keeping a first answer that
lies in the window gained no right points in simulation, and left more than twice as many points where the
target is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import inside, project
from point2act.core.types import Answer, Frame, View
from point2act.data.capture import view_to_disk
from point2act.data.crops import Window, window_around
from point2act.localization.multiview_consensus import Consensus, ConsensusConfig


@dataclass(frozen=True)
class ZoomConfig:
    """Size and resolution of the windows of the zoomed pass."""

    side: int = 1024
    """Longer side of the crop that is shown, pixels."""
    # Models need to see what a part belongs to. Of 0.25, 0.33, 0.4, 0.5 and 0.65 the smaller ones were better
    # for simulated models, which ignore context, though by little below 0.4.
    min_fraction: float = 0.33
    """Minimum size of a window, as a fraction of the longer side of the image."""
    # 4 standard deviations to each side. Chosen.
    min_deviations: float = 8.0
    """Minimum size of a window, in standard deviations of the first answers around their common point."""
    meet: ConsensusConfig = field(default_factory=ConsensusConfig)


def zoom_windows(
    frames: Sequence[Frame],
    views: Sequence[View],
    consensus: Consensus | None,
    first: Sequence[Answer | None],
    *,
    config: ZoomConfig = ZoomConfig(),
) -> tuple[Window | None, ...]:
    """Choose the window of each image for the zoomed pass of one query.

    A window is centred on the projection of the point on which the views agree. In a view that does not show
    that point, or without such a point, it is centred on the median of the view's own first answer.

    Args:
        frames: Frames of the capture.
        views: The loaded view of each frame.
        consensus: Point on which the first answers agree; None if they do not.
        first: First answer of each view; None where there is none.
        config: Size of the windows.

    Returns:
        A window of each image on disk, pixels; None where the first answer stays.
    """
    windows = []
    for frame, view, answer in zip(frames, views, first, strict=True):
        center = None if consensus is None else _project_to_disk(frame, view, consensus)
        if center is None and answer is not None and len(answer.points):
            center = np.median(answer.points, axis=0), 0.0
        windows.append(None if center is None else _window(frame, *center, config))
    return tuple(windows)


def _project_to_disk(
    frame: Frame, view: View, consensus: Consensus
) -> tuple[Float[np.ndarray, " 2"], float] | None:
    """Return the pixel of the common point in the image on disk, and the answers' scatter there, pixels."""
    pixels, z = project(view.camera, view.T_world_cam, consensus.point[None])
    if z[0] <= 0 or not inside(view.camera, pixels)[0]:
        return None
    on_disk = view_to_disk(frame, view, pixels)
    if not inside(frame.camera, on_disk)[0]:
        return None
    return on_disk[0], consensus.scatter * max(frame.camera.fx, frame.camera.fy) / float(z[0])


def _window(frame: Frame, center: Float[np.ndarray, "2"], scatter: float, config: ZoomConfig) -> Window:
    size = np.array([frame.camera.width, frame.camera.height])
    side = max(config.min_fraction * size.max(), config.min_deviations * scatter)
    return window_around(center, max(round(side), 1), size=size)
