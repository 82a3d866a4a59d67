"""Estimation of the depth camera's focal length, axis and position relative to the colour camera.

The score of a parameter vector (m, x, y, b_x, b_y, b_z), i.e. zoom, axis and baseline, is the mean smoothed
edge strength at the moved borders of depth: with d = 1/z - 1/z0, a border pixel (u, v) with depth z moves to

    u' = cx + (m (u - cx) + fx (x + b_x d)) / (1 + b_z d)

and v' likewise. 1/z0 is the median inverse depth, which decorrelates zoom, axis and baseline. Powell's method
maximises the score without b_z from several baselines, coarse to fine, and odd and even views cross-validate
the result. The method of Nelder and Mead then refines all six for all views.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import cv2
import numpy as np
from jaxtyping import Float, Float32
from scipy.optimize import minimize

from point2act.calibration.checks.depth_edges import border_points, edges, smooth
from point2act.calibration.checks.registration import Registration
from point2act.core.geometry import transform
from point2act.core.types import Camera, View
from point2act.data.importers.calibration import DepthCamera, DistortedCamera
from point2act.data.importers.depth_registration import register_depth

_VIEWS = 30
"""Maximum number of evenly selected views. Chosen, for speed."""
_COARSE, _FINE, _FINEST = 0.006, 0.0025, 0.0015
"""Smoothings of the edges over the longer side, for search, refinement and the last steps with all views.
Chosen: 4, 1.6 and 1 px of 640."""
_BASELINES = (-0.03, -0.015, 0.0, 0.015, 0.03)
"""Initial baselines along x and y, metres. Chosen: depth cameras are 1 to 6 cm from their colour camera."""
_STARTS = 8
"""Number of the 25 initial baselines that are optimised, by score. Chosen: on a real shelf the third or
fourth is the first to reach the optimum."""
_STEP = np.array([0.02, 0.01, 0.01, 0.01, 0.01, 0.004])
"""Expected errors of the six parameters; the search range is three times that. Chosen."""
_AGREE = 0.005
"""Largest difference between the results of odd and even views, over the longer side. Chosen: 3 px of 640;
measured: 0.9 px on a real shelf, below 0.5 px on simulated tables."""
_GAIN = 1.1
"""Smallest ratio of the scores after and before, in views that were not fitted. Chosen."""


@dataclass(frozen=True)
class DepthExtrinsics:
    """Intrinsics and position of a depth camera that was taken for the colour camera, with parallel axes."""

    zoom: float
    """Focal length of the colour camera over that of the depth camera."""
    axis_shift: tuple[float, float]
    """Shift of distant depth to the right and down, as tangents of angles."""
    offset: tuple[float, float, float]
    """Position of the depth camera to the right of the colour camera, below it and before it, metres."""
    before: float
    """Mean edge strength at the borders of depth as given, standard deviations."""
    after: float
    """Mean edge strength at the borders of the registered depth, standard deviations."""

    def depth_camera(self, camera: Camera) -> DepthCamera:
        """Return the depth camera that belongs to a colour camera."""
        fx, fy = camera.fx / self.zoom, camera.fy / self.zoom
        cx, cy = camera.cx - self.axis_shift[0] * fx, camera.cy - self.axis_shift[1] * fy
        depth_camera = DistortedCamera(replace(camera, fx=fx, fy=fy, cx=cx, cy=cy))
        return DepthCamera(depth_camera, transform(np.eye(3), self.offset))

    def registered(self, view: View) -> View:
        """Return the view with its depth registered to the colour camera."""
        if view.depth is None:
            return view
        return replace(view, depth=register_depth(view.depth, self.depth_camera(view.camera), view.camera))


def estimate_depth_extrinsics(views: Sequence[View], start: Registration) -> DepthExtrinsics | None:
    """Estimate the depth camera with which borders of depth lie on image edges.

    Args:
        views: Undistorted RGB-D views of one size.
        start: A certain registration of them.

    Returns:
        Zoom, axis and baseline of the depth camera, without rotation; None if odd and even views disagree, or
        if it is not clearly better in the half that it was not fitted to.
    """
    views = [view for view in views if view.depth is not None]
    views = views[:: math.ceil(len(views) / _VIEWS)]
    maps = [_edge_maps(view) for view in views]
    inverse = _median_inverse_depth(maps)
    halves = [list(chain(*half)) for half in (maps[::2], maps[1::2])]
    even, odd = (_Evidence.of(half, _FINE, inverse) for half in halves)
    initial = _initial(start, views[0])
    found = [
        _search(_Evidence.of(half, _COARSE, inverse), fine, initial)
        for half, fine in zip(halves, (even, odd), strict=True)
    ]
    side = max(views[0].rgb.shape[:2])
    if _difference(found[0], found[1], views[0].camera, inverse) > _AGREE * side:
        return None
    identity = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    others = (odd.score(found[0]) + even.score(found[1])) / 2
    if others < _GAIN * max(0.0, (odd.score(identity) + even.score(identity)) / 2):
        return None
    every = _Evidence.of(list(chain(*halves)), _FINEST, inverse)
    best, after = _refined(every, (found[0] + found[1]) / 2)
    # At infinity, where the baseline has no effect.
    zoom, x, y, right, down, ahead = (best / (1 - best[5] * inverse)).tolist()
    axis_shift = x - right * inverse, y - down * inverse
    return DepthExtrinsics(zoom, axis_shift, (right, down, ahead), every.score(identity), after)


def _initial(start: Registration, view: View) -> Float[np.ndarray, " 6"]:
    """Return the parameters of a registration, whose zoom is about the image centre."""
    camera = view.camera
    x = (start.zoom - 1) * (camera.cx - camera.width / 2) + start.x
    y = (start.zoom - 1) * (camera.cy - camera.height / 2) + start.y
    return np.array([start.zoom, x / camera.fx, y / camera.fy, 0.0, 0.0, 0.0])


@dataclass(frozen=True, eq=False)
class _EdgeMap:
    """Image edges and depth borders of one view, horizontal or vertical."""

    camera: Camera
    edges: Float32[np.ndarray, "h w"]
    borders: Float[np.ndarray, "n 3"]
    """Pixels and depths."""


@dataclass(frozen=True, eq=False)
class _Evidence:
    """Borders of depth and smoothed image edges of several views."""

    maps: tuple[_EdgeMap, ...]
    inverse: float
    """Inverse depth at which the baseline has no effect."""

    @staticmethod
    def of(maps: Sequence[_EdgeMap], blur: float, inverse: float) -> _Evidence:
        return _Evidence(tuple(replace(each, edges=_smoothed(each.edges, blur)) for each in maps), inverse)

    def score(self, parameters: Float[np.ndarray, " 6"]) -> float:
        """Return the mean edge strength at the borders, moved by zoom, axis and baseline."""
        zoom, x, y, right, down, ahead = parameters
        total, count = 0.0, 0
        for each in self.maps:
            camera, (x_in, y_in, z) = each.camera, each.borders.T
            nearer = 1 / z - self.inverse
            farther = 1 + ahead * nearer
            u = camera.cx + (zoom * (x_in - camera.cx) + camera.fx * (x + right * nearer)) / farther
            v = camera.cy + (zoom * (y_in - camera.cy) + camera.fy * (y + down * nearer)) / farther
            # OpenCV has pixel centres at integers.
            where = (u[None] - 0.5).astype(np.float32), (v[None] - 0.5).astype(np.float32)
            under = cv2.remap(each.edges, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
            total, count = total + float(under.sum()), count + len(z)
        return total / max(count, 1)


def _edge_maps(view: View) -> list[_EdgeMap]:
    """Return the unsmoothed edges and borders along x and along y."""
    assert view.depth is not None
    pairs = zip(edges(view), border_points(view.depth), strict=True)
    return [_EdgeMap(view.camera, edge, border) for edge, border in pairs]


def _median_inverse_depth(maps: Sequence[Sequence[_EdgeMap]]) -> float:
    """Return the median inverse depth of all borders."""
    depths = np.concatenate([each.borders[:, 2] for each in chain(*maps)])
    return float(np.median(1 / depths)) if len(depths) else 0.0


def _search(coarse: _Evidence, fine: _Evidence, initial: Float[np.ndarray, " 6"]) -> Float[np.ndarray, " 6"]:
    """Return the best parameters from several initial baselines, coarse to fine; b_z stays zero."""
    tried = [np.array([*initial[:3], right, down, 0.0]) for right in _BASELINES for down in _BASELINES]
    tried.sort(key=coarse.score, reverse=True)
    best = max((_maximised(coarse, parameters) for parameters in tried[:_STARTS]), key=lambda one: one[1])[0]
    return _maximised(fine, best)[0]


def _maximised(
    evidence: _Evidence, initial: Float[np.ndarray, " 6"]
) -> tuple[Float[np.ndarray, " 6"], float]:
    """Return the best first five parameters near initial ones, and their score, by Powell's method."""

    def loss(steps: Float[np.ndarray, " 5"]) -> float:
        return -evidence.score(initial + np.append(steps, 0.0) * _STEP)

    options = {"xtol": 1e-2, "ftol": 1e-5, "maxiter": 10}
    found = minimize(loss, np.zeros(5), method="Powell", bounds=[(-3, 3)] * 5, options=options)
    return initial + np.append(found.x, 0.0) * _STEP, -float(found.fun)


def _refined(evidence: _Evidence, initial: Float[np.ndarray, " 6"]) -> tuple[Float[np.ndarray, " 6"], float]:
    """Return the best of all six parameters near initial ones, and their score.

    The simplex of Nelder and Mead follows the narrow ridge on which zoom and b_z, or axis and baseline, make
    up for each other. It starts from the initial parameters and from the same with the cameras in one row, as
    in most depth cameras: between them the score has several optima.
    """
    smaller = 3 + int(abs(initial[3]) > abs(initial[4]))
    in_row = np.where(np.arange(6) == smaller, 0.0, initial)
    simplex = np.vstack([np.zeros(6), 0.5 * np.eye(6)])
    options = {"xatol": 1e-2, "fatol": 1e-5, "initial_simplex": simplex}
    tried = []
    for place in (initial, in_row):
        found = minimize(
            lambda steps, place=place: -evidence.score(place + steps * _STEP),
            np.zeros(6),
            method="Nelder-Mead",
            bounds=[(-3, 3)] * 6,
            options=options,
        )
        tried.append((place + found.x * _STEP, -float(found.fun)))
    return max(tried, key=lambda one: one[1])


def _difference(
    a: Float[np.ndarray, " 6"], b: Float[np.ndarray, " 6"], camera: Camera, inverse: float
) -> float:
    """Return the largest difference of two parameter vectors at an image corner, near and far, pixels."""
    corner = np.array([camera.width / camera.fx, camera.height / camera.fy]) / 2
    zoom, axis, baseline, ahead = a[0] - b[0], a[1:3] - b[1:3], a[3:5] - b[3:5], a[5] - b[5]
    shifts = [
        (zoom - ahead * near * inverse) * corner * sign + axis + baseline * near * inverse
        for sign in (-1, 1)
        for near in (-0.5, 0.5)
    ]
    return float(np.abs(np.array(shifts) * [camera.fx, camera.fy]).max())


def _smoothed(edge: Float32[np.ndarray, "h w"], blur: float) -> Float32[np.ndarray, "h w"]:
    """Return smoothed edges in standard deviations; ``blur`` is relative to the longer side."""
    smoothed = smooth(edge, blur * max(edge.shape))
    return smoothed / max(float(smoothed.std()), 1e-6)
