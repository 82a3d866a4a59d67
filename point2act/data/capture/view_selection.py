"""Fewer views of a capture that has very many: spread over viewpoints, sharp ones before blurred ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.errors import CaptureError
from point2act.core.types import Capture, Frame

_NEAR = 0.5
"""A sharper view may stand in for one that was chosen where it is nearer than this share of the distance
between chosen views. Chosen: what is nearer to another chosen view stays with that."""


def select_views(
    frames: Sequence[Frame], at_most: int, *, first: Sequence[Collection[str]] = ()
) -> tuple[Frame, ...]:
    """At most so many of the frames, in their order, spread evenly over viewpoints; no pixel is read.

    ``first`` are groups of names that are wanted before all others, the most wanted group first: others
    are only taken where there is room left, and of a group that is itself too many as many as there is room
    for. The farthest from all that were taken so far comes next (Gonzalez 1985); then a sharper view
    takes the place of a near one that is in no group. Sharp is whose file has more bytes a pixel: what a
    camera blurs packs better. In a simulated sweep of 400 pictures with noise, 50 of them blurred by three
    pixels, the blurred files had 0.96 to 0.99 of the bytes of those around them, the others 0.99 to 1.01.

    Raises ``CaptureError`` where ``at_most`` is not positive or an image's file is gone.
    """
    if at_most < 1:
        raise CaptureError(f"--max-views is {at_most}: ask for one view or more")
    if len(frames) <= at_most:
        return tuple(frames)
    wanted = [np.array([frame.name in names for frame in frames]) for names in first]
    apart = ViewDistance.of(frames)
    chosen = farthest_point_sampling(apart, at_most, [*wanted, np.ones(len(frames), dtype=bool)])
    fixed = np.logical_or.reduce([np.zeros(len(frames), dtype=bool), *wanted])
    chosen = _sharper(apart, chosen, fixed, _density(frames))
    return tuple(frames[index] for index in sorted(chosen))


def keep_frames(capture: Capture, names: Collection[str] | None) -> Capture:
    """The capture with the frames of these names alone, in its own order; as it is with None."""
    if names is None:
        return capture
    wanted = set(names)
    return replace(capture, frames=tuple(frame for frame in capture.frames if frame.name in wanted))


class ViewDistance:
    """How different the pictures from several viewpoints are: the way between the cameras, as a share of
    how far they are spread, plus the angle between their axes, radians.
    """

    def __init__(self, eyes: Float[np.ndarray, "n 3"], axes: Float[np.ndarray, "n 3"]):
        """``eyes`` are where the cameras stand, ``axes`` the unit vectors along which they look."""
        size = float(np.median(np.linalg.norm(eyes - np.median(eyes, axis=0), axis=1)))
        self._eyes, self._axes = eyes / (size if size > 0 else 1.0), axes

    @staticmethod
    def of(frames: Sequence[Frame]) -> ViewDistance:
        """Of some frames' cameras."""
        poses = np.array([frame.T_world_cam for frame in frames])
        return ViewDistance(poses[:, :3, 3], poses[:, :3, 2])

    def __len__(self) -> int:
        return len(self._eyes)

    def from_one(self, index: int) -> Float[np.ndarray, " n"]:
        """How different every viewpoint is from one of them."""
        ways = np.linalg.norm(self._eyes - self._eyes[index], axis=1)
        chords = np.linalg.norm(self._axes - self._axes[index], axis=1)
        return ways + 2 * np.arcsin(np.clip(chords / 2, 0.0, 1.0))


def farthest_point_sampling(
    apart: ViewDistance, at_most: int, groups: Sequence[Bool[np.ndarray, " n"]]
) -> list[int]:
    """So many viewpoints, each the farthest from those before; those of earlier groups come first."""
    chosen: list[int] = []
    nearest = np.full(len(apart), np.inf)
    for group in groups:
        free = group.copy()
        free[chosen] = False
        while free.any() and len(chosen) < at_most:
            farthest = int(np.where(free, nearest, -1.0).argmax())
            chosen.append(farthest)
            free[farthest] = False
            nearest = np.minimum(nearest, apart.from_one(farthest))
    return chosen


def _sharper(
    apart: ViewDistance,
    chosen: Sequence[int],
    fixed: Bool[np.ndarray, " n"],
    density: Float[np.ndarray, " n"],
) -> list[int]:
    """For each of the chosen, unless it is fixed, the sharpest of those near it and to no other as near."""
    away = np.array([apart.from_one(index) for index in chosen])
    owner, nearest = away.argmin(axis=0), away.min(axis=0)
    owner[list(chosen)] = range(len(chosen))  # Also where several stand in one place.
    between = np.where(away[:, chosen] > 0, away[:, chosen], np.inf).min(axis=1)
    found = []
    for number, index in enumerate(chosen):
        near = (owner == number) & (nearest < _NEAR * between[number]) & ~fixed
        best = int(np.where(near, density, -1.0).argmax())
        stays = fixed[index] or density[best] <= density[index]
        found.append(index if stays else best)
    return found


def _density(frames: Sequence[Frame]) -> Float[np.ndarray, " n"]:
    """Bytes a pixel."""
    try:
        return np.array([f.image_path.stat().st_size / (f.camera.height * f.camera.width) for f in frames])
    except OSError as err:
        raise CaptureError(f"{err.filename} is gone since the capture was read: bring it back") from err
