"""Order of a hand's grasps, and which of them are returned."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from point2act.grasping.hands.checks import Execution, HandGrasp
from point2act.grasping.hands.task import HandConfig, HandTask

# Logistic regressions on 1691 grasps of an Allegro Hand in physics, on 84 tables of the families of learned
# grasps and of the benchmark's tuning seeds: held when it is shaken, by closure times the root of the payload
# (both 1 where more does not count); by the part, if it is lifted, by the relevancy at the contacts.
_HELD = (2.3, -0.2)
_BY_PART = (12.8, -9.7)
# The same on 361 grasps of 34 tuning tables that were executed on the measured surface first: held by the log
# odds from before, whether it was lifted there and whether it was held when shaken; by the part by the
# probability under the hand's force there.
_EXECUTED = (0.58, 2.0, 1.0, -1.9)
_PRESSED = (15.9, -12.6)
# Value of a grasp that holds the object elsewhere than by the part. Chosen: on 41 tuning tables 66 % are
# lifted by the part with every value; 80 % are lifted with 0.25 to 0.7, 78 % with 0.2 and 71 % with 0.1.
_ELSEWHERE = 0.2
# Share of its score that a grasp loses without clearance on the approach: poses are off. Chosen.
_TIGHT = 0.2
_TINY = 1e-6


def grasp_score(task: HandTask, grasp: HandGrasp) -> tuple[float, float, dict[str, float]]:
    """Return score, quality and the terms of a grasp.

    The quality is the probability that it lifts the object and holds it when shaken. The score is the value
    to expect of it, where to hold the object elsewhere than by the part that was asked for is worth a fifth.
    """
    config = task.config
    terms = {
        "closure": float(np.clip(grasp.margin / config.full_margin, 0, 1)),
        "clearance": float(np.clip(grasp.clearance / config.full_clearance, 0, 1)),
        "payload": min(1.0, grasp.payload / config.full_payload),
    }
    held = _logistic(terms["closure"] * math.sqrt(terms["payload"]), *_HELD)
    if grasp.predicted is not None:
        # Each knows something of its own: the mean of their log odds orders better than either.
        held = _logistic((_log_odds(held) + _log_odds(grasp.predicted)) / 2, 1.0, 0.0)
    by_part = held * _logistic(relevancy_of(grasp), *_BY_PART)
    if grasp.execution is not None:
        held, by_part = _after(grasp.execution, held, by_part)
        terms |= {
            "lifted_in_physics": float(grasp.execution.lifted),
            "shaken_in_physics": float(grasp.execution.shaken),
        }
    expected = _ELSEWHERE * held + (1 - _ELSEWHERE) * by_part
    score = expected * (1 - _TIGHT * (1 - terms["clearance"]))
    return score, held, terms | {"held": held, "by_part": by_part}


def _after(execution: Execution, held: float, by_part: float) -> tuple[float, float]:
    """Return the probabilities of being held, and by the part, after an execution.

    Args:
        execution: What came of the grasp on the measured surface.
        held: Probability from before.
        by_part: Probability from before.
    """
    slope, lifted, shaken, intercept = _EXECUTED
    result = lifted * execution.lifted + shaken * execution.shaken + intercept
    now = _logistic(_log_odds(held), slope, result)
    if execution.on_part is None:
        return now, now * by_part / max(held, _TINY)
    return now, now * _logistic(execution.on_part, *_PRESSED)


def is_proven(grasp: HandGrasp) -> bool:
    """Return whether a grasp was executed, held the object when shaken, and pressed the part."""
    done = grasp.execution
    return done is not None and done.shaken and _logistic(done.on_part or 0.0, *_PRESSED) > 0.5


def _logistic(value: float, slope: float, intercept: float) -> float:
    return 1 / (1 + math.exp(-(slope * value + intercept)))


def _log_odds(probability: float) -> float:
    return math.log(max(probability, _TINY) / max(1 - probability, _TINY))


def judged(task: HandTask, grasps: list[HandGrasp]) -> list[HandGrasp]:
    """Return grasps with what the hand's network predicts of them, if the head is learned."""
    if task.config.head == "analytic" or not grasps:
        return grasps
    from point2act.grasping.learned.evaluator import hold_probability
    from point2act.grasping.learned.networks import LABELS
    from point2act.grasping.learned.weights import load_evaluator

    evaluator = load_evaluator(task.hand.name, task.config.weights)
    if evaluator is None:
        return grasps
    poses = np.array([grasp.T_volume_palm for grasp in grasps])
    joints = np.array([grasp.positions for grasp in grasps])
    scores = np.array([grasp_score(task, grasp)[0] for grasp in grasps])
    found = hold_probability(evaluator, task.hand, task.cloud, poses, joints, scores)
    shaken = found[:, LABELS.index("shaken")]
    return [replace(grasp, predicted=float(one)) for grasp, one in zip(grasps, shaken, strict=True)]


def relevancy_of(grasp: HandGrasp) -> float:
    """Return the region's probability at the contacts, weighted by their forces."""
    return float(grasp.probability @ grasp.share / max(grasp.share.sum(), 1e-9))


def distinct(task: HandTask, grasps: list[HandGrasp]) -> list[HandGrasp]:
    """Return the best grasps, none too similar to a better one (non-maximum suppression)."""
    config = task.config
    chosen: list[HandGrasp] = []
    for grasp in sorted(grasps, key=lambda one: -grasp_score(task, one)[0]):
        if len(chosen) == config.max_grasps:
            break
        if not any(_similar(grasp.T_volume_palm, other.T_volume_palm, config) for other in chosen):
            chosen.append(grasp)
    return chosen


def _similar(one: Float[np.ndarray, "4 4"], other: Float[np.ndarray, "4 4"], config: HandConfig) -> bool:
    apart = np.linalg.norm(one[:3, 3] - other[:3, 3])
    cosine = (np.trace(one[:3, :3].T @ other[:3, :3]) - 1) / 2
    return bool(apart < config.min_separation and cosine > np.cos(config.min_angle))
