"""Masks of a query: which views are segmented at which pixels, and what they make of its likeliest place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import from_tangents, project
from point2act.core.masks import CandidateMasks
from point2act.core.types import View, ViewAnswers
from point2act.localization.likelihood import LikelihoodConfig, PartPosterior
from point2act.localization.mask_evidence import (
    Extents,
    MaskEvidenceConfig,
    find_extents,
    masks_on_points,
)
from point2act.localization.mask_views import agreeing_point, choose_views
from point2act.localization.region import Place, RegionConfig, merge_parts
from point2act.localization.segmentation import Segmentation
from point2act.vlm.segmenters.segmenter import Segmenter

_log = logging.getLogger(__name__)

# Fraction of the largest area of the place's points in a view from which a point counts as visible there.
_SHOWN = 0.3
# Probability from which a point belongs to a place's body.
_MEMBER = 0.5


@dataclass(frozen=True, eq=False)
class PlaceMasks:
    """Segments one place of a scene in a few views.

    Args:
        segmentation: The scene's parts and their visibility.
        views: The views.
        full_size: Returns a view with its pixels as they were recorded.
        segmenter: The segmenter.
        by_person: Whether the answers are a person's and not a model's.
        config: Which views, and how masks weigh.
    """

    segmentation: Segmentation
    views: Sequence[View]
    full_size: Callable[[View], View]
    segmenter: Segmenter
    by_person: bool = False
    config: MaskEvidenceConfig = field(default_factory=MaskEvidenceConfig)

    def segment(self, place: Place, answers: ViewAnswers) -> dict[int, CandidateMasks]:
        """Return the candidate masks of a place, by the index of the view.

        The segmenter gets one pixel of each view: that of the place's visible point nearest to its action
        point, as a model's single answers scatter by more than the width of small parts. Where a person
        clicked, or a single answer is all there is, it gets that.

        Args:
            place: The place.
            answers: Tangents of the points in every view; empty for "not visible", None if not asked.
        """
        parts, visibility = self.segmentation.parts, self.segmentation.visibility
        chosen = choose_views(place.members, parts, visibility, self.views, answers, config=self.config.views)
        exact = self.by_person or sum(each is not None and len(each) > 0 for each in answers) == 1
        found = {}
        for number in chosen:
            view = self.full_size(self.views[number])
            positive = self._prompt(number, view, place, answers[number] if exact else None)
            found[number] = self.segmenter.segment(view.rgb, positive, np.zeros((0, 2)))
            _log.debug("%s: masks with scores %s", view.name, np.round(found[number].scores, 2))
        return found

    def _prompt(
        self, number: int, view: View, place: Place, answer: Float[np.ndarray, "m 2"] | None
    ) -> Float[np.ndarray, "1 2"]:
        parts, visibility, camera = self.segmentation.parts, self.segmentation.visibility, view.camera
        if answer is not None:
            at = agreeing_point(visibility, number, place.members, answer, config=self.config.views)
            if at is not None:
                return from_tangents(camera, answer[at][None])
        area = visibility.area[number, place.members]
        shown = parts.points[place.members[area >= _SHOWN * area.max()]]
        nearest = np.linalg.norm(shown - place.action_point, axis=1).argmin()
        return project(camera, view.T_world_cam, shown[nearest][None])[0]

    def refine(
        self,
        place: Place,
        posterior: PartPosterior,
        pixels: ViewAnswers,
        answers: ViewAnswers,
        *,
        evidence: LikelihoodConfig,
        config: RegionConfig,
    ) -> tuple[Place, Float[np.ndarray, " g"]]:
        """Return a place with the extent that masks give it, and the relevancy of every Gaussian.

        The probabilities of this place and of all others stay as they are: a mask shows where the thing under
        a point ends, not whether the point is right.

        Args:
            place: The place.
            posterior: Posterior over the parts that places come from.
            pixels: Answers as pixels of every view; empty for "not visible", None if not asked.
            answers: The same as tangents.
            evidence: Error model of the answers.
            config: How parts become a region.
        """
        extents = self._extents(place, answers, evidence)
        if extents is None:
            return place, self.segmentation.relevancy(posterior)
        parts, visibility = self.segmentation.parts, self.segmentation.visibility
        others = posterior.parts.copy()
        others[place.parts] = 0.0
        own = float(posterior.parts[place.parts].sum())
        relevancy = self.segmentation.on_gaussians(parts.marginal(others) + own * extents.membership)
        merged = merge_parts(
            extents.parts,
            visibility,
            PartPosterior(extents.posterior, 0.0),
            np.flatnonzero(extents.posterior),
            self.views,
            pixels,
            config=config,
        )
        members = np.flatnonzero(extents.membership > _MEMBER)
        refined = replace(
            place,
            middle=merged.middle,
            action_point=merged.action_point,
            body=parts.points[members],
            members=members,
        )
        return refined, relevancy

    def _extents(self, place: Place, answers: ViewAnswers, evidence: LikelihoodConfig) -> Extents | None:
        """Segment a place and return the extents that it may have; None if no mask agrees with it."""
        parts, visibility = self.segmentation.parts, self.segmentation.visibility
        masks = [
            masks_on_points(parts.points, visibility, number, self.views[number], candidates)
            for number, candidates in self.segment(place, answers).items()
        ]
        return find_extents(
            place.parts,
            parts,
            visibility,
            self.views,
            answers,
            masks,
            evidence=evidence,
            config=self.config,
        )
