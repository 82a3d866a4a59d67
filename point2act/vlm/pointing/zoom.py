"""Locate, then point: the first answers of all views choose where each of them looks again, closer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from point2act.core.geometry import inside, project
from point2act.core.types import Answer, Frame, Query, View
from point2act.data.capture import view_to_disk
from point2act.data.crops import Window, crop_image, window_around
from point2act.localization.multiview_consensus import MeetConfig, Meeting
from point2act.vlm.pointing.point import Pointer, point_at


@dataclass(frozen=True)
class ZoomConfig:
    """Where the second look goes, and how close."""

    side: int = 1024
    """Longer side of what is shown of the window, pixels."""
    share: float = 0.33
    """The window is at least this share of the image's longer side: models need to see what a part is of. Of
    0.25, 0.33, 0.4, 0.5 and 0.65 the smaller ones were better for simulated models, to which context is
    nothing, though by little below 0.4."""
    scatters: float = 8.0
    """It is also at least so many standard deviations of the first answers: 4 to each side. Chosen."""
    meet: MeetConfig = field(default_factory=MeetConfig)


def zoom_windows(
    frames: Sequence[Frame],
    views: Sequence[View],
    met: Meeting | None,
    first: Sequence[Answer | None],
    *,
    config: ZoomConfig = ZoomConfig(),
) -> tuple[Window | None, ...]:
    """What each view looks at again: a window of its image on disk, or None to let its answer be.

    ``frames``, ``views`` and ``first``, the answers to one query (None where there is none), belong together
    one by one. The window is about the place on which the views agree. A view that does not have that in
    its image, or where the views agree on none, looks again about the middle of its own answer.
    """
    chosen = []
    for frame, view, answer in zip(frames, views, first, strict=True):
        about = None if met is None else _place_on_disk(frame, view, met)
        if about is None and answer is not None and len(answer.points):
            about = np.median(answer.points, axis=0), 0.0
        chosen.append(None if about is None else _window(frame, *about, config))
    return tuple(chosen)


def point_in_window(
    pointer: Pointer,
    query: Query,
    frame: Frame,
    image: UInt8[np.ndarray, "h w 3"],
    window: Window,
    *,
    config: ZoomConfig = ZoomConfig(),
) -> Answer:
    """Point again inside a window of a frame's ``image`` on disk; the answer is in pixels of that image.

    It takes the place of the view's first answer, also where it is "not visible": to keep a first answer
    that lies in the window gained no right points in simulation, and left more than twice as many where the
    target is hidden.

    Safe to call from several threads. Raises what the pointer raises where there is no answer.
    """
    return point_at(pointer, query, frame.name, crop_image(image, window, side=config.side))


def _place_on_disk(frame: Frame, view: View, met: Meeting) -> tuple[Float[np.ndarray, " 2"], float] | None:
    """Where the place is in the image on disk, and how many pixels the answers' scatter is there."""
    pixels, z = project(view.camera, view.T_world_cam, met.point[None])
    if z[0] <= 0 or not inside(view.camera, pixels)[0]:
        return None
    place = view_to_disk(frame, view, pixels)
    if not inside(frame.camera, place)[0]:
        return None
    return place[0], met.scatter * max(frame.camera.fx, frame.camera.fy) / float(z[0])


def _window(frame: Frame, middle: Float[np.ndarray, "2"], scatter: float, config: ZoomConfig) -> Window:
    """What to look at again about a place."""
    size = np.array([frame.camera.width, frame.camera.height])
    side = max(config.share * size.max(), config.scatters * scatter)
    return window_around(middle, max(round(side), 1), size=size)
