"""Where the cameras stand: how many, how far round, and whether they look at one place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.distance import cdist

from point2act.calibration.checks.findings import Evidence, Finding
from point2act.core.geometry import inside, nearest_to_lines, project
from point2act.core.types import View

_FEW = 5
"""Fewer views and one wrong answer is not outvoted. Measured by the project's benchmarks: of 5 views with a
quarter wrong, 86 % of the places are right, 99 % of 24."""

_BETTER = 10
"""Fewer views are remarked upon. Chosen between the two."""

_SPREAD = 20.0, 45.0
"""Degrees between the outermost directions to the centre, below which there is a warning and a remark.
Chosen: what is seen from within 20 degrees has one side."""

_SEEN = 0.6
"""Share of the views that should see the centre. Chosen."""

_PARALLEL = 0.02
"""Smallest eigenvalue of the mean of I - axis axisᵀ from which the axes have a nearest point. Chosen: axes
that lie within about 8 degrees of one another meet nowhere reliably."""

_FAR = 4.0
"""A camera so many times as far from its nearest neighbour as is usual stands alone. Chosen."""

_POINT = 1e-6
"""Cameras closer than this share of their distance from the origin stand in one place."""


def check_coverage(views: Sequence[View]) -> Evidence:
    """The number of views, their directions as seen from what they look at, and cameras that stand alone.

    What they look at is the point nearest to all optical axes; where these are parallel, the middle of the
    measured depth; without depth nothing is said about it.
    """
    figures: dict[str, float | None] = {"views": float(len(views))}
    findings = _number(views)
    if len(views) < 2:
        return Evidence(tuple(findings), figures)
    eyes = np.array([view.T_world_cam[:3, 3] for view in views])
    if np.ptp(eyes, axis=0).max() <= _POINT * max(1.0, float(np.abs(eyes).max())):
        message = "all cameras stand at the same place: record a pose for each image, from different places"
        findings.append(Finding("error", "one_place", message))
        return Evidence(tuple(findings), figures)
    center = scene_center(views)
    if center is not None:
        spread, seeing = _widest(eyes - center), _seen(views, center)
        figures |= {"spread_deg": spread, "center_seen": float(seeing.mean())}
        findings += [*_directions(views, spread), *_looking(views, seeing)]
    findings += _alone(views, eyes)
    fine = None if findings else f"{len(views)} views go round the scene"
    return Evidence(tuple(findings), figures, fine)


def scene_center(views: Sequence[View]) -> Float[np.ndarray, " 3"] | None:
    """The world point nearest to all optical axes, in front of the cameras; else the middle of the depth."""
    eyes = np.array([view.T_world_cam[:3, 3] for view in views])
    axes = np.array([view.T_world_cam[:3, 2] for view in views])
    matrix, right = nearest_to_lines(eyes, axes)
    if np.linalg.eigvalsh(matrix)[0] > _PARALLEL:
        center = np.linalg.solve(matrix, right)
        if (((center - eyes) * axes).sum(axis=1) > 0).mean() > 0.5:
            return center
    places = []
    for view, eye, axis in zip(views, eyes, axes, strict=True):
        if view.depth is not None and (view.depth > 0).any():
            places.append(eye + float(np.median(view.depth[view.depth > 0])) * axis)
    return np.median(places, axis=0) if places else None


def _number(views: Sequence[View]) -> list[Finding]:
    n = len(views)
    if n < 2:
        message = "there is only one view: take 10 or more from around the scene"
        return [Finding("error", "too_few_views", message, value=1.0)]
    if n < _FEW:
        message = f"there are only {n} views, so that wrong answers are not outvoted: take 10 or more"
        return [Finding("warning", "too_few_views", message, value=float(n))]
    if n < _BETTER:
        message = f"there are {n} views: 10 or more from around the scene give surer places"
        return [Finding("remark", "few_views", message, value=float(n))]
    return []


def _directions(views: Sequence[View], spread: float) -> list[Finding]:
    if spread >= _SPREAD[1]:
        return []
    blind = " and distances uncertain" if any(view.depth is None for view in views) else ""
    message = (
        f"all views look from within {spread:.0f}° at the scene, so that other sides stay unseen{blind}: "
        "go further round it"
    )
    severity = "warning" if spread < _SPREAD[0] else "remark"
    return [Finding(severity, "narrow", message, value=spread)]


def _looking(views: Sequence[View], seeing: Bool[np.ndarray, " n"]) -> list[Finding]:
    share = float(seeing.mean())
    if share < _SEEN:
        message = (
            f"only {100 * share:.0f} % of the views see the place that they look at together: keep what "
            "matters in every picture"
        )
        return [Finding("warning", "center_unseen", message, value=share)]
    if seeing.all():
        return []
    names = tuple(view.name for view, sees in zip(views, seeing, strict=True) if not sees)
    message = "the place that the other views look at is outside the picture: these say little about it"
    return [Finding("remark", "looks_away", message, names, share)]


def _seen(views: Sequence[View], center: Float[np.ndarray, " 3"]) -> Bool[np.ndarray, " n"]:
    seen = []
    for view in views:
        pixels, depth = project(view.camera, view.T_world_cam, center[None])
        seen.append(bool(depth[0] > 0 and inside(view.camera, pixels)[0]))
    return np.array(seen)


def _widest(directions: Float[np.ndarray, "n 3"]) -> float:
    """Degrees between the two that are farthest apart."""
    unit = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    return float(np.degrees(np.arccos(np.clip((unit @ unit.T).min(), -1.0, 1.0))))


def _alone(views: Sequence[View], eyes: Float[np.ndarray, "n 3"]) -> list[Finding]:
    if len(views) < _FEW:
        return []
    distance = cdist(eyes, eyes)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.min(axis=1)
    usual = float(np.median(nearest))
    names = tuple(
        view.name for view, far in zip(views, nearest, strict=True) if far > _FAR * usual and usual > 0
    )
    if not names:
        return []
    times = float(nearest.max() / usual)
    message = (
        f"stands up to {times:.0f} times as far from its neighbours as usual: check its pose, or add views "
        "between"
    )
    return [Finding("remark", "lonely", message, names, times)]
