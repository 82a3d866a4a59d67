"""Tracking through a recording: frames are read one after the other, and never all held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from point2act.acting.tracking.thing import Thing, thing_at
from point2act.acting.tracking.tracker import Track, TrackConfig, Tracker
from point2act.core.types import Frame, View
from point2act.data.capture import disk_to_view, view_to_disk
from point2act.data.importers.recording import Recording, load_frame
from point2act.localization.segmentation import segment_view
from point2act.pipeline.image_input import Pixel, check_depth


def things_at(recording: Recording, clicks: Mapping[str, Pixel]) -> tuple[Thing, ...]:
    """Find the things that are clicked in the first frame of a recording.

    Args:
        recording: Frames with depth.
        clicks: A pixel ``(x, y)`` of the first colour image for each name.

    Raises:
        CaptureError: A file cannot be read, or the depth has no reading or another unit.
        PointsError: A click is outside the image, or has no depth near it.
    """
    frame = recording.frames[0].frame
    view = load_frame(recording, recording.frames[0])
    check_depth(view)
    parts = segment_view(view)
    pixels = disk_to_view(frame, view, np.array(list(clicks.values()), dtype=float))
    return tuple(
        thing_at(view, (float(x), float(y)), name, parts) for name, (x, y) in zip(clicks, pixels, strict=True)
    )


def track_recording(
    recording: Recording, things: Sequence[Thing], config: TrackConfig = TrackConfig()
) -> Iterator[tuple[Track, ...]]:
    """Follow things from the first frame of a recording through all of it.

    Args:
        recording: Frames with depth, in order; their poses are not used.
        things: Things in the first frame, see ``things_at``.
        config: All options.

    Yields:
        Where the things are in each frame, from the first one on, in pixels of the file.

    Raises:
        CaptureError: A file cannot be read.
    """
    first, *rest = recording.frames
    view = load_frame(recording, first)
    tracker = Tracker(view, things, config)
    yield _on_disk(first.frame, view, tracker.tracks)
    for recorded in rest:
        view = load_frame(recording, recorded)
        yield _on_disk(recorded.frame, view, tracker.update(view))


def _on_disk(frame: Frame, view: View, tracks: Sequence[Track]) -> tuple[Track, ...]:
    pixels = view_to_disk(frame, view, np.array([track.pixel for track in tracks]))
    return tuple(replace(track, pixel=pixel) for track, pixel in zip(tracks, pixels, strict=True))
