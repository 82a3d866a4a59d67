"""Tracking of things through colour images with depth, from any camera that moves or stands still.

Each thing is a rigid set of coloured points. From frame to frame its pose follows dense optical flow, lifted
to 3D by the depth of both frames; coloured ICP against the points of the first frame removes the drift. Poses
are compared by the share of points that agree with the new frame in depth and colour. With too few the thing
is lost, and sought by its colours in the whole image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32

from point2act.acting.alignment import Alignment
from point2act.acting.frame import Flow, TrackedFrame, optical_flow
from point2act.acting.rigid_motion import fit_rigid_robust
from point2act.acting.search import places_of_colors
from point2act.acting.thing import Thing
from point2act.core.geometry import at_pixels, transform, transform_points
from point2act.core.types import View
from point2act.data.capture import shrink_view

State = Literal["tracked", "lost"]


@dataclass(frozen=True)
class TrackConfig:
    """How things are tracked. Lengths of surfaces are fractions of their depth, as the errors of sensors."""

    max_side: int = 640
    """Longer side of the images that are compared, pixels; larger ones are reduced."""
    depth_tolerance: float = 0.02
    """Largest difference of depth of a point that agrees, as a fraction of its depth."""
    lightness_tolerance: float = 25.0
    """Largest difference of lightness (CIELAB) of a point that agrees: shadows and exposure change it."""
    color_tolerance: float = 14.0
    """Largest difference of colour without lightness (CIELAB) of a point that agrees."""
    flow_noise: float = 0.01
    """Standard deviation of points moved by the flow, as a fraction of their depth."""
    min_points: int = 12
    """Smallest number of points with flow from which a motion is fitted."""
    min_score: float = 0.4
    """Smallest share of visible points that agree of a thing that stays tracked."""
    min_found_score: float = 0.55
    """The same of a lost thing that is found again."""
    min_visible: float = 0.2
    """Smallest share of points that nothing hides."""
    memory: float = 0.9
    """Share of a point's trust that stays in each frame; the rest is whether it agrees."""
    places: int = 4
    """Number of places where a lost thing is sought in each frame."""


@dataclass(frozen=True, eq=False)
class Track:
    """Where a thing is in one frame."""

    name: str
    state: State
    """``lost`` where it is hidden or nowhere to be found: the pose is then the last one."""
    pixel: Float[np.ndarray, " 2"]
    """Its middle in the image, pixels of the given view."""
    position: Float[np.ndarray, " 3"]
    """Its middle, camera frame, metres."""
    T_cam_thing: Float[np.ndarray, "4 4"]
    """Motion from the camera frame of the first view to that of this one."""
    score: float
    """Share of its visible points that agree with the image, in depth and colour."""


@dataclass(frozen=True, eq=False)
class _Agreement:
    """How the points of a thing at a pose compare with a frame."""

    agree: Bool[np.ndarray, " n"]
    hidden: Bool[np.ndarray, " n"]
    """Points behind what the frame shows, beyond it, or without a reading."""


class _Followed:
    """A thing with its pose and the trust in each of its points."""

    def __init__(self, thing: Thing, lab: Float32[np.ndarray, "n 3"]):
        self.thing, self.lab = thing, lab
        self.T_cam_thing = np.eye(4)
        self.step = np.zeros(3)  # of its centre, from the frame before to the latest one
        self.trust = np.ones(len(thing.points))
        self.state: State = "tracked"
        self.score = 1.0

    def at(self, T_cam_thing: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "n 3"]:
        """Return its points at a pose."""
        return transform_points(T_cam_thing, self.thing.points)

    def shifted(self, step: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "4 4"]:
        """Return its pose after a further step."""
        return transform(np.eye(3), step) @ self.T_cam_thing


class Tracker:
    """Follows things from frame to frame."""

    def __init__(self, view: View, things: Sequence[Thing], config: TrackConfig = TrackConfig()):
        """Start at the view in which the things were found, see ``thing_at``.

        Args:
            view: A view with depth, metres.
            things: Things in its camera frame.
            config: All options.
        """
        self._config = config
        self._frame = TrackedFrame.of(shrink_view(view, config.max_side))
        self._followed = [
            _Followed(thing, at_pixels(self._frame.lab, self._frame.pixels(thing.points))) for thing in things
        ]
        self.tracks = tuple(self._track(one, view) for one in self._followed)
        """Where each thing is in the latest frame."""

    def update(self, view: View) -> tuple[Track, ...]:
        """Follow all things to the next frame of the same camera.

        Args:
            view: The next view, with depth.
        """
        frame = TrackedFrame.of(shrink_view(view, self._config.max_side))
        flow = optical_flow(self._frame, frame)
        for one in self._followed:
            if one.state == "tracked":
                self._follow(one, frame, flow)
            if one.state == "lost":
                self._seek(one, frame)
        self._frame = frame
        self.tracks = tuple(self._track(one, view) for one in self._followed)
        return self.tracks

    def _follow(self, one: _Followed, frame: TrackedFrame, flow: Flow) -> None:
        """Move a thing with the flow; it is lost where too few points agree."""
        poses = [one.T_cam_thing, one.shifted(one.step)]
        moved = self._moved(one, frame, flow)
        if moved is not None:
            poses.append(moved)
        best = max(poses, key=lambda T: self._share(one, frame, T))
        best = self._aligned(one, frame, best)
        if self._accepted(one, frame, best, self._config.min_score):
            self._place(one, frame, best)
        else:
            one.state = "lost"

    def _moved(self, one: _Followed, frame: TrackedFrame, flow: Flow) -> Float[np.ndarray, "4 4"] | None:
        """Return the pose after the motion of the flow, None where too little of it is known."""
        points = one.at(one.T_cam_thing)
        before = self._frame.pixels(points)
        after = before + at_pixels(flow.motion, before)
        reading = frame.readings(after)
        known = self._agreement(one, self._frame, one.T_cam_thing).agree
        known &= at_pixels(flow.reliable, before) & (reading > 0)
        if known.sum() < self._config.min_points:
            return None
        target = frame.points(after[known], reading[known])
        noise = self._config.flow_noise * float(np.median(reading[known]))
        # A point without trust must not be all that is left.
        trust = np.maximum(one.trust[known], 1e-3)
        return fit_rigid_robust(points[known], target, trust, noise=noise) @ one.T_cam_thing

    def _aligned(
        self, one: _Followed, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"]
    ) -> Float[np.ndarray, "4 4"]:
        """Return the pose after coloured ICP, the given one unless more points agree."""
        aligned = Alignment(one.thing, one.trust).refine(frame, T_cam_thing)
        if aligned is None:
            return T_cam_thing
        gain = self._share(one, frame, aligned) - self._share(one, frame, T_cam_thing)
        return aligned if gain > 0 else T_cam_thing

    def _seek(self, one: _Followed, frame: TrackedFrame) -> None:
        """Look for a lost thing where it was, and wherever the image has its colours."""
        center = one.at(one.T_cam_thing).mean(axis=0)
        places = places_of_colors(frame, one.lab, one.thing.points, self._config.places)
        poses = [one.T_cam_thing, *(one.shifted(place - center) for place in places)]
        poses = [self._aligned(one, frame, pose) for pose in poses]
        best = max(poses, key=lambda T: self._share(one, frame, T))
        if self._accepted(one, frame, best, self._config.min_found_score):
            self._place(one, frame, best)
            one.state, one.step = "tracked", np.zeros(3)

    def _place(self, one: _Followed, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"]) -> None:
        """Take a pose over, and trust points less that contradict the frame."""
        found = self._agreement(one, frame, T_cam_thing)
        one.step = one.at(T_cam_thing).mean(axis=0) - one.at(one.T_cam_thing).mean(axis=0)
        one.T_cam_thing = T_cam_thing
        memory = self._config.memory
        one.trust = np.where(found.hidden, one.trust, memory * one.trust + (1 - memory) * found.agree)

    def _agreement(
        self, one: _Followed, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"]
    ) -> _Agreement:
        points = one.at(T_cam_thing)
        pixels = frame.pixels(points)
        reading, depth = frame.readings(pixels), points[:, 2]
        tolerance = self._config.depth_tolerance * np.abs(depth)
        difference = at_pixels(frame.lab, pixels) - one.lab
        alike = np.abs(difference[:, 0]) < self._config.lightness_tolerance
        alike &= np.hypot(difference[:, 1], difference[:, 2]) < self._config.color_tolerance
        near = np.abs(reading - depth) < tolerance
        hidden = (reading == 0) | (depth <= 0) | (reading < depth - tolerance)
        return _Agreement(near & alike & ~hidden, hidden)

    def _share(self, one: _Followed, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"]) -> float:
        """Return the share of all points, by trust, that agree at a pose: to compare poses."""
        return float(one.trust @ self._agreement(one, frame, T_cam_thing).agree / one.trust.sum())

    def _accepted(
        self, one: _Followed, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"], least: float
    ) -> bool:
        """Return whether enough points are visible at a pose, and enough of them agree; note the score."""
        found = self._agreement(one, frame, T_cam_thing)
        visible = float(one.trust @ ~found.hidden)
        one.score = float(one.trust @ found.agree) / visible if visible > 0 else 0.0
        return visible >= self._config.min_visible * one.trust.sum() and one.score >= least

    def _track(self, one: _Followed, view: View) -> Track:
        position = transform_points(one.T_cam_thing, one.thing.middle)
        pixel = TrackedFrame.of(view).pixels(position[None])[0]
        return Track(one.thing.name, one.state, pixel, position, one.T_cam_thing, one.score)
