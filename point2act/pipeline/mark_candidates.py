"""What a mark_selector may choose from: parts of the scene that may be meant, who sees them best, and where."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from point2act.core.geometry import back_project, distance_to_box, pixel_centers
from point2act.core.types import Frame, QueryResult, Region, View
from point2act.data.capture import view_to_disk
from point2act.data.crops import Crop
from point2act.localization.part_tree import Parts
from point2act.localization.segmentation import Hypotheses
from point2act.splatting.rendering import RenderedSurface
from point2act.visualization.drawing.set_of_mark import Mark, outline

# A pixel that is covered less shows no surface.
_SOLID = 0.5
# A pixel shows a part when one of the part's points is the nearest to its surface, within this angle.
_NEAR = 0.03


@dataclass(frozen=True)
class MarksConfig:
    """What is offered. Angles are as seen from the cameras, radians."""

    candidates: int = 8
    """At most so many: the regions found, then other parts of the same objects."""
    apart: float = 0.03
    """Candidates' middles are so far from one another, as RegionConfig has it for places."""
    smallest: float = 2.2e-4
    """Candidates cover this much of a view, square radians, to be shown in it: 20 px at f = 300, where
    EvidenceConfig takes a part to be visible as likely as not."""
    largest: float = 0.08
    """They scatter by at most this angle (root mean square), 4 cm at half a metre, unless a region is larger.
    The best of {0.06, 0.08, 0.1, 0.14} for what they share with the truth; on tables with seed 0."""
    turned: float = 0.5
    """Views that look from so different directions are fully worth asking both."""


@dataclass(frozen=True)
class Candidate:
    """A part that may be what was asked for."""

    part: int
    """Its number among the parts."""
    confidence: float
    """Of the region that lies on it; 0 for a part that nobody proposed."""


def find_candidates(
    hypotheses: Hypotheses, result: QueryResult, *, config: MarksConfig = MarksConfig()
) -> tuple[Candidate, ...]:
    """What may be meant by a query: disjoint parts, those that its regions lie on before all others.

    The others are in the same branches of the tree of parts, of the most confident region first; those
    first that stand out most.
    """
    parts, largest = hypotheses.parts, hypotheses.looks.part_area.max(axis=0, initial=0.0)
    regions = [region for region in (result.region, *result.alternatives) if region is not None]
    if not regions or len(parts) == 0:
        return ()
    size = parts.end - parts.first
    middles = parts.sums(parts.points) / size[:, None]
    found: list[Candidate] = []

    def add(part: int, confidence: float) -> None:
        taken = np.array([other.part for other in found], dtype=int)
        away = np.linalg.norm(middles[taken] - middles[part], axis=1)
        overlap = (parts.first[taken] < parts.end[part]) & (parts.first[part] < parts.end[taken])
        room = len(found) < config.candidates and largest[part] > config.smallest
        if room and not overlap.any() and (away > config.apart * parts.distance).all():
            found.append(Candidate(part, confidence))

    held = [_part_of(parts, region) for region in regions]
    small = _scatter(parts) < config.largest * parts.distance
    leads = [_named(parts, part, {*held} - {part}, small) for part in held]
    for lead, region in zip(leads, regions, strict=True):
        add(lead, region.confidence)
    for lead in leads:
        for part in _relatives(parts, lead):
            add(part, 0.0)
    return tuple(found)


def _part_of(parts: Parts, region: Region) -> int:
    """The part that a region's box holds best: by intersection over union."""
    within = (distance_to_box(parts.points, region.box) == 0).astype(float)
    shared = parts.sums(within)
    return int((shared / (parts.end - parts.first + within.sum() - shared)).argmax())


def _branches(parts: Parts, part: int) -> Bool[np.ndarray, " k"]:
    """Which parts hold a part, itself included."""
    return (parts.first <= parts.first[part]) & (parts.end >= parts.end[part])


def _named(parts: Parts, part: int, others: Collection[int], small: Bool[np.ndarray, " k"]) -> int:
    """The part, or a small one that holds it, that stands out most: what a person would likely outline.

    Answers lie on a piece of what they mean. It must not hold any of the ``others``, to be told from them.
    """
    fit = _branches(parts, part) & small
    for other in others:
        fit &= ~_branches(parts, other)
    return int(np.where(fit, parts.prior, 0.0).argmax()) if fit.any() else part


def _scatter(parts: Parts) -> Float[np.ndarray, " k"]:
    """Root mean square distance of every part's points from their middle."""
    size = parts.end - parts.first
    middle = parts.sums(parts.points) / size[:, None]
    squared = parts.sums((parts.points**2).sum(axis=1)) / size
    return np.sqrt(np.maximum(squared - (middle**2).sum(axis=1), 0.0))


def _relatives(parts: Parts, lead: int) -> list[int]:
    """Parts that share a branch with a part but do not overlap it: those that stand out most come first."""
    tree = _branches(parts, lead)
    first, end = parts.first[tree].min(), parts.end[tree].max()
    within = (parts.first >= first) & (parts.end <= end)
    beside = (parts.first >= parts.end[lead]) | (parts.end <= parts.first[lead])
    found = np.flatnonzero(within & beside)
    return found[np.argsort(-parts.prior[found], kind="stable")].tolist()


def views_to_ask(
    hypotheses: Hypotheses,
    views: Sequence[View],
    candidates: Sequence[Candidate],
    *,
    count: int,
    config: MarksConfig = MarksConfig(),
) -> tuple[int, ...]:
    """Numbers of the views that see most of the candidates well, from different sides; greedily.

    Views that see none of them are not asked, so there may be fewer than ``count``.
    """
    if not candidates:
        return ()
    chosen = [candidate.part for candidate in candidates]
    area = hypotheses.looks.part_area[:, chosen]
    worth = np.where(area > config.smallest, area / (area + config.smallest), 0.0).sum(axis=1)
    members = np.concatenate([hypotheses.parts.members(part) for part in chosen])
    middle = hypotheses.parts.points[members].mean(axis=0)
    ways = np.array([view.T_world_cam[:3, 3] - middle for view in views])
    ways /= np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-12)
    asked: list[int] = []
    left = worth.copy()
    while len(asked) < count and left.max(initial=0.0) > 0:
        asked.append(int(left.argmax()))
        turned = np.arccos(np.clip(ways @ ways[asked].T, -1, 1)).min(axis=1)
        left = worth * np.minimum(turned / config.turned, 1.0)
        left[asked] = 0.0
    return tuple(asked)


def points_in_sight(parts: Parts, view: View, surface: RenderedSurface) -> Int[np.ndarray, "h w"]:
    """Which of the parts' points each pixel of a view shows, by number; -1 for none.

    A pixel shows the point that is nearest to where its ray meets the scene's surface, so what is hidden
    is not shown.
    """
    camera = view.camera
    solid = (surface.alpha > _SOLID) & (surface.depth > 0)
    pixels = pixel_centers(camera.height, camera.width)[solid]
    hit = back_project(camera, view.T_world_cam, pixels, surface.depth[solid].astype(float))
    _, nearest = KDTree(parts.points).query(hit, distance_upper_bound=_NEAR * parts.distance)
    shown = np.full(solid.shape, -1)
    shown[solid] = np.where(nearest < len(parts.points), nearest, -1)
    return shown


def candidates_in_sight(
    parts: Parts, candidates: Sequence[Candidate], shown: Int[np.ndarray, "h w"]
) -> Int[np.ndarray, "h w"]:
    """Which candidate each pixel shows, by its place in the sequence; -1 for none."""
    # One more than there are points, for -1 to find.
    belongs = np.full(len(parts.points) + 1, -1)
    for index, candidate in enumerate(candidates):
        belongs[parts.members(candidate.part)] = index
    return belongs[shown]


def on_disk(frame: Frame, view: View, mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "n 2"]:
    """The middles of a mask's pixels, in pixels of the image on disk."""
    return view_to_disk(frame, view, pixel_centers(*mask.shape)[mask])


def mark(frame: Frame, view: View, look: Crop, label: str, mask: Bool[np.ndarray, "h w"]) -> Mark:
    """What a view shows of a candidate, at least one pixel, as a mark on a look at its image on disk."""
    depth = np.asarray(distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)

    def shown(pixels: Float[np.ndarray, "_ 2"]) -> Float[np.ndarray, "_ 2"]:
        return look.from_disk(view_to_disk(frame, view, pixels))

    deepest = shown(np.array([[column + 0.5, row + 0.5]]))[0]
    magnified = look.magnification * frame.camera.fx / view.camera.fx
    return Mark(label, deepest, float(depth.max()) * magnified, tuple(map(shown, outline(mask))))
