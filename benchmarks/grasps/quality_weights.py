"""Fit of the weights of the grasp quality to outcomes of trials, and its predictive accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

from point2act.core.errors import SimulationError
from point2act.grasping.antipodal.score import QualityWeights
from point2act.grasping.antipodal.terms import GraspTerms

PRIOR = QualityWeights(
    bias=0.0,
    alignment=2.0,
    patch=1.0,
    overlap=1.0,
    opposed=0.3,
    friction=1.0,
    twist=0.5,
    lever=1.0,
    upright=0.3,
    seen=1.0,
    sighted=0.5,
    clearance=0.5,
    robustness=1.0,
)
"""Mean of the Gaussian prior; the bias has no prior."""
PRECISION = 3.0
"""Precision of the prior: one over the variance of a weight."""
FOLDS, BINS = 5, 5
TERMS = [field.name for field in fields(GraspTerms)]


@dataclass(frozen=True)
class Attempt:
    """One executed pose, its conditions and its outcome."""

    setting: str
    seed: int
    object: str
    part: str
    slippery: bool
    heavy: bool
    """Whether the object had twice the mass of its setting."""
    pose_error: bool
    outcome: str
    lifted: bool
    terms: dict[str, float]


def fitted(terms: Float[np.ndarray, "n k"], lifted: Bool[np.ndarray, " n"]) -> QualityWeights:
    """Fit the maximum a posteriori weights, none below 0: logistic regression with a Gaussian prior."""
    prior = np.array([getattr(PRIOR, name) for name in TERMS])
    columns = np.column_stack([np.ones(len(terms)), terms])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        total, off = columns @ weights, weights[1:] - prior
        value = np.logaddexp(0, total).sum() - total[lifted].sum() + PRECISION / 2 * off @ off
        return float(value), columns.T @ (expit(total) - lifted) + PRECISION * np.r_[0.0, off]

    bounds = [(None, None)] + [(0.0, None)] * len(TERMS)
    # Not L-BFGS-B, which stopped far from the minimum where a bound was active (SciPy 1.17.1).
    options = {"ftol": 1e-9, "maxiter": 500}
    found = minimize(loss, np.r_[0.0, prior], jac=True, method="SLSQP", bounds=bounds, options=options)
    assert found.success, found.message  # convex, smooth, and 13 numbers
    return QualityWeights(**dict(zip(["bias", *TERMS], found.x.tolist(), strict=True)))


def chances(terms: Float[np.ndarray, "n k"], weights: QualityWeights) -> Float[np.ndarray, " n"]:
    """Return the probabilities of success by the quality."""
    return expit(weights.bias + terms @ [getattr(weights, name) for name in TERMS])


def cross_validated(
    terms: Float[np.ndarray, "n k"], lifted: Bool[np.ndarray, " n"], seeds: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Predict each trial by weights from the other seeds, in ``FOLDS`` folds."""
    predicted = np.zeros(len(terms))
    for fold in range(FOLDS):
        out = seeds % FOLDS == fold
        predicted[out] = chances(terms[out], fitted(terms[~out], lifted[~out]))
    return predicted


def ranked(predicted: Float[np.ndarray, " n"], lifted: Bool[np.ndarray, " n"]) -> tuple[float, int]:
    """Count pairs of a successful and a failed grasp that are in order, ties half, and all such pairs.

    Their ratio is the area under the ROC curve (Mann and Whitney 1947).
    """
    good = int(lifted.sum())
    return float(rankdata(predicted)[lifted].sum() - good * (good + 1) / 2), good * (len(lifted) - good)


def log_loss(predicted: Float[np.ndarray, " n"], lifted: Bool[np.ndarray, " n"]) -> float:
    """Return the mean negative log-likelihood, nats."""
    return float(-np.log(np.where(lifted, predicted, 1 - predicted)).mean())


def report(tried: Sequence[Attempt]) -> str:
    """Report the weights and their accuracy. Raises SimulationError if all outcomes are the same."""
    lifted = np.array([one.lifted for one in tried], dtype=bool)
    if lifted.all() or not lifted.any():
        raise SimulationError(f"{len(tried)} trials with {lifted.sum()} successes: nothing to fit; try more")
    terms = np.array([[one.terms[name] for name in TERMS] for one in tried])
    predicted = cross_validated(terms, lifted, np.array([one.seed for one in tried]))
    keys = [f"{one.setting} {one.seed}" for one in tried]
    within = [ranked(predicted[rows], lifted[rows]) for rows in (np.array(keys) == key for key in set(keys))]
    in_order, pairs = (sum(column) for column in zip(*within, strict=True))
    overall = ranked(predicted, lifted)
    share = lifted.mean()
    weights = asdict(fitted(terms, lifted))
    lines = [f"{len(tried)} trials in {len(within)} cases, {100 * share:.1f} % lifted", "", "weights"]
    lines += [f"    {name}: float = {value:.2f}" for name, value in weights.items()]
    lines += ["", f"cross-validated by seed in {FOLDS} folds"]
    lines += [f"area under the curve {overall[0] / overall[1]:.3f}"]
    lines += [f"within a case {in_order / pairs:.3f} of {pairs} pairs" if pairs else "no pairs within a case"]
    base = log_loss(np.full(len(lifted), share), lifted)
    lines += [
        f"log loss {log_loss(predicted, lifted):.3f}, of the base rate {base:.3f}",
        "",
        "predicted  lifted      n",
    ]
    for rows in np.array_split(np.argsort(predicted, kind="stable"), BINS):
        if len(rows):
            lines.append(f"{predicted[rows].mean():9.3f}  {lifted[rows].mean():6.3f}  {len(rows):5d}")
    return "\n".join(lines)
