"""Check of depth: missing readings, consistency between views, scale against triangulated features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from point2act.calibration.checks.epipolar import epipolar_distances
from point2act.calibration.checks.findings import Evidence, Finding, flag
from point2act.calibration.checks.matches import Matched, Pair
from point2act.calibration.poses.tracks import TrackConfig, near_pairs
from point2act.core.geometry import at_pixels, back_project, inside, project
from point2act.core.types import View

_EMPTY = 0.15
"""Fraction of pixels with a reading below which depth counts as missing. Chosen: 0.45 on a real shelf."""
_SAMPLES = 2000
"""Number of pixels per view that are projected into its neighbours, for an agreement to 1 %. Chosen."""
_PARTNERS = 6
"""Number of nearest views that a view is compared with. Chosen."""
_AGREES = 0.03
"""Relative difference below which depths agree. Chosen: a stereo camera's noise at two metres."""
_OWN = 0.6
"""Agreement of a view's depth over the capture's median below which it is wrong. Measured, on simulated
tables and a real shelf: 0.85 and above as captured, 0 to 0.52 with another view's depth."""
_ALL = 0.5
"""Fraction of agreeing pixels below which all depth is suspect. Measured: 0.66 to 0.97 as captured, also with
poses several pixels off."""
_MIN_COMMON = 50
"""Smallest number of common pixels or features to compare."""
_PARALLAX = np.deg2rad(3.0)
"""Smallest angle between the rays of a match that is triangulated. Chosen."""
_FITS = 2.0
"""Largest Sampson distance of a match that is triangulated, pixels. Chosen."""
_SCALE = 1.08, 1.3
"""Ratios of measured and triangulated distances for a warning and an error. Measured: 0.998 to 1.000 on
simulated tables, 1.06 on a real shelf whose depth is not registered."""
_TIGHT = 0.15
"""Median absolute deviation of the log ratios above which they are inconclusive. Chosen."""


def check_depths(
    views: Sequence[View], matched: Matched, *, poses_fit: bool, metric: bool = False
) -> Evidence:
    """Check the depth of each view against its neighbours', and the scale of depth against that of the poses.

    Occlusions make depth nearer than predicted, so a view is only wrong in comparison with the others.
    ``poses_fit`` states that the poses passed their check, ``metric`` that lengths are metres without depth.
    """
    known = [view for view in views if view.depth is not None]
    if not known:
        fix = "the scale is unknown and grasps need metres; record depth, or pass --metric"
        if metric:
            fix = "surfaces from images alone are rough, and grasps on them unreliable; record depth"
        message = f"there is no depth: {fix}"
        return Evidence((Finding("remark", "no_depth", message),), {"depth_readings": 0.0})
    readings = [_readings(view) for view in known]
    figures: dict[str, float | None] = {"depth_readings": float(np.median(readings))}
    empty = _empty(known, readings)
    ratio = depth_scale(views, matched)
    agreement = _agreement(known)
    figures |= {"depth_scale": ratio, "depth_agreement": _median(agreement)}
    scale = _wrong_scale(ratio, _median(agreement))
    own = [] if scale else _disagreeing(known, agreement, poses_fit=poses_fit)
    findings = (*empty, *scale, *own)
    settled = not findings and figures["depth_agreement"] is not None
    return Evidence(findings, figures, "depth agrees between views" if settled else None)


def _readings(view: View) -> float:
    assert view.depth is not None
    usable = view.depth > 0
    return float(usable.mean() if view.mask is None else usable[view.mask].mean() if view.mask.any() else 0.0)


def _empty(views: Sequence[View], readings: Sequence[float]) -> list[Finding]:
    empty = np.array(readings) < _EMPTY
    message = (
        f"depth has few readings, {100 * min(readings):.0f} % of the pixels at worst: check the sensor's "
        "range and exposure, and that the right files are named"
    )
    severity = "error" if empty.all() else "warning"
    return flag(views, empty, severity, "depth_empty", message, min(readings))


def depth_scale(views: Sequence[View], matched: Matched) -> float | None:
    """Return the median ratio of measured to triangulated distance over all matches; None if inconclusive."""
    logs = [np.zeros(0)]
    for pair in matched.pairs:
        a, b = views[pair.i], views[pair.j]
        if a.depth is not None and b.depth is not None:
            logs.append(_log_ratios(a, b, pair))
    every = np.concatenate(logs)
    if len(every) < _MIN_COMMON or np.median(np.abs(every - np.median(every))) > _TIGHT:
        return None
    return float(np.exp(np.median(every)))


def _log_ratios(a: View, b: View, pair: Pair) -> Float[np.ndarray, " m"]:
    """Return log ratios of the matches that fit the poses, have parallax, and have depth in both views.

    With rays p, q (unit depth) from the centres a, b, the depths s, t that minimise |a + s p - b - t q|^2
    solve s pp - t pq = p.(b - a), s pq - t qq = q.(b - a).
    """
    assert a.depth is not None
    assert b.depth is not None
    rays = [_rays(a, pair.pixels_i), _rays(b, pair.pixels_j)]
    cosine = (_unit(rays[0]) * _unit(rays[1])).sum(axis=1)
    base = b.T_world_cam[:3, 3] - a.T_world_cam[:3, 3]
    aa, bb, ab = ((p * q).sum(axis=1) for p, q in ((rays[0], rays[0]), (rays[1], rays[1]), rays))
    ta, tb = rays[0] @ base, rays[1] @ base
    span = np.maximum(aa * bb - ab**2, 1e-12)
    triangulated = np.stack([(bb * ta - ab * tb) / span, (ab * ta - aa * tb) / span])
    measured = np.stack([at_pixels(a.depth, pair.pixels_i), at_pixels(b.depth, pair.pixels_j)]).astype(float)
    good = (epipolar_distances(pair, a, b) < _FITS) & (cosine < np.cos(_PARALLAX))
    good &= (triangulated > 0).all(axis=0) & (measured > 0).all(axis=0)
    return np.log(measured[:, good] / triangulated[:, good]).mean(axis=0)


def _rays(view: View, pixels: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, "m 3"]:
    """Return world directions of unit depth."""
    points = back_project(view.camera, view.T_world_cam, pixels, np.ones(len(pixels)))
    return points - view.T_world_cam[:3, 3]


def _unit(rays: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "m 3"]:
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _agreement(views: Sequence[View]) -> Float[np.ndarray, " n"]:
    """Return the fraction of each view's pixels that agree, the upper quartile over its neighbours.

    The quartile allows for half of the neighbours being wrong.
    """
    shares: list[list[float]] = [[] for _ in views]
    for i, j in near_pairs(views, TrackConfig(partner_views=_PARTNERS)):
        for source, target in ((i, j), (j, i)):
            off = relative_errors(views[source], views[target])
            if len(off) >= _MIN_COMMON:
                share = float((np.abs(off) < _AGREES).mean())
                shares[i].append(share)
                shares[j].append(share)
    return np.array([np.quantile(found, 0.75) if found else np.nan for found in shares])


def relative_errors(a: View, b: View) -> Float[np.ndarray, " m"]:
    """Return measured over predicted depth, minus one, of evenly spaced pixels of ``a`` in ``b``."""
    assert a.depth is not None
    assert b.depth is not None
    height, width = a.depth.shape
    step = max(1, round(float(np.sqrt(height * width / _SAMPLES))))
    rows, columns = np.mgrid[step // 2 : height : step, step // 2 : width : step].reshape(2, -1)
    depth = a.depth[rows, columns].astype(float)
    usable = depth > 0 if a.mask is None else (depth > 0) & a.mask[rows, columns]
    pixels = np.stack([columns, rows], axis=1)[usable] + 0.5
    points = back_project(a.camera, a.T_world_cam, pixels, depth[usable])
    there, predicted = project(b.camera, b.T_world_cam, points)
    seen = inside(b.camera, there) & (predicted > 1e-6)
    measured, predicted = at_pixels(b.depth, there[seen]).astype(float), predicted[seen]
    return measured[measured > 0] / predicted[measured > 0] - 1.0


def _median(values: Float[np.ndarray, " n"]) -> float | None:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else None


def _wrong_scale(ratio: float | None, agreement: float | None) -> tuple[Finding, ...]:
    if ratio is None or max(ratio, 1 / ratio) < _SCALE[0]:
        return ()
    # Wrong poses disperse the ratios, but depth still agrees with depth.
    if max(ratio, 1 / ratio) < _SCALE[1]:
        if agreement is not None and agreement > _ALL:
            return ()
        message = (
            f"depth is {ratio:.2f} times that of the poses: check the units of both, and the camera's "
            "calibration"
        )
        return (Finding("warning", "depth_scale", message, value=ratio),)
    times = f"{ratio:.1f} times" if ratio > 1 else f"one {1 / ratio:.1f}th of"
    message = (
        f"depth is {times} that of the poses: set depth_unit_scale_factor to metres for one unit of the "
        "depth files, and write poses in metres"
    )
    return (Finding("error", "depth_scale", message, value=ratio),)


def _disagreeing(
    views: Sequence[View], agreement: Float[np.ndarray, " n"], *, poses_fit: bool
) -> list[Finding]:
    usual = _median(agreement)
    if usual is None:
        return []
    if usual < _ALL:
        blame = "depth" if poses_fit else "depth or poses"
        message = (
            f"only {100 * usual:.0f} % of the depth agrees with neighbouring views: check that {blame} "
            "and images belong together, and depth_unit_scale_factor"
        )
        return [Finding("error", "depth_disagrees", message, value=usual)]
    worst = float(np.nanmin(agreement))
    message = (
        f"depth disagrees with neighbouring views (agrees in {100 * worst:.0f} % of the pixels at worst, "
        f"usually in {100 * usual:.0f} %): check that it is this image's depth, and this image's pose"
    )
    return flag(views, agreement < _OWN * usual, "error", "depth_of_other_view", message, worst)
