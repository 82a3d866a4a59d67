"""Rival places that a query may mean, and what every view would show of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from point2act.core.geometry import from_tangents
from point2act.core.types import Frame, View
from point2act.data.capture import view_to_disk
from point2act.data.crops import Window, window_around
from point2act.localization.likelihood import LikelihoodConfig, PartPosterior, visible_probability
from point2act.localization.segmentation import Segmentation
from point2act.pipeline.mark_candidates import Candidate
from point2act.pipeline.next_question import Belief


@dataclass(frozen=True)
class RivalsConfig:
    """Which places are rivals, and the crops about them. Angles are seen from the cameras, radians."""

    count: int = 5
    """Maximum number of rivals."""
    marks: int = 6
    """Maximum number of marks in a choice: the rivals, then other parts of the likeliest one's object."""
    floor: float = 0.02
    """Probability that the decision what to ask adds to each of them: answers that agree may all be wrong."""
    negligible: float = 1e-4
    """Probability below which a place is no rival: what a single answer named still is one."""
    unseen: float = 2.0
    """Prior number of views in the probability that what is meant was never named, unless the likeliest
    rival is sure."""
    larger: float = 3.0
    """Maximum size of the part that is marked for a piece of it, as a multiple of the piece."""
    min_area: float = 2.2e-4
    """Minimum area of a marked part in some view, square radians, as of ``MarksConfig``."""
    separation: float = 0.03
    """Minimum angle between the middles of two rivals, as that between two regions."""
    min_fraction: float = 0.33
    """Minimum side of a crop, as a fraction of the image's longer side: a part is known by its object."""
    max_fraction: float = 0.7
    """Maximum side of a crop, likewise: a larger one shows little more than the whole image."""
    context: float = 1.5
    """Side of a crop, as a multiple of the extent of what it is about."""


@dataclass(frozen=True, eq=False)
class Rivals:
    """Rival places, as parts of the scene."""

    candidates: tuple[Candidate, ...]
    """Rivals, each the likeliest part of its place, then other parts of the same objects."""
    belief: Belief
    center: Float[np.ndarray, "v 2"]
    """Middle of the crop of every view, tangents."""
    side: Float[np.ndarray, " v"]
    """Side of the crop of every view, tangents; 0 where a crop would show nothing new."""

    def window(self, number: int, frame: Frame, view: View) -> Window:
        """Return the window of a view's crop, in pixels of the image on disk."""
        corners = self.center[number] + self.side[number] * np.array([[-0.5, -0.5], [0.0, 0.0], [0.5, 0.5]])
        low, middle, high = view_to_disk(frame, view, from_tangents(view.camera, corners))
        size = np.array([frame.camera.width, frame.camera.height])
        return window_around(middle, max(int(np.ceil((high - low).max())), 1), size=size)


def find_rivals(
    segmentation: Segmentation,
    posterior: PartPosterior,
    views: int,
    *,
    likelihood: LikelihoodConfig = LikelihoodConfig(),
    config: RivalsConfig = RivalsConfig(),
) -> Rivals:
    """Return the likeliest places of a posterior.

    The likeliest part stands for all that contain it or that it contains, unless their middle is elsewhere:
    a handle and the whole mug are rivals.

    Args:
        segmentation: The segmented scene.
        posterior: Probability of every part.
        views: Number of whole views that were asked: the fewer, the likelier none of them named the place.
        likelihood: When a part counts as visible.
        config: How many rivals, and the size of crops.
    """
    seen = segmentation.visibility
    leads, found = _places(segmentation, posterior, config)
    relatives = _relatives(segmentation, leads, config)
    leads = leads + relatives
    unseen = config.unseen / (config.unseen + views) * (1 - max(found, default=0.0))
    certain = max(1 - config.floor * len(leads) - unseen, 0.25)
    probabilities = certain * np.array(found + [0.0] * len(relatives)) + config.floor
    chosen = np.array(leads, dtype=int)
    middle = seen.part_tangents[:, chosen]
    visible = visible_probability(seen.part_area[:, chosen], likelihood)
    angle = np.linalg.norm(middle[:, :, None] - middle[:, None], axis=3)
    center, side = _crops(segmentation, chosen, visible, config)
    whole = np.sqrt(seen.image_area)
    gain = np.minimum((whole / np.maximum(side, 1e-9)) ** 2, likelihood.further.max_gain)
    enlarged = visible_probability(gain[:, None] * seen.part_area[:, chosen], likelihood)
    within = (np.abs(middle - center[:, None]) < 0.5 * side[:, None, None]).all(axis=2)
    belief = Belief(
        probabilities, certain * posterior.absent, visible, np.where(within, enlarged, 0.0), angle
    )
    candidates = tuple(
        Candidate(part, value) for part, value in zip(leads, probabilities.tolist(), strict=True)
    )
    return Rivals(candidates, belief, center, side)


def _places(
    segmentation: Segmentation, posterior: PartPosterior, config: RivalsConfig
) -> tuple[list[int], list[float]]:
    """Return the likeliest part of every place, and the place's probability, likeliest first."""
    parts = segmentation.parts
    likely = np.flatnonzero(posterior.parts > 0.1 * config.negligible)
    likely = likely[np.argsort(-posterior.parts[likely], kind="stable")]
    middles = _middles(segmentation)
    leads: list[int] = []
    probabilities: list[float] = []
    for piece in likely.tolist():
        part = _named(segmentation, piece, config.larger)
        away = np.linalg.norm(middles[leads] - middles[part], axis=1) if leads else np.zeros(0)
        if len(away) and away.min() < config.separation * parts.distance:
            probabilities[int(away.argmin())] += float(posterior.parts[piece])
        else:
            leads.append(part)
            probabilities.append(float(posterior.parts[piece]))
    order = np.argsort(-np.array(probabilities), kind="stable")[: config.count]
    kept = [int(i) for i in order if probabilities[i] > config.negligible]
    return [leads[i] for i in kept], [probabilities[i] for i in kept]


def _named(segmentation: Segmentation, piece: int, larger: float) -> int:
    """Return the part with the highest prior among a piece and the little larger parts that contain it."""
    parts = segmentation.parts
    size = parts.end - parts.first
    around = (parts.first <= parts.first[piece]) & (parts.end >= parts.end[piece])
    around &= size <= larger * size[piece]
    return int(np.where(around, parts.prior, 0.0).argmax())


def _middles(segmentation: Segmentation) -> Float[np.ndarray, "k 3"]:
    parts = segmentation.parts
    return parts.sums(parts.points) / (parts.end - parts.first)[:, None]


def _relatives(segmentation: Segmentation, leads: Sequence[int], config: RivalsConfig) -> list[int]:
    """Return other parts of the likeliest rival's object, within it too, those with the highest prior."""
    parts, middles = segmentation.parts, _middles(segmentation)
    if not leads:
        return []
    lead = leads[0]
    branches = (parts.first <= parts.first[lead]) & (parts.end >= parts.end[lead])
    within = (parts.first >= parts.first[branches].min()) & (parts.end <= parts.end[branches].max())
    within &= segmentation.visibility.part_area.max(axis=0, initial=0.0) > config.min_area
    related = np.flatnonzero(within)
    taken, found = list(leads), []
    for part in related[np.argsort(-parts.prior[related], kind="stable")].tolist():
        if len(taken) >= config.marks:
            break
        if np.linalg.norm(middles[taken] - middles[part], axis=1).min() > config.separation * parts.distance:
            taken.append(part)
            found.append(part)
    return found


def _crops(
    segmentation: Segmentation,
    chosen: Int[np.ndarray, " m"],
    visible: Float[np.ndarray, "v m"],
    config: RivalsConfig,
) -> tuple[Float[np.ndarray, "v 2"], Float[np.ndarray, " v"]]:
    """Return middle and side of a crop about the likeliest rival of every view, and the next one if near."""
    seen = segmentation.visibility
    count = len(visible)
    center, side = np.zeros((count, 2)), np.zeros(count)
    for view in range(count):
        whole = float(np.sqrt(seen.image_area[view]))
        shown = [int(i) for i in np.flatnonzero(visible[view] > 0.2)]
        for about in (shown[:2], shown[:1]):
            if not about:
                continue
            low, high = _extent(segmentation, view, chosen[about])
            extent = max(config.min_fraction * whole, config.context * float((high - low).max()))
            if extent < config.max_fraction * whole:
                center[view], side[view] = (low + high) / 2, extent
                break
    return center, side


def _extent(
    segmentation: Segmentation, view: int, parts: Sequence[int] | Int[np.ndarray, " p"]
) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    """Return the corners of two standard deviations about parts in a view, tangents."""
    seen = segmentation.visibility
    middle = seen.part_tangents[view, parts]
    deviation = np.sqrt(np.maximum(seen.part_covariance[view, parts][:, [0, 2]], 0.0))
    return (middle - 2 * deviation).min(axis=0), (middle + 2 * deviation).max(axis=0)
