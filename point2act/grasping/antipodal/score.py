"""Score of grasps: probability of holding, relevancy for the query and preferred approaches.

    quality = sigmoid(bias + sum_k w_k term_k)
    score   = quality * (1 - s + s * relevancy / best) * exp(-d² / 2 r²) * preference * avoid * penalties

with the semantic weight s and the distance d from the region's box to the midpoint of the contacts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.special import expit

from point2act.core.geometry import box_falloff
from point2act.core.types import Region
from point2act.grasping.antipodal.terms import GraspTerms


@dataclass(frozen=True)
class QualityWeights:
    """Bias and weights of the terms in the logistic regression of the grasp quality."""

    # Fitted by ``python -m benchmarks.grasps.fit_quality`` to 1533 physics trials of random free poses on 131
    # tables (89 % lifted), a third each with slippery and heavy objects, half of them 3 mm and 3 degrees off;
    # regularised towards the grasp study's weights, none below 0. A weight of 0 means that the others say as
    # much. Clearance and robustness came out at 0 too and are chosen: of grippers executed 3 mm and 3 degrees
    # off 2 of 24 hit something without them and 1 of 40 with both at 1. The bias is lowered by their means;
    # it was not calibrated again.

    bias: float = -3.66
    alignment: float = 1.81
    patch: float = 0.39
    overlap: float = 1.15
    opposed: float = 0.0
    friction: float = 0.0
    twist: float = 0.01
    lever: float = 2.47
    upright: float = 0.19
    seen: float = 0.67
    sighted: float = 0.56
    clearance: float = 1.0
    robustness: float = 0.5


@dataclass(frozen=True)
class PreferenceConfig:
    """Preferred approaches; an opposite approach loses the weight's fraction of the score."""

    from_above: float = 0.0
    """Weight of approaching straight down."""
    away_from_base: float = 0.0
    """Weight of approaching horizontally away from the robot's base; needs the capture's ``T_base_world``."""
    direction: tuple[float, float, float] | None = None
    """Preferred direction of approach, world."""
    direction_weight: float = 0.5
    """Weight of the preferred direction."""


@dataclass(frozen=True)
class ScoreConfig:
    """Score of grasps."""

    weights: QualityWeights = field(default_factory=QualityWeights)
    """Weights of the terms of the quality."""
    semantic_weight: float = 0.7
    """Weight s of the relevancy: score = quality * (1 - s + s * relevancy / best relevancy of the region)."""
    # LERF-TOGO takes 0.95 of a sum, among grasps of the whole scene; here all are near the action point.
    # Chosen: 0.5 and 0.7 grasped the right part in the same 28 of 30 simulated trials.
    relevancy_radius: float = 0.010
    """Radius around a contact over which relevancy is averaged, metres."""
    # Half a fingertip.
    region_falloff: float = 0.03
    """Standard deviation of the Gaussian of the distance from the region's box to the contacts, metres."""
    # Within the box any place will do: a hammer is better held near its head. Chosen.
    preference: PreferenceConfig = field(default_factory=PreferenceConfig)
    """Preferred approaches."""


def quality(terms: GraspTerms, weights: QualityWeights) -> Float[np.ndarray, " n"]:
    """Return the probability that each grasp holds, by logistic regression on its terms."""
    total = np.full(len(terms.alignment), weights.bias)
    for term in fields(GraspTerms):
        total += getattr(weights, term.name) * getattr(terms, term.name)
    return expit(total)


def preference(
    approaches: Float[np.ndarray, "n 3"],
    up: Float[np.ndarray, "3"],
    from_base: Float[np.ndarray, "3"] | None,
    config: PreferenceConfig,
) -> Float[np.ndarray, " n"]:
    """Return the factor on the score for preferred approaches.

    The product over directions d with weight w of ``1 - w (1 - cos(approach, d)) / 2``.

    ``from_base`` is the vector from the robot's base to the action point, None if the base is unknown.
    """
    preferred = [(config.from_above, -up)]
    if from_base is not None:
        preferred.append((config.away_from_base, from_base - (from_base @ up) * up))
    if config.direction is not None:
        preferred.append((config.direction_weight, np.array(config.direction)))
    product = np.ones(len(approaches))
    for weight, direction in preferred:
        length = np.linalg.norm(direction)
        if length > 1e-9:
            fit = (1 + approaches @ (direction / length)) / 2
            product *= 1 - weight * (1 - fit)
    return product


def contact_relevancy(
    contacts: Float[np.ndarray, "n 2 3"],
    region: Region,
    relevancy: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]] | None,
    *,
    config: ScoreConfig,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return the relevancy of grasps, absolute and relative to the best of the region.

    The mean relevancy around a contact, of the contact where it is smaller: a finger on a mug's handle and
    one on its wall hold the mug. A side without points takes the value of the other, and none at both is 0.
    The best is the 90th percentile within two radii of the action point.

    Args:
        contacts: Contacts of each grasp, world.
        relevancy: World points and their relevancy; None for 1 in the region's box and a Gaussian fall-off
            around it.
    """
    radius = config.relevancy_radius
    if relevancy is None:
        near = box_falloff(contacts, region.box, radius).min(axis=1)
        return near, near
    points, values = relevancy
    ends = contacts.reshape(-1, 3)
    targets = np.concatenate([ends, region.action_point[None]])
    low, high = targets.min(axis=0) - 2 * radius, targets.max(axis=0) + 2 * radius
    near = ((points > low) & (points < high)).all(axis=1)
    points, values, highest = points[near], values[near], float(values.max(initial=0))
    tree = KDTree(points)
    found = tree.query_ball_point(ends, radius)
    each = np.array([values[rows].mean() if rows else np.inf for rows in found]).reshape(-1, 2)
    least = np.where(np.isinf(each).all(axis=1), 0.0, each.min(axis=1))
    around = tree.query_ball_point(region.action_point, 2 * radius)
    best = float(np.percentile(values[around], 90)) if around else highest
    return np.clip(least, 0, 1), np.clip(least / max(best, 1e-6), 0, 1)


def semantic_factor(
    relative: Float[np.ndarray, " n"], distance: Float[np.ndarray, " n"], *, config: ScoreConfig
) -> Float[np.ndarray, " n"]:
    """Return the factor on the score for relative relevancy and distance from the region's box (metres)."""
    w = config.semantic_weight
    return (1 - w + w * relative) * np.exp(-0.5 * (distance / config.region_falloff) ** 2)
