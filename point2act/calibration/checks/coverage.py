"""Coverage: number of views, range of viewing directions, common target, isolated cameras."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.distance import cdist

from point2act.calibration.checks.findings import Evidence, Finding, flag
from point2act.core.geometry import inside, line_intersection_equations, project
from point2act.core.types import View

_FEW = 5
"""Number of views below which one wrong answer is not outvoted. In the project's benchmarks, with a quarter
of the answers wrong, 86 % of the localisations from 5 views are right, 99 % from 24."""
_MANY = 10
"""Number of views below which there is a remark. Chosen between the two."""
_SPREAD = 20.0, 45.0
"""Angles between the outermost viewing directions, degrees, below which there is a warning and a remark.
Chosen: from within 20 degrees, one side of an object is visible."""
_SEEN = 0.6
"""Fraction of the views that should see the centre. Chosen."""
_PARALLEL = 0.02
"""Smallest eigenvalue of the mean of I - a aᵀ over the optical axes a, for a well-defined nearest point.
Chosen: axes within about 8 degrees of one another have none."""
_FAR = 4.0
"""Distance to the nearest camera, over the median one, above which a camera is isolated. Chosen."""
_POINT = 1e-6
"""Distance over that from the origin below which all cameras are at one place."""


def check_coverage(views: Sequence[View]) -> Evidence:
    """Check the number of views, their range of directions around the scene's centre, and isolated cameras.

    The centre is that of ``scene_center``; without one, directions are not checked.
    """
    figures: dict[str, float | None] = {"views": float(len(views))}
    findings = _few_views(views)
    if len(views) < 2:
        return Evidence(tuple(findings), figures)
    eyes = np.array([view.T_world_cam[:3, 3] for view in views])
    if np.ptp(eyes, axis=0).max() <= _POINT * max(1.0, float(np.abs(eyes).max())):
        message = "all cameras are at the same place: record a pose for each image, from different places"
        findings.append(Finding("error", "one_place", message))
        return Evidence(tuple(findings), figures)
    center = scene_center(views)
    if center is not None:
        spread, seeing = _widest(eyes - center), _seen(views, center)
        figures |= {"spread_deg": spread, "center_seen": float(seeing.mean())}
        findings += [*_directions(views, spread), *_unseen_center(views, seeing)]
    findings += _isolated(views, eyes)
    fine = None if findings else f"{len(views)} views around the scene"
    return Evidence(tuple(findings), figures, fine)


def scene_center(views: Sequence[View]) -> Float[np.ndarray, " 3"] | None:
    """Return the point nearest to all optical axes or, if they are parallel, the median measured point."""
    eyes = np.array([view.T_world_cam[:3, 3] for view in views])
    axes = np.array([view.T_world_cam[:3, 2] for view in views])
    matrix, right = line_intersection_equations(eyes, axes)
    if np.linalg.eigvalsh(matrix)[0] > _PARALLEL:
        center = np.linalg.solve(matrix, right)
        if (((center - eyes) * axes).sum(axis=1) > 0).mean() > 0.5:
            return center
    places = []
    for view, eye, axis in zip(views, eyes, axes, strict=True):
        if view.depth is not None and (view.depth > 0).any():
            places.append(eye + float(np.median(view.depth[view.depth > 0])) * axis)
    return np.median(places, axis=0) if places else None


def _few_views(views: Sequence[View]) -> list[Finding]:
    n = len(views)
    if n < 2:
        message = "there is only one view: take 10 or more from around the scene"
        return [Finding("error", "too_few_views", message, value=1.0)]
    if n < _FEW:
        message = f"there are only {n} views, too few to outvote wrong answers: take 10 or more"
        return [Finding("warning", "too_few_views", message, value=float(n))]
    if n < _MANY:
        message = f"there are {n} views: 10 or more from around the scene localise more reliably"
        return [Finding("remark", "few_views", message, value=float(n))]
    return []


def _directions(views: Sequence[View], spread: float) -> list[Finding]:
    if spread >= _SPREAD[1]:
        return []
    uncertain = " and distances uncertain" if any(view.depth is None for view in views) else ""
    message = (
        f"all views are within {spread:.0f}° of one another around the scene, so that other sides are "
        f"unseen{uncertain}: record from a wider range"
    )
    severity = "warning" if spread < _SPREAD[0] else "remark"
    return [Finding(severity, "narrow", message, value=spread)]


def _unseen_center(views: Sequence[View], seeing: Bool[np.ndarray, " n"]) -> list[Finding]:
    share = float(seeing.mean())
    if share < _SEEN:
        message = (
            f"only {100 * share:.0f} % of the views see their common centre: keep the objects of interest in "
            "every image"
        )
        return [Finding("warning", "center_unseen", message, value=share)]
    message = "the common centre of the other views is outside the image: these views contribute little"
    return flag(views, ~seeing, "remark", "faces_away", message, share)


def _seen(views: Sequence[View], center: Float[np.ndarray, " 3"]) -> Bool[np.ndarray, " n"]:
    seen = []
    for view in views:
        pixels, depth = project(view.camera, view.T_world_cam, center[None])
        seen.append(bool(depth[0] > 0 and inside(view.camera, pixels)[0]))
    return np.array(seen)


def _widest(directions: Float[np.ndarray, "n 3"]) -> float:
    """Return the largest angle between two directions, degrees."""
    unit = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    return float(np.degrees(np.arccos(np.clip((unit @ unit.T).min(), -1.0, 1.0))))


def _isolated(views: Sequence[View], eyes: Float[np.ndarray, "n 3"]) -> list[Finding]:
    if len(views) < _FEW:
        return []
    distance = cdist(eyes, eyes)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.min(axis=1)
    usual = float(np.median(nearest))
    ratio = float(nearest.max() / max(usual, 1e-12))
    message = (
        f"up to {ratio:.0f} times as far from the nearest camera as usual: check the pose, or add views "
        "between"
    )
    return flag(views, (nearest > _FAR * usual) & (usual > 0), "remark", "lonely", message, ratio)
