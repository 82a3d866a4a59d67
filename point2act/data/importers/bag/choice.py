"""Choice of images with depth and a pose from the index of a bag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from point2act.core.errors import CaptureError
from point2act.data.importers.bag.frames import STILL, choose_frames, pair_times, speeds
from point2act.data.importers.bag.index import Index
from point2act.data.importers.bag.transforms import CameraPath
from point2act.data.importers.recording import omitted_note
from point2act.data.importers.write import subsample

_TOLERANCE = 0.02
"""Largest time in seconds between a colour image and its depth, as for TUM RGB-D."""


@dataclass(frozen=True, eq=False)
class Choice:
    """The images of a bag that are used."""

    stamps: Int[np.ndarray, " n"]
    """Times of the colour images, nanoseconds."""
    T_base_cam: Float[np.ndarray, "n 4 4"]
    color_received: Int[np.ndarray, " n"]
    """When the recorder received the colour images, nanoseconds."""
    depth_stamps: Int[np.ndarray, " n"]
    depth_received: Int[np.ndarray, " n"]
    notes: tuple[str, ...]
    """Remarks for the user."""


def choose_images(index: Index, path: CameraPath, every: int, max_frames: int | None) -> Choice:
    """Choose images that have depth and a pose, spread over viewpoints, while the camera rests.

    Args:
        index: What the bag holds.
        path: Where the colour camera is, in the frame that becomes the world.
        every: Consider every n-th image only.
        max_frames: Maximum number of images, None for all.

    Raises:
        CaptureError: No image has depth at its time, or none has a pose.
    """
    stamps, _ = index.color.in_order()
    depth_stamps, _ = index.depth.in_order()
    pairs = pair_times(stamps, depth_stamps, _TOLERANCE)
    if not (pairs >= 0).any():
        away = np.abs(depth_stamps - stamps[0]).min() / 1e9
        raise CaptureError(
            f"no image of {index.depth.topic} is within {_TOLERANCE} s of one of {index.color.topic} (the "
            f"first lacks it by {away:.3g} s): record both from one camera, with one clock"
        )
    poses = path.poses(stamps)
    usable = np.flatnonzero((pairs >= 0) & poses.known)
    if not len(usable):
        raise _unposed(path, stamps)
    considered = np.array(subsample(usable.tolist(), every, None))
    speed = speeds(path.poses, stamps[considered])
    best = choose_frames(poses.matrices[considered], speed, max_frames)
    taken = considered[best]
    notes = (
        f"{len(taken)} of {len(stamps)} images of {index.color.topic} with {index.depth.topic}",
        *omitted_note("depth at their time", int((pairs < 0).sum())),
        *_gap_notes(path, stamps, poses.known),
        *_speed_notes(speed[best]),
        *_frame_notes(path),
    )
    return take_images(index, path, taken, notes)


def take_images(
    index: Index, path: CameraPath, numbers: Int[np.ndarray, " n"], notes: tuple[str, ...] = ()
) -> Choice:
    """Return the colour images with these numbers in order of time, and the depth nearest to each."""
    stamps, received = index.color.in_order()
    depth_stamps, depth_received = index.depth.in_order()
    depth = pair_times(stamps[numbers], depth_stamps, _TOLERANCE)
    return Choice(
        stamps=stamps[numbers],
        T_base_cam=path.poses(stamps[numbers]).matrices,
        color_received=received[numbers],
        depth_stamps=depth_stamps[depth],
        depth_received=depth_received[depth],
        notes=notes,
    )


def images_within(index: Index, path: CameraPath, margin: float) -> Int[np.ndarray, " n"]:
    """Return the numbers of the images with depth whose poses are known from ``margin`` before to after."""
    stamps, _ = index.color.in_order()
    usable = pair_times(stamps, index.depth.in_order()[0], _TOLERANCE) >= 0
    for offset in (-margin, 0.0, margin):
        usable &= path.poses(stamps + round(offset * 1e9)).known
    return np.flatnonzero(usable)


def _gap_notes(
    path: CameraPath, stamps: Int[np.ndarray, " n"], known: Bool[np.ndarray, " n"]
) -> tuple[str, ...]:
    if known.all():
        return ()
    gap = path.tree.longest_gap(path.base, path.camera)
    where = ""
    if gap is not None:
        after = (gap.time - int(stamps[0])) / 1e9
        where = f"; {gap.frame} has none for {gap.seconds:.1f} s, {after:.1f} s after the first image"
    return (f"{int((~known).sum())} images are omitted because tf does not cover their time{where}",)


def _speed_notes(speed: Float[np.ndarray, " n"]) -> tuple[str, ...]:
    moving = int((speed >= STILL).sum())
    if not moving:
        return ()
    return (
        f"the camera moves in {moving} of the images, at up to {speed.max():.2g} m/s: they may be blurred, "
        "and "
        "their poses are only as exact as the times",
    )


def _frame_notes(path: CameraPath) -> tuple[str, ...]:
    notes = ()
    if "optical" not in path.camera:
        notes = (f"{path.camera} is not named optical: z must be forward there; name another with --camera",)
    if path.tree.invalid:
        notes += (f"{path.tree.invalid} transforms that are not finite or no rotation are ignored",)
    return notes


def _unposed(path: CameraPath, stamps: Int[np.ndarray, " n"]) -> CaptureError:
    span, gap = path.tree.span(path.base, path.camera), path.tree.longest_gap(path.base, path.camera)
    origin = int(stamps[0])
    where = ""
    if span is not None:
        first, last = ((time - origin) / 1e9 for time in span)
        until = (int(stamps[-1]) - origin) / 1e9
        where = f"; images are from 0 to {until:.2f} s, tf is from {first:.2f} to {last:.2f} s"
    if gap is not None:
        where += f", without {gap.frame} for {gap.seconds:.1f} s"
    return CaptureError(
        f"tf from {path.base} to {path.camera} does not cover the time of any image with depth{where}: "
        "record tf all the time, with the clock of the camera"
    )
