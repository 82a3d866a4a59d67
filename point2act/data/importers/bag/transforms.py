"""The tree of tf: transforms over time, chained and interpolated."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation

from point2act.core.errors import CaptureError
from point2act.data.importers.bag.reader import frame_name, stamp

_MAX_GAP = 0.25
"""Longest time in seconds between two transforms that is interpolated. Chosen: arms publish at 30 Hz."""

JUMP = 0.5
"""Seconds by which the times of one sender go back at a jump of its clock. Chosen: the queues of ROS reorder
messages by less."""

_UNIT = 1e-2
"""Largest deviation of a quaternion's length from 1."""


@dataclass(frozen=True, eq=False)
class Track:
    """Transforms from one frame to its parent over time."""

    times: Int[np.ndarray, " n"]
    """Nanoseconds, strictly increasing; one time if the transform is static."""
    translations: Float[np.ndarray, "n 3"]
    rotations: Rotation
    static: bool


@dataclass(frozen=True, eq=False)
class Poses:
    """Transforms at some times."""

    matrices: Float[np.ndarray, "n 4 4"]
    known: Bool[np.ndarray, " n"]
    """False before the first and after the last transform, and in gaps."""


@dataclass(frozen=True)
class Gap:
    """A time without transforms of a frame."""

    frame: str
    seconds: float
    time: int
    """When it starts, nanoseconds."""


class TransformTree:
    """Transforms between frames, as tf messages bring them."""

    def __init__(self) -> None:
        """Start with no frame."""
        self._times: defaultdict[str, array] = defaultdict(lambda: array("q"))
        self._numbers: defaultdict[str, array] = defaultdict(lambda: array("d"))
        self._static: dict[str, tuple[float, ...]] = {}
        self._parents: defaultdict[str, list[str]] = defaultdict(list)
        self._tracks: dict[str, Track] = {}
        self.invalid = 0
        """Number of transforms that were ignored because they are not finite or not a rotation."""
        self.jump: tuple[str, float] | None = None
        """A frame whose times go back, and by how many seconds; the first such frame."""

    @property
    def frames(self) -> tuple[str, ...]:
        """Names of all frames."""
        parents = (parent for listed in self._parents.values() for parent in listed)
        return tuple(sorted({*self._parents, *parents}))

    def add(self, transform: Any, *, static: bool) -> None:
        """Add a ``geometry_msgs/TransformStamped``; those of ``/tf_static`` hold at all times."""
        parent, child = frame_name(transform.header.frame_id), frame_name(transform.child_frame_id)
        shift, turn = transform.transform.translation, transform.transform.rotation
        numbers = (shift.x, shift.y, shift.z, turn.x, turn.y, turn.z, turn.w)
        length = math.hypot(*numbers[3:])
        if not math.isfinite(sum(numbers)) or abs(length - 1) > _UNIT:
            self.invalid += 1
            return
        if parent not in self._parents[child]:
            self._parents[child].append(parent)
        if static:
            self._static[child] = numbers
            return
        time, times = stamp(transform.header), self._times[child]
        if self.jump is None and times and times[-1] - time > JUMP * 1e9:
            self.jump = child, (times[-1] - time) / 1e9
        times.append(time)
        self._numbers[child].extend(numbers)

    def poses(self, base: str, frame: str, times: Int[np.ndarray, " n"]) -> Poses:
        """Return ``T_base_frame`` at times: linear interpolation of translations, slerp of rotations.

        Args:
            base: Name of the frame that the transforms map to.
            frame: Name of the frame that they map from.
            times: Nanoseconds.

        Raises:
            CaptureError: A frame does not exist, is not connected, or has several parents.
        """
        up, down = self._chains(base, frame)
        from_base, from_frame = self._chained(up, times), self._chained(down, times)
        return Poses(_inverted(from_base.matrices) @ from_frame.matrices, from_base.known & from_frame.known)

    def longest_gap(self, base: str, frame: str) -> Gap | None:
        """Return the longest time without a transform between two frames; None if all are interpolated."""
        tracks = [(child, self._track(child)) for chain in self._chains(base, frame) for child in chain]
        found = [
            Gap(child, float(steps.max()) / 1e9, int(track.times[steps.argmax()]))
            for child, track in tracks
            if len(steps := np.diff(track.times)) and steps.max() > _MAX_GAP * 1e9
        ]
        return max(found, key=lambda gap: gap.seconds, default=None)

    def span(self, base: str, frame: str) -> tuple[int, int] | None:
        """Return the first and the last time at which all moving transforms are known; None if none moves."""
        tracks = [self._track(child) for chain in self._chains(base, frame) for child in chain]
        moving = [track.times for track in tracks if not track.static]
        return (max(int(t[0]) for t in moving), min(int(t[-1]) for t in moving)) if moving else None

    def _chains(self, base: str, frame: str) -> tuple[list[str], list[str]]:
        """Return the frames from both up to their common ancestor, without it."""
        above, below = self._ancestors(base), self._ancestors(frame)
        common = next((name for name in below if name in above), None)
        if common is None:
            raise CaptureError(
                f"tf does not connect {base} with {frame}: one is below {above[-1]}, the other below "
                f"{below[-1]}; record the transform between the two, which may be in /tf_static"
            )
        return above[: above.index(common)], below[: below.index(common)]

    def _ancestors(self, frame: str) -> list[str]:
        names = [frame]
        if frame not in self.frames:
            raise CaptureError(
                f"tf has no frame {frame}: name one of {', '.join(self.frames) or 'none, tf is empty'}"
            )
        while names[-1] in self._parents:
            parents = self._parents[names[-1]]
            if len(parents) > 1:
                raise CaptureError(
                    f"tf gives {names[-1]} two parents, {parents[0]} and {parents[1]}: stop one of the "
                    "nodes that publish it, and record again"
                )
            if parents[0] in names:
                raise CaptureError(f"tf has a loop through {names[-1]}: record again without it")
            names.append(parents[0])
        return names

    def _chained(self, chain: list[str], times: Int[np.ndarray, " n"]) -> Poses:
        """Return the transforms from the first frame of a chain to the parent of its last."""
        found = Poses(np.tile(np.eye(4), (len(times), 1, 1)), np.ones(len(times), dtype=bool))
        for child in chain:
            step = _interpolated(self._track(child), times)
            found = Poses(step.matrices @ found.matrices, step.known & found.known)
        return found

    def _track(self, child: str) -> Track:
        if child not in self._tracks:
            static = child in self._static
            times = np.zeros(1, dtype=np.int64) if static else np.array(self._times[child], dtype=np.int64)
            listed = self._static[child] if static else self._numbers[child]
            numbers = np.array(listed, dtype=float).reshape(-1, 7)
            times, first = np.unique(times, return_index=True)
            rotations = Rotation.from_quat(numbers[first, 3:])
            self._tracks[child] = Track(times, numbers[first, :3], rotations, static)
        return self._tracks[child]


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Poses of a camera in a base frame, by the stamps of its images."""

    tree: TransformTree
    base: str
    camera: str
    """Optical frame."""
    skew: float = 0.0
    """Seconds from the stamp of an image to the time by tf at which the camera was where it shows."""

    def poses(self, stamps: Int[np.ndarray, " n"]) -> Poses:
        """Return ``T_base_camera`` of images with these stamps, nanoseconds; raises as the tree does."""
        return self.tree.poses(self.base, self.camera, stamps + round(self.skew * 1e9))


def _interpolated(track: Track, times: Int[np.ndarray, " n"]) -> Poses:
    """Interpolate a track at times, with the nearest transform where it is unknown."""
    before = np.searchsorted(track.times, times, side="right") - 1
    after = np.clip(before + (track.times[before.clip(0)] != times), 0, len(track.times) - 1)
    inside = (before >= 0) & (before < len(track.times) - 1) | (track.times[before.clip(0)] == times)
    before = before.clip(0)
    gaps = track.times[after] - track.times[before]
    share = np.divide(times - track.times[before], gaps, out=np.zeros(len(times)), where=gaps > 0)
    start, end = track.rotations[before], track.rotations[after]
    turned = start * Rotation.from_rotvec(share[:, None] * (start.inv() * end).as_rotvec())
    shifts = track.translations[before]
    matrices = np.tile(np.eye(4), (len(times), 1, 1))
    matrices[:, :3, :3] = turned.as_matrix()
    matrices[:, :3, 3] = shifts + share[:, None] * (track.translations[after] - shifts)
    return Poses(matrices, np.full(len(times), True) if track.static else inside & (gaps <= _MAX_GAP * 1e9))


def _inverted(matrices: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    inverse = np.tile(np.eye(4), (len(matrices), 1, 1))
    inverse[:, :3, :3] = matrices[:, :3, :3].transpose(0, 2, 1)
    inverse[:, :3, 3] = -np.einsum("nij,nj->ni", inverse[:, :3, :3], matrices[:, :3, 3])
    return inverse
