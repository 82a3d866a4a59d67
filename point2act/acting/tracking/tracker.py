"""Tracking of things through colour images with depth, from any camera that moves or stands still.

Each thing is a rigid set of coloured points. From frame to frame its pose follows dense optical flow, lifted
to 3D by the depth of both frames; coloured ICP against the points of the first frame removes the drift. Poses
are compared by the share of points that agree with the new frame in depth and colour. With too few the thing
is lost, and sought where it was, by its features, and by its colours in the whole image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_dilation

from point2act.acting.tracking.alignment import FAR
from point2act.acting.tracking.features import matched_motion
from point2act.acting.tracking.followed_thing import FollowedThing, State
from point2act.acting.tracking.frame import Flow, TrackedFrame, optical_flow
from point2act.acting.tracking.rigid_motion import fit_rigid_robust
from point2act.acting.tracking.search import places_of_colors
from point2act.acting.tracking.surface import Tolerances
from point2act.acting.tracking.thing import Thing
from point2act.core.geometry import at_pixels, inside, transform_points
from point2act.core.types import View
from point2act.data.capture import shrink_view

# Distance from its points at which pixels belong to a thing, pixels.
_AROUND = 4


@dataclass(frozen=True)
class TrackConfig:
    """How things are tracked."""

    max_side: int = 640
    """Longer side of the images that are compared, pixels; larger ones are reduced."""
    tolerances: Tolerances = field(default_factory=Tolerances)
    """When a point agrees with a frame."""
    flow_noise: float = 0.01
    """Standard deviation of points moved by the flow, as a fraction of their depth."""
    min_points: int = 12
    """Smallest number of points with flow from which a motion is fitted."""
    min_score: float = 0.4
    """Smallest share of visible points that agree of a thing that stays tracked."""
    min_visible: float = 0.2
    """Smallest share of its points that nothing hides."""
    min_found_score: float = 0.7
    """Smallest share of visible points that agree of a thing that is found again."""
    min_in_shadow: float = 0.7
    """Smallest share of visible points that agree, in light or shadow, of a thing that has not left."""
    better: float = 0.2
    """By how much the share of points that agree, in light or shadow, must be larger elsewhere for a thing to
    have left its place."""
    # In simulated runs, poses that were found beside coasters and pots that stood still had up to 0.1 more
    # than their places; of mugs that were moved by 2 cm, 0.8 more.
    max_outline_change: float = 0.35
    """Largest share of visible points beside it that look like it and did not in the first frame, or the
    other way round: the place would be on something else."""
    memory: float = 0.9
    """Share of what is known of each point's trust, and of the thing's change of colour, that stays in each
    frame; the rest is what the frame shows."""
    places: int = 400
    """Largest number of places where a lost thing is sought in each frame."""
    refined: int = 4
    """Number of poses at these places that are refined."""


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
    may_stay: bool = False
    """Whether it is lost, but may still be where it was: something hides its last place, or a surface is seen
    there, as in a shadow."""


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
        self._followed = [FollowedThing(thing, self._frame, config.tolerances) for thing in things]
        self.tracks = tuple(_track(one, view) for one in self._followed)
        """Where each thing is in the latest frame."""

    def update(
        self,
        view: View,
        pointed: Mapping[str, Float[np.ndarray, "_ 3"]] = MappingProxyType({}),
        expected: Mapping[str, Float[np.ndarray, "4 4"]] = MappingProxyType({}),
    ) -> tuple[Track, ...]:
        """Follow all things to the next frame of the same camera.

        Args:
            view: The next view, with depth.
            pointed: Surface points at which someone has pointed at lost things, by their names, camera frame,
                metres: there a thing is found again with a smaller share of agreeing points.
            expected: Where things should be, as what a gripper holds, by their names: motion from the camera
                frame of the first view to that of this one. They are sought elsewhere only if the view
                contradicts it.
        """
        frame = TrackedFrame.of(shrink_view(view, self._config.max_side))
        # Only for a thing that may move: it takes a tenth of a second.
        flow = cache(partial(optical_flow, self._frame, frame))
        for one in self._followed:
            there = expected.get(one.thing.name)
            if there is not None and self._is_at(one, frame, there):
                continue
            if one.state == "tracked":
                self._follow(one, frame, flow)
            if one.state == "lost":
                self._seek(one, frame, pointed.get(one.thing.name))
        self._frame = frame
        self.tracks = tuple(
            replace(_track(one, view), may_stay=self._may_stay(one)) for one in self._followed
        )
        return self.tracks

    def may_be_at(self, name: str, T_cam_thing: Float[np.ndarray, "4 4"]) -> bool:
        """Return whether the latest frame hides a thing at a pose, or shows it about as well as at its own.

        Args:
            name: Name of the thing.
            T_cam_thing: Motion from the camera frame of the first view to that of the latest one.
        """
        one = next(one for one in self._followed if one.thing.name == name)
        if one.scores(self._frame, T_cam_thing)[1] < self._config.min_visible:
            return True
        there, here = (one.in_shadow(self._frame, T) for T in (T_cam_thing, one.T_cam_thing))
        return there >= max(self._config.min_in_shadow, here - self._config.better)

    def correct(self, name: str, T_cam_thing: Float[np.ndarray, "4 4"]) -> None:
        """Put a thing where it is known to be in the latest frame, whatever its colours are.

        Args:
            name: Name of the thing.
            T_cam_thing: Motion from the camera frame of the first view to that of the latest one.
        """
        for one in self._followed:
            if one.thing.name == name:
                one.place(self._frame, T_cam_thing, self._config.memory)
                one.state, one.step = "tracked", np.zeros(3)

    def restart(self, name: str, thing: Thing | None) -> None:
        """Follow another thing under a name, from the latest frame on.

        Args:
            name: The name.
            thing: The thing in the camera frame; None to follow nothing under this name any more.
        """
        self._followed = [one for one in self._followed if one.thing.name != name]
        if thing is not None:
            self._followed.append(FollowedThing(thing, self._frame, self._config.tolerances))

    def _may_stay(self, one: FollowedThing) -> bool:
        """Return whether a lost thing is not seen to have left its place."""
        if one.state == "tracked":
            return False
        found = one.agreement(self._frame, one.T_cam_thing)
        visible = int((~found.hidden).sum())
        at_depth = len(found.difference)
        return visible < self._config.min_visible * len(found.hidden) or at_depth > visible / 2

    def _is_at(self, one: FollowedThing, frame: TrackedFrame, T: Float[np.ndarray, "4 4"]) -> bool:
        """Put a thing at an expected pose unless a frame shows that it is not there; return whether it is."""
        score, visible = one.scores(frame, T)
        seen = visible >= self._config.min_visible
        if seen and score < self._config.min_found_score:
            return False
        if seen:
            one.place(frame, T, self._config.memory)
            one.score = score
        one.T_cam_thing, one.state, one.step = T, "tracked", np.zeros(3)
        return True

    def _follow(self, one: FollowedThing, frame: TrackedFrame, flow: Callable[[], Flow]) -> None:
        """Move a thing with the flow; it is lost where too few points agree."""
        poses = [one.T_cam_thing, one.shifted(one.step)]
        moved = self._moved(one, frame, flow())
        if moved is not None:
            poses.append(moved)
        best = one.aligned(frame, max(poses, key=lambda T: one.fit(frame, T)))
        one.score, visible = one.scores(frame, best)
        if one.score >= self._config.min_score and visible >= self._config.min_visible:
            one.place(frame, best, self._config.memory)
        else:
            one.state = "lost"

    def _stays(self, one: FollowedThing, frame: TrackedFrame) -> bool:
        """Return whether a thing is seen where it was, in light or shadow."""
        visible = one.scores(frame, one.T_cam_thing)[1]
        shown = one.in_shadow(frame, one.T_cam_thing)
        return visible >= self._config.min_visible and shown >= self._config.min_in_shadow

    def _moved(self, one: FollowedThing, frame: TrackedFrame, flow: Flow) -> Float[np.ndarray, "4 4"] | None:
        """Return the pose after the motion of the flow, None where too little of it is known."""
        points = one.at(one.T_cam_thing)
        before = self._frame.pixels(points)
        after = before + at_pixels(flow.motion, before)
        reading = frame.readings(after)
        known = one.agreement(self._frame, one.T_cam_thing).agree
        known &= at_pixels(flow.reliable, before) & (reading > 0)
        if known.sum() < self._config.min_points:
            return None
        target = frame.points(after[known], reading[known])
        noise = self._config.flow_noise * float(np.median(reading[known]))
        # A point without trust must not be all that is left.
        trust = np.maximum(one.trust[known], 1e-3)
        return fit_rigid_robust(points[known], target, trust, noise=noise) @ one.T_cam_thing

    def _seek(
        self, one: FollowedThing, frame: TrackedFrame, pointed: Float[np.ndarray, "n 3"] | None
    ) -> None:
        """Look for a lost thing where it was, by its features, and where someone has pointed at it.

        Where its place is seen and it is not there, not even in a shadow, also wherever the image has its
        colours.
        """
        poses = _expected(one, frame)
        shown = any(one.scores(frame, pose)[1] >= self._config.min_visible for pose in poses)
        if shown and not self._stays(one, frame):
            places = places_of_colors(frame, one.thing.surface, self._config.places)
            poses += one.best(frame, one.placed(places), self._config.refined)
        config, best = self._config, _best(one, frame, poses)
        one.score, visible = one.scores(frame, best)
        found = (
            one.score >= config.min_found_score
            and visible >= config.min_visible
            and one.outline_change(frame, best) <= config.max_outline_change
        )
        if not found and pointed is not None:
            best = _best(one, frame, one.best(frame, one.placed(_around(one, pointed)), config.refined))
            score, visible = one.scores(frame, best)
            found = score >= config.min_score and visible >= config.min_visible
            one.score = score if found else one.score
        if found:
            one.place(frame, best, config.memory)
            one.state, one.step = "tracked", np.zeros(3)


def _around(one: FollowedThing, places: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "m 3"]:
    """Return places, and places half a thing beside them: who points at a thing may mean any place on it."""
    half = float(np.ptp(one.thing.surface.points[:, :2], axis=0).mean()) / 2
    beside = half * np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    return (places[:, None] + beside).reshape(-1, 3)


def _best(
    one: FollowedThing, frame: TrackedFrame, poses: Sequence[Float[np.ndarray, "4 4"]]
) -> Float[np.ndarray, "4 4"]:
    """Return the pose that fits best after alignment."""
    aligned = [one.aligned(frame, one.aligned(frame, pose, FAR)) for pose in poses]
    return max(aligned, key=lambda T: one.fit(frame, T))


def _expected(one: FollowedThing, frame: TrackedFrame) -> list[Float[np.ndarray, "4 4"]]:
    """Return the pose of a thing that stands still since it was seen last, and that of its features."""
    on_thing = _pixels_near(one.first, one.thing.surface.points)
    was_there = _pixels_near(one.last_seen, one.at(one.T_cam_thing))
    camera = matched_motion(one.last_seen, frame, ~was_there)
    own = matched_motion(one.first, frame, on_thing)
    poses = [one.T_cam_thing if camera is None else camera @ one.T_cam_thing]
    return poses if own is None else [*poses, own]


def _pixels_near(frame: TrackedFrame, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels within a few pixels of where points are projected."""
    pixels = frame.pixels(points)
    column, row = pixels[inside(frame.camera, pixels)].astype(int).T
    mask = np.zeros(frame.depth.shape, dtype=bool)
    mask[row, column] = True
    return binary_dilation(mask, iterations=_AROUND)


def _track(one: FollowedThing, view: View) -> Track:
    position = transform_points(one.T_cam_thing, one.thing.middle)
    pixel = TrackedFrame.of(view).pixels(position[None])[0]
    return Track(one.thing.name, one.state, pixel, position, one.T_cam_thing, one.score)
