"""Candidates for set-of-mark prompting: parts that a query may mean, and the views that show them best."""

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
from point2act.localization.segmentation import Segmentation
from point2act.splatting.rendering import RenderedSurface
from point2act.visualization.drawing.set_of_mark import Mark, outline

# Pixels that are covered less show no surface.
_SOLID = 0.5
# A pixel shows a part if one of the part's points is the nearest to the pixel's surface, within this angle.
_NEAR = 0.03


@dataclass(frozen=True)
class MarksConfig:
    """Candidates for set-of-mark prompting. Angles are as seen from the cameras, radians."""

    max_candidates: int = 8
    """Maximum number of candidates: the regions found, then other parts of these objects and near objects."""
    min_separation: float = 0.03
    """Minimum angle between the centres of two candidates."""
    # 20 px at f = 300, where LikelihoodConfig takes a part to be visible as likely as not.
    min_area: float = 2.2e-4
    """Minimum area of a candidate in a view, square radians."""
    # 4 cm at half a metre. The best of {0.06, 0.08, 0.1, 0.14} for the overlap with the truth, on tables with
    # seed 0.
    max_scatter: float = 0.08
    """Maximum root mean square angle of a candidate's points to their centre, except for larger regions."""
    beside: float = 0.3
    """Maximum angle between the centres of a region's part and of an object that is a candidate too."""
    # 15 cm at half a metre. Chosen.
    full_angle: float = 0.5
    """Two views that differ by this angle are counted in full when views are selected."""


@dataclass(frozen=True)
class Candidate:
    """A part that a query may mean."""

    part: int
    """Index of the part."""
    confidence: float
    """Confidence of the region that lies on the part; 0 for a part without a region."""


def find_candidates(
    segmentation: Segmentation, result: QueryResult, *, config: MarksConfig = MarksConfig()
) -> tuple[Candidate, ...]:
    """Return disjoint parts that a query may mean: first the parts of its regions, then their relatives.

    Relatives share a branch of the part tree with a region's part, or are small objects near it. They follow
    the order of the regions' confidence, and among one region's those with the highest prior come first.

    Args:
        segmentation: The segmented scene.
        result: The query's region and alternatives.
        config: How many candidates, and how large.
    """
    parts, largest = segmentation.parts, segmentation.visibility.part_area.max(axis=0, initial=0.0)
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
        fits = len(found) < config.max_candidates and largest[part] > config.min_area
        if fits and not overlap.any() and (away > config.min_separation * parts.distance).all():
            found.append(Candidate(part, confidence))

    held = [_part_of(parts, region) for region in regions]
    small = _scatter(parts) < config.max_scatter * parts.distance
    leads = [_named(parts, part, {*held} - {part}, small) for part in held]
    for lead, region in zip(leads, regions, strict=True):
        add(lead, region.confidence)
    for lead in leads:
        near = np.linalg.norm(middles - middles[lead], axis=1) < config.beside * parts.distance
        for part in _relatives(parts, lead, near & small):
            add(part, 0.0)
    return tuple(found)


def _part_of(parts: Parts, region: Region) -> int:
    """Return the part with the largest intersection over union with a region's box."""
    within = (distance_to_box(parts.points, region.box) == 0).astype(float)
    shared = parts.sums(within)
    return int((shared / (parts.end - parts.first + within.sum() - shared)).argmax())


def _branches(parts: Parts, part: int) -> Bool[np.ndarray, " k"]:
    """Mark the parts that contain a part, itself included."""
    return (parts.first <= parts.first[part]) & (parts.end >= parts.end[part])


def _named(parts: Parts, part: int, others: Collection[int], small: Bool[np.ndarray, " k"]) -> int:
    """Return the part with the highest prior among a part and the small parts that contain it.

    Answers lie on a piece of what they mean. Parts that contain any of the ``others`` are left out.
    """
    fit = _branches(parts, part) & small
    for other in others:
        fit &= ~_branches(parts, other)
    return int(np.where(fit, parts.prior, 0.0).argmax()) if fit.any() else part


def _scatter(parts: Parts) -> Float[np.ndarray, " k"]:
    """Return the root mean square distance of every part's points from their centre."""
    size = parts.end - parts.first
    middle = parts.sums(parts.points) / size[:, None]
    squared = parts.sums((parts.points**2).sum(axis=1)) / size
    return np.sqrt(np.maximum(squared - (middle**2).sum(axis=1), 0.0))


def _relatives(parts: Parts, lead: int, near: Bool[np.ndarray, " k"]) -> list[int]:
    """Return parts of the same object that do not overlap a part, and near objects, highest prior first."""
    tree = _branches(parts, lead)
    first, end = parts.first[tree].min(), parts.end[tree].max()
    within = (parts.first >= first) & (parts.end <= end)
    beside = (parts.first >= parts.end[lead]) | (parts.end <= parts.first[lead])
    some = parts.order[parts.first]
    # Every part has an object, so -1, for points without any, is not looked up.
    whole = np.bincount(parts.objects[parts.objects >= 0])[parts.objects[some]] == parts.end - parts.first
    found = np.flatnonzero((within | (whole & near & parts.things[some])) & beside)
    return found[np.argsort(-parts.prior[found], kind="stable")].tolist()


def select_views_to_ask(
    segmentation: Segmentation,
    views: Sequence[View],
    candidates: Sequence[Candidate],
    *,
    count: int,
    config: MarksConfig = MarksConfig(),
) -> tuple[int, ...]:
    """Select views greedily that show many candidates well, and from different directions.

    Args:
        segmentation: The segmented scene, with the area of every part in every view.
        views: All views.
        candidates: What the views should show.
        count: Maximum number of views; views that show no candidate are left out.
        config: Minimum area and full angle.

    Returns:
        Indices of views, best first.
    """
    if not candidates:
        return ()
    chosen = [candidate.part for candidate in candidates]
    area = segmentation.visibility.part_area[:, chosen]
    worth = np.where(area > config.min_area, area / (area + config.min_area), 0.0).sum(axis=1)
    members = np.concatenate([segmentation.parts.members(part) for part in chosen])
    middle = segmentation.parts.points[members].mean(axis=0)
    ways = np.array([view.T_world_cam[:3, 3] - middle for view in views])
    ways /= np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-12)
    asked: list[int] = []
    left = worth.copy()
    while len(asked) < count and left.max(initial=0.0) > 0:
        asked.append(int(left.argmax()))
        turned = np.arccos(np.clip(ways @ ways[asked].T, -1, 1)).min(axis=1)
        left = worth * np.minimum(turned / config.full_angle, 1.0)
        left[asked] = 0.0
    return tuple(asked)


def map_points(parts: Parts, view: View, surface: RenderedSurface) -> Int[np.ndarray, "h w"]:
    """Return the index of the parts' point that each pixel of a view shows; -1 for none.

    A pixel shows the point that is nearest to where its ray meets the rendered surface, so hidden points are
    not shown.
    """
    camera = view.camera
    solid = (surface.alpha > _SOLID) & (surface.depth > 0)
    pixels = pixel_centers(camera.height, camera.width)[solid]
    hit = back_project(camera, view.T_world_cam, pixels, surface.depth[solid].astype(float))
    _, nearest = KDTree(parts.points).query(hit, distance_upper_bound=_NEAR * parts.distance)
    shown = np.full(solid.shape, -1)
    shown[solid] = np.where(nearest < len(parts.points), nearest, -1)
    return shown


def map_candidates(
    parts: Parts, candidates: Sequence[Candidate], shown: Int[np.ndarray, "h w"]
) -> Int[np.ndarray, "h w"]:
    """Return the index of the candidate that each pixel shows; -1 for none."""
    # One entry more than there are points, for the index -1.
    belongs = np.full(len(parts.points) + 1, -1)
    for index, candidate in enumerate(candidates):
        belongs[parts.members(candidate.part)] = index
    return belongs[shown]


def to_disk_pixels(frame: Frame, view: View, mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "n 2"]:
    """Return the centres of a mask's pixels, in pixels of the image on disk."""
    return view_to_disk(frame, view, pixel_centers(*mask.shape)[mask])


def make_mark(
    frame: Frame,
    view: View,
    look: Crop,
    label: str,
    mask: Bool[np.ndarray, "h w"],
    *,
    at: Bool[np.ndarray, "h w"] | None = None,
) -> Mark:
    """Make the mark of a candidate with at least one visible pixel, on a crop of the image on disk.

    Args:
        frame: The frame.
        view: The view of it.
        look: The crop.
        label: What is written beside the region.
        mask: Pixels of the view that the region covers.
        at: Those of them where the label may stand; None for all.
    """
    depth = np.asarray(distance_transform_edt(np.pad(mask if at is None else at, 1)))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)

    def shown(pixels: Float[np.ndarray, "_ 2"]) -> Float[np.ndarray, "_ 2"]:
        return look.from_disk(view_to_disk(frame, view, pixels))

    deepest = shown(np.array([[column + 0.5, row + 0.5]]))[0]
    magnified = look.magnification * frame.camera.fx / view.camera.fx
    return Mark(label, deepest, float(depth.max()) * magnified, tuple(map(shown, outline(mask))))
