"""Where the depth camera really is, beside the colour camera: borders of depth laid on edges of pictures.

A shift of the whole picture, which ``calibration.checks.registration`` finds, tells that something is wrong.
To mend it, the depth camera's focal length, its axis and its place are sought together, since what is nearer
is shifted by more.
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
from point2act.core.types import Camera, Lens, View
from point2act.data.importers.calibration import DepthCamera, DistortedCamera
from point2act.data.importers.depth_registration import register_depth

_VIEWS = 30
"""Views it is measured in at most, of all evenly. Chosen, for speed."""

_COARSE, _FINE = 0.006, 0.0025
"""Edges are smoothed by these shares of the longer side, first to be found and then to be met. Chosen: 4 and
1.6 px of 640."""

_BESIDE = (-0.03, -0.015, 0.0, 0.015, 0.03)
"""Metres by which the depth camera is first tried beside the colours, along x and along y. Chosen: depth
cameras on robots lie 1 to 6 cm from their colour camera."""

_STARTS = 8
"""So many of the 25 are followed. Chosen: on a real shelf the first to lead to the best place is the third or
the fourth."""

_STEP = np.array([0.02, 0.01, 0.01, 0.01, 0.01])
"""What is likely to be missing of the five numbers; three times that is sought. Chosen."""

_AGREE = 0.005
"""Share of the longer side by which what odd and even views want may differ. Chosen: 3 px of 640; measured:
0.9 px on a real shelf, below 0.5 px on simulated tables."""

_GAIN = 1.1
"""The depth must lie on the edges so many times as well as before, in views it was not fitted to. Chosen."""


@dataclass(frozen=True)
class DepthExtrinsics:
    """The depth camera that was taken for the colour camera; both look along parallel axes."""

    zoom: float
    """Focal length of the colours over its own."""
    axis_shift: tuple[float, float]
    """Where depth belongs beside where it is, far away: to the right and down, as tangents of angles."""
    offset: tuple[float, float]
    """Where it is, metres to the right of the colour camera and below it."""
    before: float
    after: float
    """How strong edges are under the borders of depth, in standard deviations, over all views."""

    def depth_camera(self, camera: Camera) -> DepthCamera:
        """The camera that depth of a view with this colour camera is from."""
        fx, fy = camera.fx / self.zoom, camera.fy / self.zoom
        cx, cy = camera.cx - self.axis_shift[0] * fx, camera.cy - self.axis_shift[1] * fy
        T_color_depth = np.eye(4)
        T_color_depth[:2, 3] = self.offset
        return DepthCamera(
            DistortedCamera(replace(camera, fx=fx, fy=fy, cx=cx, cy=cy), Lens()), T_color_depth
        )

    def registered(self, view: View) -> View:
        """The view with its depth as the colour camera sees it; views without depth are as they were."""
        if view.depth is None:
            return view
        return replace(view, depth=register_depth(view.depth, self.depth_camera(view.camera), view.camera))


def estimate_depth_extrinsics(views: Sequence[View], start: Registration) -> DepthExtrinsics | None:
    """The depth camera with which borders of depth lie on edges of the pictures, for RGB-D views of one size.

    Five numbers: size, axis (two) and place (two) of the depth camera; it is taken to look along the colour
    camera's axis, unrolled. ``start`` is a registration that is sure. None where odd and even views want
    different ones, or where it is not clearly better in the half it was not fitted to.
    """
    views = [view for view in views if view.depth is not None]
    views = views[:: math.ceil(len(views) / _VIEWS)]
    looks = [_looks(view) for view in views]
    inverse = _inverse(looks)
    halves = [list(chain(*half)) for half in (looks[::2], looks[1::2])]
    even, odd = (_Evidence.of(half, _FINE, inverse) for half in halves)
    begun = _begun(start, views[0])
    found = [
        _sought(_Evidence.of(half, _COARSE, inverse), fine, begun)
        for half, fine in zip(halves, (even, odd), strict=True)
    ]
    side = max(views[0].rgb.shape[:2])
    if _apart(found[0], found[1], views[0].camera, inverse) > _AGREE * side:
        return None
    nothing = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
    others = (odd.score(found[0]) + even.score(found[1])) / 2
    if others < _GAIN * max(0.0, (odd.score(nothing) + even.score(nothing)) / 2):
        return None
    every = _Evidence((*even.looks, *odd.looks), inverse)
    best, after = _descended(every, (found[0] + found[1]) / 2)
    zoom, x, y, right, down = best.tolist()
    # Far away, where what is beside counts for nothing.
    tilt = x - right * inverse, y - down * inverse
    return DepthExtrinsics(zoom, tilt, (right, down), every.score(nothing), after)


def _begun(start: Registration, view: View) -> Float[np.ndarray, " 5"]:
    """The numbers of a registration, which is about the image's centre."""
    camera = view.camera
    x = (start.zoom - 1) * (camera.cx - camera.width / 2) + start.x
    y = (start.zoom - 1) * (camera.cy - camera.height / 2) + start.y
    return np.array([start.zoom, x / camera.fx, y / camera.fy, 0.0, 0.0])


@dataclass(frozen=True, eq=False)
class _Look:
    """One view, across or along."""

    camera: Camera
    edges: Float32[np.ndarray, "h w"]
    borders: Float[np.ndarray, "n 3"]
    """Pixels and depths."""


@dataclass(frozen=True, eq=False)
class _Evidence:
    """Borders of depth and smoothed edges of pictures, of several views."""

    looks: tuple[_Look, ...]
    inverse: float
    """One over the depth at which the place of the depth camera counts for nothing."""

    @staticmethod
    def of(looks: Sequence[_Look], blur: float, inverse: float) -> _Evidence:
        return _Evidence(tuple(replace(look, edges=_smoothed(look.edges, blur)) for look in looks), inverse)

    def score(self, numbers: Float[np.ndarray, " 5"]) -> float:
        """The mean of the edges under the borders, moved by zoom, axis and place."""
        zoom, x, y, right, down = numbers
        total, count = 0.0, 0
        for look in self.looks:
            camera, (x_in, y_in, z) = look.camera, look.borders.T
            nearer = 1 / z - self.inverse
            u = zoom * (x_in - camera.cx) + camera.cx + camera.fx * (x + right * nearer)
            v = zoom * (y_in - camera.cy) + camera.cy + camera.fy * (y + down * nearer)
            # cv2 puts pixel centres at whole numbers.
            where = (u[None] - 0.5).astype(np.float32), (v[None] - 0.5).astype(np.float32)
            under = cv2.remap(look.edges, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
            total, count = total + float(under.sum()), count + len(z)
        return total / max(count, 1)


def _looks(view: View) -> list[_Look]:
    """Across and along, as they are."""
    assert view.depth is not None
    pairs = zip(edges(view), border_points(view.depth), strict=True)
    return [_Look(view.camera, edge, border) for edge, border in pairs]


def _inverse(looks: Sequence[Sequence[_Look]]) -> float:
    """The median of one over the depth of all borders."""
    depths = np.concatenate([look.borders[:, 2] for look in chain(*looks)])
    return float(np.median(1 / depths)) if len(depths) else 0.0


def _sought(coarse: _Evidence, fine: _Evidence, begun: Float[np.ndarray, " 5"]) -> Float[np.ndarray, " 5"]:
    """The best numbers by evidence of the same views, from several places of the depth camera."""
    tried = [np.array([*begun[:3], right, down]) for right in _BESIDE for down in _BESIDE]
    tried.sort(key=coarse.score, reverse=True)
    best = max((_descended(coarse, numbers) for numbers in tried[:_STARTS]), key=lambda one: one[1])[0]
    return _descended(fine, best)[0]


def _descended(evidence: _Evidence, begun: Float[np.ndarray, " 5"]) -> tuple[Float[np.ndarray, " 5"], float]:
    """The best numbers near given ones, and their score (Powell's method, one number at a time)."""

    def worse(steps: Float[np.ndarray, " 5"]) -> float:
        return -evidence.score(begun + steps * _STEP)

    options = {"xtol": 1e-2, "ftol": 1e-5, "maxiter": 10}
    found = minimize(worse, np.zeros(5), method="Powell", bounds=[(-3, 3)] * 5, options=options)
    return begun + found.x * _STEP, -float(found.fun)


def _apart(a: Float[np.ndarray, " 5"], b: Float[np.ndarray, " 5"], camera: Camera, inverse: float) -> float:
    """Pixels between what two sets of numbers make of a corner of the image, the worst over near and far."""
    corner = np.array([camera.width / camera.fx, camera.height / camera.fy]) / 2
    zoom, axis, place = a[0] - b[0], a[1:3] - b[1:3], a[3:] - b[3:]
    ways = [zoom * corner * sign + axis + place * near * inverse for sign in (-1, 1) for near in (-0.5, 0.5)]
    return float(np.abs(np.array(ways) * [camera.fx, camera.fy]).max())


def _smoothed(edge: Float32[np.ndarray, "h w"], blur: float) -> Float32[np.ndarray, "h w"]:
    """Edges a little smoothed, in standard deviations; ``blur`` is a share of the longer side."""
    smoothed = smooth(edge, blur * max(edge.shape))
    return smoothed / max(float(smoothed.std()), 1e-6)
