"""What is seen of the scene while the robot moves: things are followed beside the control loop."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from point2act.acting.execution.steady_motion import SteadyMotion
from point2act.acting.tracking.place import place_of
from point2act.acting.tracking.thing import Thing
from point2act.acting.tracking.tracker import Track, TrackConfig, Tracker
from point2act.core.geometry import invert, transform_points
from point2act.core.types import View

# Smallest share of pixels with depth in an image that shows a scene. Chosen.
_MIN_READINGS = 0.1


@dataclass(frozen=True, eq=False)
class Observation:
    """Where a thing is in the latest image."""

    lost: bool
    """Whether it is not where it was, and nowhere else to be found; not so for what is merely hidden."""
    motion: Float[np.ndarray, "4 4"] | None
    """Rigid motion since the first image, base frame to base frame; None where it is not seen."""


@runtime_checkable
class Perception(Protocol):
    """Follows things through images."""

    def update(self, view: View) -> Mapping[str, Observation] | None:
        """Return where every thing is in the next image, whose pose is in the base frame.

        None if the image shows nothing, as with a covered camera.
        """
        ...


class TrackedThings:
    """Follows things by their points, see ``Tracker``, and by the depth of their places, see ``Place``."""

    def __init__(self, view: View, things: Mapping[str, Thing], config: TrackConfig = TrackConfig()):
        """Start at the view in which the things were found.

        Args:
            view: Colour and depth; its pose is in the base frame.
            things: Things in its camera frame, by their names.
            config: Options of the tracker.
        """
        self._T_cam_base = view.T_cam_world
        self._tracker = Tracker(view, list(things.values()), config)
        self._points = {
            name: transform_points(view.T_world_cam, thing.surface.points) for name, thing in things.items()
        }
        self._places = {name: place_of(view, points) for name, points in self._points.items()}
        self._steady = {
            name: SteadyMotion(transform_points(view.T_world_cam, thing.middle))
            for name, thing in things.items()
        }

    def update(self, view: View) -> Mapping[str, Observation] | None:
        """Return where every thing is in the next image; None if it has too little depth."""
        if view.depth is None or (view.depth > 0).mean() < _MIN_READINGS:
            return None
        tracks = self._tracker.update(view)
        return {track.name: self._observed(track, view) for track in tracks}

    def _observed(self, track: Track, view: View) -> Observation:
        steady, place = self._steady[track.name], self._places[track.name]
        lost = track.state == "lost"
        motion = view.T_world_cam @ track.T_cam_thing @ self._T_cam_base
        if (lost or steady.moves(motion)) and place is not None and place.is_unchanged(view):
            # A shadow on it has misled the tracker.
            self._tracker.correct(track.name, view.T_cam_world @ steady.T @ invert(self._T_cam_base))
            return Observation(False, steady.T)
        if lost:
            return Observation(not track.may_stay, None)
        if steady.moves(motion):
            self._places[track.name] = place_of(view, transform_points(motion, self._points[track.name]))
        return Observation(False, steady.update(motion))


class Unchanging:
    """Takes all things to stay where they were first seen: open loop, the baseline of comparisons."""

    def __init__(self, names: tuple[str, ...]):
        self._seen = {name: Observation(False, np.eye(4)) for name in names}

    def update(self, view: View) -> Mapping[str, Observation]:
        """Return that nothing has moved."""
        return self._seen


class BesideControl:
    """Runs perception in a thread of its own, so that control goes on meanwhile."""

    def __init__(self, perception: Perception, *, period: float, latency: float, real_time: bool):
        """Start without an image.

        Args:
            perception: Follows the things.
            period: Time between images, seconds.
            latency: Time from an image to its use, seconds, where the clock does not run on by itself.
            real_time: Whether the robot's clock runs on while an image is computed.
        """
        self._perception = perception
        self._period, self._latency, self._real_time = period, latency, real_time
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="perception")
        self._running: tuple[float, Future[Mapping[str, Observation] | None]] | None = None
        self.seen_at = -np.inf
        """Time of the latest image that showed something."""
        self._asked_at = -np.inf
        self.seconds: list[float] = []
        """Time that each image took to compute."""

    def wants_image(self, time: float) -> bool:
        """Return whether the next image is due."""
        return self._running is None and time >= self._asked_at + self._period - 1e-9

    def submit(self, time: float, view: View) -> None:
        """Start to follow the things to an image that was taken at a time."""
        self._asked_at = time
        self._running = time, self._pool.submit(self._timed, view)

    def _timed(self, view: View) -> Mapping[str, Observation] | None:
        start = perf_counter()
        seen = self._perception.update(view)
        self.seconds.append(perf_counter() - start)
        return seen

    def poll(self, time: float) -> Mapping[str, Observation] | None:
        """Return where the things are, if an image has been computed; None otherwise."""
        if self._running is None:
            return None
        taken, future = self._running
        if not (future.done() if self._real_time else time >= taken + self._latency - 1e-9):
            return None
        self._running, seen = None, future.result()
        self.seen_at = self.seen_at if seen is None else taken
        return seen

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)
