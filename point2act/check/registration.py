"""Does the depth lie on the colours? Borders of near surfaces against edges of the picture, over shifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from point2act.check.findings import Evidence, Finding
from point2act.types import View

_REACH = 0.1
"""Shifts are sought up to this share of the longer side. Chosen: 64 px of 640, and 49 px were met."""

_JUMP = 0.04
"""Depths that differ by more than this share belong to two surfaces. Chosen."""

_HOLE = 0.025
"""Holes up to this share of the longer side are looked across: sensors have none beside a border. Chosen:
16 px of 640 on a real stereo camera."""

_LEVEL = 0.025
"""Detail coarser than this share of the longer side is taken away, so that where things are does not count.
Chosen."""

_CLEAR = 9.0
"""How far the best shift must stand out from all, in standard deviations. Measured: 33 to 48 on simulated
tables, 3 to 5 where depth and colour are of different views."""

_AGREE = 2
"""Pixels by which the shifts of odd and of even views may differ. Chosen."""

_BLUR = 0.006
"""Fits are smoothed by this share of the longer side: borders lie within their surfaces by a pixel or two,
on all sides alike. Chosen: twice that."""

_LEAST = 2, 0.006
"""Shifts of fewer pixels, or of less than this share of the longer side, are not told. Measured: up to one
pixel on simulated tables, where the lower ends of things are no borders."""

_MUCH = 0.02
"""Share of the longer side from which a shift is an error. Chosen: 1 cm at half a metre."""


@dataclass(frozen=True, eq=False)
class _Surface:
    """How well depth borders and edges fit for each shift of the depth."""

    fit: Float[np.ndarray, "s s"]
    reach: int

    @property
    def shift(self) -> tuple[int, int]:
        """The best, pixels along x and y."""
        row, column = np.unravel_index(self.fit.argmax(), self.fit.shape)
        return int(column) - self.reach, int(row) - self.reach

    @property
    def clarity(self) -> float:
        """How far the best stands out, in robust standard deviations."""
        middle = float(np.median(self.fit))
        spread = 1.4826 * float(np.median(np.abs(self.fit - middle)))
        return (float(self.fit.max()) - middle) / max(spread, 1e-12)


def check_registration(views: Sequence[View]) -> Evidence:
    """The shift of the depth, in pixels, that lays its borders on the pictures' edges, over all views.

    No verdict where no shift stands out, or where odd and even views want different ones.
    """
    size = views[0].rgb.shape
    views = [view for view in views if view.depth is not None and view.rgb.shape == size]
    if len(views) < 2:
        return Evidence(figures={"registration_x_px": None, "registration_y_px": None})
    fits = [_fit(view) for view in views]
    reach = (fits[0].shape[0] - 1) // 2
    even, odd, every = (_Surface(np.mean(part, axis=0), reach) for part in (fits[::2], fits[1::2], fits))
    x, y = every.shift
    apart = max(abs(a - b) for a, b in zip(even.shift, odd.shift, strict=True))
    figures = {"registration_clarity": every.clarity}
    if every.clarity < _CLEAR or apart > _AGREE:
        return Evidence(figures=figures | {"registration_x_px": None, "registration_y_px": None})
    figures |= {"registration_x_px": float(x), "registration_y_px": float(y)}
    length = float(np.hypot(x, y))
    if max(abs(x), abs(y)) < max(_LEAST[0], _LEAST[1] * max(size)):
        return Evidence(figures=figures, fine="depth lies on the colours")
    message = (
        f"depth and colour are not registered: depth fits the pictures {_way(x, y)} of where it is (in "
        f"images of {size[1]}x{size[0]} pixels): have the camera's driver align depth to colour"
    )
    severity = "error" if length > _MUCH * max(size) else "warning"
    return Evidence((Finding(severity, "registration", message, value=length),), figures)


def _way(x: int, y: int) -> str:
    parts = [f"{abs(x)} px {'right' if x > 0 else 'left'}"] if x else []
    parts += [f"{abs(y)} px {'below' if y > 0 else 'above'}"] if y else []
    return " and ".join(parts)


def _fit(view: View) -> Float[np.ndarray, "s s"]:
    """Normalised correlation of borders and edges for shifts of the depth, rows along y, columns along x."""
    side = max(view.rgb.shape[:2])
    reach, level = int(_REACH * side), _LEVEL * side
    total = np.zeros((2 * reach + 1, 2 * reach + 1))
    lengths = 0.0
    for border, edge in zip(_borders(view), _edges(view, level), strict=True):
        border, edge = (image - _smooth(image, level) for image in (border, edge))
        shape = border.shape[0] + 2 * reach, border.shape[1] + 2 * reach
        spectrum = np.conj(np.fft.rfft2(border, shape)) * np.fft.rfft2(edge, shape)
        shifted = np.roll(np.fft.irfft2(spectrum, shape), (reach, reach), axis=(0, 1))
        total += shifted[: 2 * reach + 1, : 2 * reach + 1]
        lengths += float(np.linalg.norm(border) * np.linalg.norm(edge))
    return _smooth(total / max(lengths, 1e-9), _BLUR * side)


def _borders(view: View) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """Where a surface ends before a farther one: to the left or right of it; above or below it."""
    assert view.depth is not None
    hole = max(1, round(_HOLE * max(view.depth.shape)))
    across = np.zeros(view.depth.shape, np.float32)
    along = np.zeros(view.depth.shape, np.float32)
    for turned, borders in ((view.depth, across), (view.depth.T, along.T)):
        for depth, target in ((turned, borders), (turned[:, ::-1], borders[:, ::-1])):
            beyond = _next_reading(depth, hole)
            last = (depth > 0) & (beyond > (1 + _JUMP) * depth)
            target[last] = 1.0
            # The border lies between the last pixel of the surface and the next.
            target[:, 1:][last[:, :-1]] = 1.0
    return across, along


def _next_reading(depth: Float[np.ndarray, "h w"], hole: int) -> Float[np.ndarray, "h w"]:
    """The first reading to the right of each pixel, 0 where there is none within so many pixels."""
    found = np.zeros_like(depth)
    for step in range(1, hole + 1):
        ahead = np.zeros_like(depth)
        ahead[:, :-step] = depth[:, step:]
        found = np.where(found > 0, found, ahead)
    return found


def _edges(view: View, level: float) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """Slopes of the picture along x and along y, as shares of those around, none where it is masked."""
    import cv2

    grey = _smooth(cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), 1.0)
    slopes = [np.abs(cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx)) for dx in (1, 0)]
    # 4 grey levels: noise is no edge. Capped, so that one glaring edge does not outweigh all others.
    around = _smooth(slopes[0] + slopes[1], level) + 4.0
    x, y = (np.minimum(slope / around, 4.0).astype(np.float32) for slope in slopes)
    if view.mask is None:
        return x, y
    return np.where(view.mask, x, np.float32(0)), np.where(view.mask, y, np.float32(0))


def _smooth(image: Float[np.ndarray, "h w"], sigma: float) -> Float[np.ndarray, "h w"]:
    import cv2

    return cv2.GaussianBlur(image, (0, 0), sigma)
