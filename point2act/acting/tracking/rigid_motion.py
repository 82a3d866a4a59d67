"""Rigid motion between corresponding points, also where some of them are wrong. numpy only."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import nearest_rotation, transform, transform_points

# Factor by which the scale falls in each iteration, and the number of scales above the last one: it starts at
# fifteen times the noise. Chosen.
_FALL, _STEPS = 0.7, 8
# Iterations at the last scale: weights hardly change after them.
_LAST = 4


def fit_rigid(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "4 4"]:
    """Fit the rigid motion that minimises ``sum_i w_i |R source_i + t - target_i|^2``.

    With the weighted means s and g, R is the rotation nearest to ``sum_i w_i (g_i - g) (s_i - s)^T`` (Kabsch
    1976; Umeyama 1991), and ``t = g - R s``.

    Args:
        source: Points before the motion.
        target: The same points after it.
        weights: Weight of each, not all zero.
    """
    share = weights / weights.sum()
    middle_source, middle_target = share @ source, share @ target
    spread = (target - middle_target).T @ ((source - middle_source) * share[:, None])
    R = nearest_rotation(spread)
    return transform(R, middle_target - R @ middle_source)


def fit_rigid_robust(
    source: Float[np.ndarray, "n 3"],
    target: Float[np.ndarray, "n 3"],
    weights: Float[np.ndarray, " n"],
    *,
    noise: float,
) -> Float[np.ndarray, "4 4"]:
    """Fit a rigid motion that wrong correspondences hardly change.

    Minimises ``sum_i w_i r_i^2 c^2 / (r_i^2 + c^2)`` (Geman and McClure 1987) over the residuals r_i by
    iterated weights ``w_i (c^2 / (c^2 + r_i^2))^2``, while the scale c falls to ``noise``: graduated
    non-convexity (Blake and Zisserman 1987), so that the start, the median translation, may be far away.

    Args:
        source: Points before the motion, metres.
        target: The same points after it, metres.
        weights: Weight of each before the residuals are known.
        noise: Standard deviation of right correspondences, metres.
    """
    T = transform(np.eye(3), np.median(target - source, axis=0))
    for scale in noise * np.concatenate([_FALL ** -np.arange(_STEPS, 0.0, -1.0), np.ones(_LAST)]):
        squared = ((transform_points(T, source) - target) ** 2).sum(axis=1)
        trust = weights * (scale**2 / (scale**2 + squared)) ** 2
        if trust.sum() <= 0:
            break
        T = fit_rigid(source, target, trust)
    return T
