"""Where the answers of several views meet, before there is any scene: where to look again. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from point2act.core.geometry import back_project, inside
from point2act.core.types import View

# Mean shift settles in a few steps.
_STEPS = 20
# Places that are tried, at most: those of 24 views with depth and many points, or all pairs of 45 rays.
_MOST_PLACES = 1000
# A direction in which no ray says anything is held by this much of what the others say.
_RIDGE = 1e-9


@dataclass(frozen=True)
class MeetConfig:
    """When answers mean one place. Angles are as seen from the cameras, radians."""

    reach: float = 0.06
    """An answer speaks for the places about it under a Gaussian of this width: 3 cm at half a metre, the best
    of 0.03, 0.045 and 0.06 on the tables that benchmarks are tuned on."""
    along: float = 0.5
    """A way along the ray counts as this much of one across it: a point beside a thin part has the depth of
    what is behind. The best of 0.25, 0.35 and 0.5 on the same tables."""
    patch: float = 0.007
    """An answer's depth is the median within this of it: 2 px at f = 300."""
    agree: float = 0.1
    """An answer further than this from a place does not mean it: where DoubtConfig draws the line."""
    min_agree: int = 3
    """So many views must agree ..."""
    min_share: float = 0.25
    """... and this share of those that named a pixel. Both chosen: two rays meet anywhere."""


@dataclass(frozen=True, eq=False)
class Meeting:
    """A place that several views mean."""

    point: Float[np.ndarray, " 3"]
    """In the world."""
    scatter: float
    """Standard deviation of the answers about it, across the rays, in the world's unit."""
    agrees: Bool[np.ndarray, " v"]
    """Which views mean it."""


def meet(
    views: Sequence[View],
    answers: Sequence[Float[np.ndarray, "_ 2"] | None],
    *,
    config: MeetConfig = MeetConfig(),
) -> Meeting | None:
    """The place that most of the views mean; None where too few agree on any.

    ``answers`` are the pixels named in every view: none of them for "not visible", None where nobody was
    asked. An answer is a point where its view has depth there, else a ray; the places tried are those
    points, and where rays meet in pairs. Each view speaks once, by its answer nearest to a place. The best
    place is then settled by mean shift (Comaniciu and Meer 2002), which for rays weighs the ways across them.
    Nothing is drawn by chance, and no length is absolute: any unit will do.
    """
    marks = _marks(views, answers, config)
    if len(np.unique(marks.view)) < config.min_agree:
        return None
    places = marks.meetings()
    if len(places) == 0:
        return None
    votes = np.exp(-0.5 * (marks.by_view(marks.off(places)) / config.reach) ** 2).sum(axis=1)
    point = marks.settle(places[int(votes.argmax())], config.reach)
    near = marks.by_view(marks.off(point[None]))[0] < config.agree
    if near.sum() < max(config.min_agree, config.min_share * len(near)):
        return None
    agrees = np.zeros(len(views), dtype=bool)
    agrees[np.unique(marks.view)[near]] = True
    return Meeting(point, marks.scatter(point, near), agrees)


@dataclass(frozen=True, eq=False)
class _Marks:
    """All answers that named a pixel, by views."""

    view: Int[np.ndarray, " k"]
    """Number of the view; ascends."""
    eye: Float[np.ndarray, "k 3"]
    """Its camera's centre."""
    way: Float[np.ndarray, "k 3"]
    """Unit direction of the ray."""
    anchor: Float[np.ndarray, "k 3"]
    """What the ray hits, or the eye where there is no depth."""
    along: Float[np.ndarray, " k"]
    """How much a way along the ray counts; 0 where there is no depth."""

    def across(self, places: Float[np.ndarray, "c 3"]) -> Float[np.ndarray, "c k 3"]:
        """The ways from all rays to places, at right angles to the rays."""
        to = places[:, None] - self.eye
        return to - (to * self.way).sum(axis=2, keepdims=True) * self.way

    def off(self, places: Float[np.ndarray, "c 3"]) -> Float[np.ndarray, "c k"]:
        """How far places are from what was meant, as angles; infinite behind the camera."""
        to = places[:, None] - self.eye
        far = (to * self.way).sum(axis=2)
        beyond = self.along * ((places[:, None] - self.anchor) * self.way).sum(axis=2)
        off = np.hypot(np.linalg.norm(self.across(places), axis=2), beyond)
        return np.where(far > 0, off / np.where(far > 0, far, 1.0), np.inf)

    def by_view(self, off: Float[np.ndarray, "c k"]) -> Float[np.ndarray, "c s"]:
        """The least of each view that said something."""
        first = np.flatnonzero(np.diff(self.view, prepend=-1))
        return np.minimum.reduceat(off, first, axis=1)

    def scatter(self, point: Float[np.ndarray, "3"], near: Bool[np.ndarray, " s"]) -> float:
        """Standard deviation across the rays of the views that are near: half of a normal distribution in a
        plane lies within 1.18 of them."""
        across = self.by_view(np.linalg.norm(self.across(point[None]), axis=2))[0]
        return float(np.median(across[near]) / np.sqrt(2 * np.log(2)))

    def meetings(self) -> Float[np.ndarray, "c 3"]:
        """Places to try: all points with depth, and where the rays of different views meet in pairs."""
        rays = np.flatnonzero(self.along == 0)
        one, other = (rays[index] for index in np.triu_indices(len(rays), 1))
        different = self.view[one] != self.view[other]
        pairs = np.stack([one[different], other[different]], axis=1)
        pairs = pairs[:: 1 + len(pairs) // _MOST_PLACES]
        met = self.nearest(pairs, np.ones(pairs.shape))
        lifted = self.anchor[self.along > 0]
        return np.concatenate([lifted[:: 1 + len(lifted) // _MOST_PLACES], met])

    def nearest(
        self, chosen: Int[np.ndarray, "*b m"], weight: Float[np.ndarray, "*b m"]
    ) -> Float[np.ndarray, "*b 3"]:
        """The points with the least weighted sum of squared ways to some marks each."""
        way, held = self.way[chosen], 1 - self.along[chosen] ** 2
        across = np.eye(3) - held[..., None, None] * way[..., :, None] * way[..., None, :]
        across = (weight / weight.sum(axis=-1, keepdims=True))[..., None, None] * across
        middle = self.anchor[chosen].mean(axis=-2)
        pull = np.einsum("...kij,...kj->...i", across, self.anchor[chosen] - middle[..., None, :])
        held_by_all = across.sum(axis=-3) + _RIDGE * np.eye(3)
        return middle + np.linalg.solve(held_by_all, pull[..., None])[..., 0]

    def settle(self, place: Float[np.ndarray, "3"], reach: float) -> Float[np.ndarray, " 3"]:
        """From a place to the densest one near it, by mean shift under a Gaussian; one answer a view."""
        for _ in range(_STEPS):
            off = self.off(place[None])
            nearest = off[0] == np.repeat(self.by_view(off)[0], np.unique(self.view, return_counts=True)[1])
            weight = np.where(nearest, np.exp(-0.5 * (off[0] / reach) ** 2), 0.0)
            if weight.sum() < 1e-6:
                return place
            range_squared = ((place - self.eye) ** 2).sum(axis=1)
            place = self.nearest(np.arange(len(weight)), weight / range_squared)
        return place


def _marks(
    views: Sequence[View], answers: Sequence[Float[np.ndarray, "_ 2"] | None], config: MeetConfig
) -> _Marks:
    columns = [
        (np.zeros(0, dtype=int), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0)),
    ]
    for number, (view, pixels) in enumerate(zip(views, answers, strict=True)):
        if pixels is None or len(pixels) == 0:
            continue
        eye = np.repeat(view.T_world_cam[None, :3, 3], len(pixels), axis=0)
        depth = np.array([_depth_at(view, pixel, config.patch) for pixel in pixels])
        ray = back_project(view.camera, view.T_world_cam, pixels, np.ones(len(pixels))) - eye
        way = ray / np.linalg.norm(ray, axis=1, keepdims=True)
        along = np.where(depth > 0, config.along, 0.0)
        columns.append((np.full(len(pixels), number), eye, way, eye + depth[:, None] * ray, along))
    return _Marks(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _depth_at(view: View, pixel: Float[np.ndarray, "2"], patch: float) -> float:
    """The median of the depths measured about a pixel; 0 where there are none."""
    if view.depth is None or not inside(view.camera, pixel[None])[0]:
        return 0.0
    radius = patch * view.camera.fx
    left, top = np.maximum(np.floor(pixel - radius), 0).astype(int)
    right, bottom = np.floor(pixel + radius).astype(int) + 1
    near = view.depth[top:bottom, left:right]
    near = near[near > 0]
    return float(np.median(near)) if len(near) else 0.0
