"""What is seen of the scene while the robot moves: things are followed beside the control loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from point2act.acting.execution.steady_motion import SteadyMotion
from point2act.acting.tracking.place import Place, place_of
from point2act.acting.tracking.thing import Thing
from point2act.acting.tracking.tracker import Track, TrackConfig, Tracker
from point2act.core.geometry import invert, transform_points
from point2act.core.types import View

# Smallest share of pixels with depth in an image that shows a scene. Chosen.
_MIN_READINGS = 0.1


Pointed = Mapping[str, Float[np.ndarray, "_ 3"]]
"""Surface points at which lost things were pointed at, by their names, base frame, metres."""

Motions = Mapping[str, Float[np.ndarray, "4 4"]]
"""Rigid motions of things since they were first seen, by their names, base frame to base frame."""

Find = Callable[[View], Mapping[str, Thing]]
"""Returns the things that an image shows, by their names."""


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

    def update(
        self, view: View, pointed: Pointed = MappingProxyType({}), held: Motions = MappingProxyType({})
    ) -> Mapping[str, Observation] | None:
        """Return where every thing is in the next image, whose pose is in the base frame.

        None if the image shows nothing, as with a covered camera.

        Args:
            view: The image.
            pointed: Surface points at which lost things were pointed at, by their names, base frame, metres.
            held: Where things are that the gripper holds.
        """
        ...

    def restart(self, view: View, name: str, thing: Thing | None) -> None:
        """Follow another thing under a name, from the latest image on.

        Args:
            view: The latest image.
            name: The name.
            thing: The thing, camera frame; None if the image does not show it: it is then not followed.
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
        self._tracker = Tracker(view, list(things.values()), config)
        self._T_cam_base: dict[str, Float[np.ndarray, "4 4"]] = {}
        self._points: dict[str, Float[np.ndarray, "_ 3"]] = {}
        self._places: dict[str, Place | None] = {}
        self._steady: dict[str, SteadyMotion] = {}
        for name, thing in things.items():
            self._start(view, name, thing)

    def _start(self, view: View, name: str, thing: Thing) -> None:
        """Remember where a thing is in its first view."""
        self._T_cam_base[name] = view.T_cam_world
        self._points[name] = transform_points(view.T_world_cam, thing.surface.points)
        self._places[name] = place_of(view, self._points[name])
        self._steady[name] = SteadyMotion(transform_points(view.T_world_cam, thing.middle))

    def restart(self, view: View, name: str, thing: Thing | None) -> None:
        """Follow another thing under a name from the latest view on, none if it is not seen."""
        self._tracker.restart(name, thing)
        if thing is not None:
            self._start(view, name, thing)

    def update(
        self, view: View, pointed: Pointed = MappingProxyType({}), held: Motions = MappingProxyType({})
    ) -> Mapping[str, Observation] | None:
        """Return where every thing is in the next image; None if it has too little depth."""
        if view.depth is None or (view.depth > 0).mean() < _MIN_READINGS:
            return None
        followed = {name: T for name, T in held.items() if name in self._steady}
        expected = {**self._at_rest(view), **followed}
        tracks = self._tracker.update(
            view,
            {name: transform_points(view.T_cam_world, place) for name, place in pointed.items()},
            {name: view.T_cam_world @ T @ invert(self._T_cam_base[name]) for name, T in expected.items()},
        )
        return {track.name: self._observed(track, view, track.name in followed) for track in tracks}

    def _at_rest(self, view: View) -> dict[str, Float[np.ndarray, "4 4"]]:
        """Return the motion of each thing whose depth shows that it is where it has been for long."""
        return {
            name: steady.T
            for name, steady in self._steady.items()
            if steady.settled and (place := self._places[name]) is not None and place.is_unchanged(view)
        }

    def _observed(self, track: Track, view: View, held: bool) -> Observation:
        """Return where a thing is: where it was, unless the image shows better that it is elsewhere."""
        steady, place = self._steady[track.name], self._places[track.name]
        lost = track.state == "lost"
        T_cam_base = self._T_cam_base[track.name]
        motion = view.T_world_cam @ track.T_cam_thing @ T_cam_base
        there = view.T_cam_world @ steady.T @ invert(T_cam_base)
        if lost or steady.moves(motion):
            # A shadow on it has misled the tracker, or something that hides a part of it.
            unchanged = place is not None and place.is_unchanged(view)
            if unchanged or (not (lost or held) and self._tracker.may_be_at(track.name, there)):
                self._tracker.correct(track.name, there)
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

    def update(
        self, view: View, pointed: Pointed = MappingProxyType({}), held: Motions = MappingProxyType({})
    ) -> Mapping[str, Observation]:
        """Return that nothing has moved."""
        return self._seen

    def restart(self, view: View, name: str, thing: Thing | None) -> None:
        """Take it to stay as well."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """What an image shows."""

    things: Mapping[str, Observation] | None
    finds: Mapping[str, Find]
    """Names under which other things were sought in it."""


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
        self._running: tuple[float, Future[_Seen]] | None = None
        self.seen_at = -np.inf
        """Time of the latest image that showed something."""
        self._asked_at = -np.inf
        self._pointed: dict[str, list[Float[np.ndarray, " 3"]]] = {}
        self._finds: dict[str, Find] = {}
        self.seconds: list[float] = []
        """Time that each image took to compute."""

    def wants_image(self, time: float) -> bool:
        """Return whether the next image is due."""
        return self._running is None and time >= self._asked_at + self._period - 1e-9

    def point_at(self, name: str, place: Float[np.ndarray, " 3"]) -> None:
        """Seek a lost thing also at a place in the next image.

        Args:
            name: Its name.
            place: Surface point, base frame, metres.
        """
        self._pointed.setdefault(name, []).append(place)

    def restart(self, name: str, find: Callable[[View], Mapping[str, Thing]]) -> None:
        """Follow another thing under a name, from the next image on that shows something.

        Args:
            name: The name.
            find: Returns the things that an image shows, by their names.
        """
        self._finds[name] = find

    def submit(self, time: float, look: Callable[[], View], held: Motions = MappingProxyType({})) -> None:
        """Start to follow the things to an image.

        Args:
            time: When it was taken.
            look: Returns the image, called in the thread of perception.
            held: Where things were then that the gripper holds.
        """
        self._asked_at = time
        pointed, self._pointed = {name: np.array(at) for name, at in self._pointed.items()}, {}
        self._running = time, self._pool.submit(self._timed, look, pointed, held, dict(self._finds))

    def _timed(
        self, look: Callable[[], View], pointed: Pointed, held: Motions, finds: Mapping[str, Find]
    ) -> _Seen:
        start = perf_counter()
        view = look()
        seen = self._perception.update(view, pointed, held)
        if seen is not None:
            for name, find in finds.items():
                self._perception.restart(view, name, find(view).get(name))
        self.seconds.append(perf_counter() - start)
        return _Seen(seen, finds)

    def poll(self, time: float) -> Mapping[str, Observation] | None:
        """Return where the things are, if an image has been computed; None otherwise."""
        if self._running is None:
            return None
        taken, future = self._running
        if not (future.done() if self._real_time else time >= taken + self._latency - 1e-9):
            return None
        self._running, found = None, future.result()
        if found.things is None:
            return None
        self.seen_at = taken
        # What was followed under the name of another thing until this image, or still is, says nothing.
        known = {name: one for name, one in found.things.items() if name not in self._finds}
        self._finds = {name: find for name, find in self._finds.items() if found.finds.get(name) is not find}
        return known

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)
