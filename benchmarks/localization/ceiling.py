"""Upper bound: the posterior over the true parts with the true error rates of the model.

The same likelihood as ours, on the simulator's parts instead of the segmented ones, with the level's own
rates instead of a mixture. What it misses cannot be found in the answers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from benchmarks.common.tables import Simulated
from benchmarks.localization.levels import Level
from benchmarks.localization.measures import Outcome
from point2act.core.geometry import inside, project, to_tangents
from point2act.core.types import PointSet
from point2act.localization.heatmaps import HeatmapConfig
from point2act.localization.likelihood import LikelihoodConfig, part_posterior
from point2act.localization.part_tree import Parts
from point2act.localization.region import find_region
from point2act.localization.relevancy import answers_in_views
from point2act.localization.visibility import part_visibility
from point2act.simulation import PointingConfig


def known_parts_and_errors(opened: Simulated, level: Level, points: PointSet) -> list[Outcome]:
    """Return the best position of every query by the true parts and rates."""
    views, visibility = opened.session.views, opened.session.segmentation().visibility
    parts = _true_parts(opened)
    focal = np.array([view.camera.fx * view.camera.fy for view in views])
    visibility = part_visibility(parts, views, visibility.area * focal[:, None])
    depths = [surface.depth for surface in opened.session.surfaces]
    sigma, outcomes = HeatmapConfig().sigma, []
    for pixels in answers_in_views(points, opened.session.capture, views):
        tangents = [
            None if named is None else to_tangents(view.camera, named)
            for named, view in zip(pixels, views, strict=True)
        ]
        evidence = part_posterior(parts, visibility, tangents, config=_true_shares(level, focal))
        outcomes.append(find_region(parts, visibility, evidence, views, depths, pixels, sigma=sigma))
    return outcomes


def _true_parts(opened: Simulated) -> Parts:
    """Return each part of the simulator's objects as the points of the fitted surface that mostly show it."""
    found = opened.session.segmentation().parts
    labels = true_labels(opened)
    groups = [np.flatnonzero(labels == part) for part in range(len(opened.scene.parts))]
    groups = [group for group in groups if len(group)]
    end = np.cumsum([len(group) for group in groups])
    first = end - [len(group) for group in groups]
    prior = np.full(len(groups), 1 / max(len(groups), 1))
    return replace(found, order=np.concatenate(groups), first=first, end=end, prior=prior, things=labels >= 0)


def true_labels(opened: Simulated) -> Int[np.ndarray, " n"]:
    """Return the simulator's part for every point of the fitted surface; -1 for none."""
    segmentation = opened.session.segmentation()
    points, area = segmentation.parts.points, segmentation.visibility.area
    votes = np.zeros((len(points), len(opened.scene.parts) + 1))
    for view, shot, seen in zip(opened.session.views, opened.shots, area, strict=True):
        pixels, z = project(view.camera, view.T_world_cam, points)
        shown = np.flatnonzero((z > 0) & inside(view.camera, pixels) & (seen > 0))
        columns, rows = pixels[shown].astype(int).T
        np.add.at(votes, (shown, shot.part_ids[rows, columns] + 1), seen[shown])
    return votes.argmax(axis=1) - 1


def _true_shares(level: Level, focal: np.ndarray) -> LikelihoodConfig:
    """Return the level's own error rates; the usual mixture for rates that it does not have."""
    errs = level.pointing
    if not isinstance(errs, PointingConfig):
        return LikelihoodConfig()
    return LikelihoodConfig(
        jitter=((errs.jitter / float(np.sqrt(focal.mean())), 1.0),),
        wrong=((errs.wrong, 1.0),),
        agreeing=((errs.distractor, 1.0),),
        visibility_errors=((max(errs.missed, 0.01), max(errs.hallucinated, 0.01), 1.0),),
    )
