"""A thing that is followed: its pose, the trust in each of its points, and how poses fit a frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from point2act.acting.tracking.alignment import NEAR, Alignment
from point2act.acting.tracking.frame import TrackedFrame
from point2act.acting.tracking.surface import Agreement, Surface, Tolerances, compare, shaded
from point2act.acting.tracking.thing import Thing
from point2act.core.geometry import transform, transform_points

# Shares of the tolerances of colour that are tried, and the largest share of points beside a thing that look
# like it with a tolerance that is kept.
_SHARES, _CONTRAST = (1.0, 0.7, 0.5, 0.35), 0.2
# Turns about the camera's axis at which a lost thing is sought, radians.
_TURNS = np.deg2rad([0.0, -25.0, 25.0, -50.0, 50.0])
# Number of points by which many poses are compared.
_SAMPLE = 100

State = Literal["tracked", "lost"]


class FollowedThing:
    """A thing with its pose, and the trust in each of its points."""

    def __init__(self, thing: Thing, first: TrackedFrame, tolerances: Tolerances):
        self.thing = thing
        self._tolerances = _contrasting(thing, first, tolerances)
        self._change = np.zeros(3)  # of all its colours, by shading and exposure
        self.T_cam_thing = np.eye(4)
        self.step = np.zeros(3)  # of its centre, from the frame before to the latest one
        self.trust = np.ones(len(thing.surface.points))
        self.first = first
        self.continues = compare(thing.beside.points, thing.beside.lab, first, self._tolerances).agree
        self.last_seen = first
        self.state: State = "tracked"
        self.score = 1.0

    def at(self, T_cam_thing: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "n 3"]:
        """Return its points at a pose."""
        return transform_points(T_cam_thing, self.thing.surface.points)

    def shifted(self, step: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "4 4"]:
        """Return its pose after a further step."""
        return transform(np.eye(3), step) @ self.T_cam_thing

    def agreement(self, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"]) -> Agreement:
        """Compare its points with a frame."""
        surface = self.thing.surface
        return compare(self.at(T_cam_thing), surface.lab + self._change, frame, self._tolerances)

    def placed(self, places: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, "q 4 4"]:
        """Return its pose with its centre at other places, also turned about the camera's axis."""
        center = self.at(self.T_cam_thing).mean(axis=0)
        turns = Rotation.from_rotvec(_TURNS[:, None] * [0.0, 0.0, 1.0]).as_matrix()
        T = np.tile(np.eye(4), (len(places), len(turns), 1, 1))
        T[..., :3, :3], T[..., :3, 3] = turns, places[:, None] - turns @ center
        return T.reshape(-1, 4, 4) @ self.T_cam_thing

    def best(
        self, frame: TrackedFrame, poses: Float[np.ndarray, "q 4 4"], count: int
    ) -> list[Float[np.ndarray, "4 4"]]:
        """Return the poses that fit best and are apart, compared by a sample of the points."""
        surface, beside = self.thing.surface, self.thing.beside
        every, each = max(1, len(surface.points) // _SAMPLE), max(1, len(beside.points) // _SAMPLE)
        share = self._agreeing(frame, poses, surface.every(every))[0].mean(axis=1)
        agree, hidden = self._agreeing(frame, poses, beside.every(each))
        change = (agree != self.continues[::each]) & ~hidden
        fits = share - change.sum(axis=1) / np.maximum((~hidden).sum(axis=1), 1)
        centers = poses[:, :3, :3] @ surface.points.mean(axis=0) + poses[:, :3, 3]
        apart = np.ptp(surface.points, axis=0).max() / 2
        chosen: list[int] = []
        for number in np.argsort(-fits, kind="stable"):
            if len(chosen) == count:
                break
            if (np.linalg.norm(centers[chosen] - centers[number], axis=1) > apart).all():
                chosen.append(int(number))
        return [poses[number] for number in chosen]

    def _agreeing(
        self, frame: TrackedFrame, poses: Float[np.ndarray, "q 4 4"], surface: Surface
    ) -> tuple[Bool[np.ndarray, "q n"], Bool[np.ndarray, "q n"]]:
        """Return which points agree, and which are hidden, at each pose."""
        points = surface.points @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]
        lab = np.tile(surface.lab + self._change, (len(poses), 1))
        found = compare(points.reshape(-1, 3), lab, frame, self._tolerances)
        shape = (len(poses), len(surface.points))
        return found.agree.reshape(shape), found.hidden.reshape(shape)

    def fit(self, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"]) -> float:
        """Return how well a pose fits: the share of points that agree less that of changes beside it."""
        share = self.trust @ self.agreement(frame, T_cam_thing).agree / self.trust.sum()
        return float(share) - self.outline_change(frame, T_cam_thing)

    def scores(self, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"]) -> tuple[float, float]:
        """Return the share of visible points that agree at a pose, and the share that is visible."""
        found = self.agreement(frame, T_cam_thing)
        visible = float(self.trust @ ~found.hidden)
        return float(self.trust @ found.agree) / max(visible, 1e-9), visible / float(self.trust.sum())

    def in_shadow(self, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"]) -> float:
        """Return the share of visible points that agree at a pose, in light or shadow.

        A surface of its hue that is darker, where it stood, is taken for the thing in a shadow.
        """
        found, surface = self.agreement(frame, T_cam_thing), self.thing.surface
        dark = shaded(self.at(T_cam_thing), surface.lab + self._change, frame, self._tolerances)
        return float(self.trust @ (found.agree | dark)) / max(float(self.trust @ ~found.hidden), 1e-9)

    def outline_change(self, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"]) -> float:
        """Return the share of visible points beyond the outline that look like the thing, and did not before.

        And the other way round, where it is a part of something larger.
        """
        beside = self.thing.beside
        points = transform_points(T_cam_thing, beside.points)
        found = compare(points, beside.lab + self._change, frame, self._tolerances)
        visible = ~found.hidden
        return float(((found.agree != self.continues) & visible).sum() / max(visible.sum(), 1))

    def aligned(
        self, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"], reach: float = NEAR
    ) -> Float[np.ndarray, "4 4"]:
        """Return the pose after coloured ICP, the given one unless more points agree."""
        aligned = Alignment(self.thing.surface, self.trust).refine(frame, T_cam_thing, reach)
        if aligned is None or self.fit(frame, aligned) <= self.fit(frame, T_cam_thing):
            return T_cam_thing
        return aligned

    def place(self, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"], memory: float) -> None:
        """Take a pose over, and trust points less that contradict the frame."""
        found = self.agreement(frame, T_cam_thing)
        self.step = self.at(T_cam_thing).mean(axis=0) - self.at(self.T_cam_thing).mean(axis=0)
        self.T_cam_thing, self.last_seen = T_cam_thing, frame
        if len(found.difference):
            self._change += (1 - memory) * np.median(found.difference, axis=0)
        self.trust = np.where(found.hidden, self.trust, memory * self.trust + (1 - memory) * found.agree)


def _contrasting(thing: Thing, first: TrackedFrame, tolerances: Tolerances) -> Tolerances:
    """Return tolerances of colour with which a thing differs from what is beside it, as far as possible."""
    tried = tolerances
    for share in _SHARES:
        tried = replace(tolerances, lightness=share * tolerances.lightness, color=share * tolerances.color)
        if compare(thing.beside.points, thing.beside.lab, first, tried).agree.mean() <= _CONTRAST:
            break
    return tried
