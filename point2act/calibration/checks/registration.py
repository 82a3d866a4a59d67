"""Registration of depth to colour: depth discontinuities against image edges, by cross-correlation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Complex64, Float, Float32
from scipy import fft

from point2act.calibration.checks.depth_edges import Channels, border_maps, detail, edges, smooth
from point2act.calibration.checks.findings import Evidence, Finding
from point2act.core.types import View

_MAX_SHIFT = 0.1
"""Largest shift searched, over the longer side. Chosen: 64 px of 640."""
_ZOOMS = np.geomspace(0.7, 1.4, 24)
"""Zoom factors of the depth that are tried if none of its shifts fits. Chosen: 3 % apart; a real capture
needs 0.77, and 4 % off that the fit is unclear."""
_ZOOM_SIDE = 320
"""Longer side, pixels, at which zoom factors are tried. Chosen, for speed."""
_ZOOM_VIEWS = 15
"""Maximum number of evenly selected views for zoom factors. Chosen, for speed."""
_CLEAR = 7.0
"""Smallest score of a certain registration, in standard deviations over all shifts. Measured: 28 to 38 on
simulated tables, 10 on a real shelf at the right zoom, 2 to 5 for depth and colour of different views."""
_AGREE = 2
"""Largest difference between the shifts of odd and even views, pixels. Chosen."""
_BLUR = 0.006
"""Smoothing of the correlation over the longer side: measured borders lie inside their surfaces by a pixel or
two on all sides. Chosen: twice that."""
_MIN_SHIFT = 2.0, 0.006
"""Shifts in pixels, and over the longer side, below which depth counts as registered. Measured: up to one
pixel on simulated tables, where the lower ends of objects are no borders."""
_ERROR = 0.02
"""Shift over the longer side above which there is an error. Chosen: 1 cm at half a metre."""


@dataclass(frozen=True)
class Registration:
    """Zoom about the image centre, and shift, that register depth to colour."""

    zoom: float
    """Magnification of the depth image."""
    x: int
    """Shift to the right, pixels of the given views."""
    y: int
    """Shift down, pixels of the given views."""
    clarity: float
    """Score of this shift, in standard deviations over all shifts."""
    disagreement: int
    """Difference between the shifts of odd and even views, pixels."""

    @property
    def sure(self) -> bool:
        """Whether the registration is certain."""
        return self.clarity >= _CLEAR and self.disagreement <= _AGREE

    def displacement(self, height: int, width: int) -> float:
        """Return the mean displacement over the image, pixels."""
        down, right = np.mgrid[:height, :width] - (np.array([height, width])[:, None, None] - 1) / 2
        step = self.zoom - 1
        return float(np.hypot(step * right + self.x, step * down + self.y).mean())


def check_registration(views: Sequence[View]) -> Evidence:
    """Check by which shift, or else zoom and shift, the borders of depth lie on image edges, over all views.

    A zoom is that of a depth camera with another focal length. There is no verdict if the best registration
    is not clear, or differs between odd and even views.
    """
    names = ("registration_x_px", "registration_y_px", "registration_zoom", "registration_px")
    height, width = views[0].rgb.shape[:2]
    views = [view for view in views if view.depth is not None and view.rgb.shape[:2] == (height, width)]
    if len(views) < 2:
        return Evidence(figures=dict.fromkeys(names))
    found = best_registration(views)
    figures = {"registration_clarity": found.clarity}
    if not found.sure:
        return Evidence(figures=figures | dict.fromkeys(names))
    off = found.displacement(height, width)
    figures |= dict(zip(names, (float(found.x), float(found.y), found.zoom, off), strict=True))
    if is_registered(found, views[0]):
        return Evidence(figures=figures, fine="depth is registered to colour")
    message = (
        f"depth and colour are not registered: depth is off by {off:.0f} px in images of {width}x{height} "
        f"and would fit {_correction(found)}: align depth to colour in the camera driver, or try --refine"
    )
    severity = "error" if off > _ERROR * max(height, width) else "warning"
    return Evidence((Finding(severity, "registration", message, value=off),), figures)


def is_registered(found: Registration, view: View) -> bool:
    """Return whether a registration is that of the view as it is, within the tolerance."""
    height, width = view.rgb.shape[:2]
    off = found.displacement(height, width) * (found.zoom != 1)
    return max(abs(found.x), abs(found.y), off) < max(_MIN_SHIFT[0], _MIN_SHIFT[1] * max(height, width))


def best_registration(views: Sequence[View]) -> Registration:
    """Return the best shift if it is certain, else the best zoom and shift."""
    plain = _registration([_spectra(view) for view in views], _all_borders(views), 1.0)
    if plain.sure:
        return plain
    views = views[:: math.ceil(len(views) / _ZOOM_VIEWS)]
    factor = max(1.0, max(views[0].rgb.shape[:2]) / _ZOOM_SIDE)
    small = [_reduced(view, factor) for view in views]
    spectra = [_spectra(view) for view in small]
    tried = [
        _registration(spectra, _all_borders([_zoomed(view, zoom) for view in small]), float(zoom))
        for zoom in _ZOOMS
    ]
    best = max(tried, key=lambda one: one.clarity * one.sure)
    if not best.sure:
        return plain
    return replace(best, x=round(factor * best.x), y=round(factor * best.y))


def _correction(found: Registration) -> str:
    x, y = found.x, found.y
    parts = [f"{found.zoom:.2f} times as large"] if found.zoom != 1 else []
    parts += [f"{abs(x)} px to the {'right' if x > 0 else 'left'}"] if x else []
    parts += [f"{abs(y)} px {'lower' if y > 0 else 'higher'}"] if y else []
    return " and ".join(parts)


def _all_borders(views: Sequence[View]) -> list[Channels]:
    return [border_maps(view.depth) for view in views if view.depth is not None]


def _registration(spectra: Sequence[_Spectra], borders: Sequence[Channels], zoom: float) -> Registration:
    fits = [one.fit(*channels) for one, channels in zip(spectra, borders, strict=True)]
    max_shift = (len(fits[0]) - 1) // 2
    even, odd, every = (np.mean(part, axis=0) for part in (fits[::2], fits[1::2], fits))
    middle = float(np.median(every))
    spread = 1.4826 * float(np.median(np.abs(every - middle)))
    places = [np.array(np.unravel_index(fit.argmax(), fit.shape)) for fit in (even, odd, every)]
    y, x = (places[2] - max_shift).tolist()
    clarity = (float(every.max()) - middle) / max(spread, 1e-12)
    return Registration(zoom, x, y, clarity, int(np.abs(places[0] - places[1]).max()))


@dataclass(frozen=True, eq=False)
class _Spectra:
    """Spectra of an image's edges, to be correlated with borders."""

    across: Complex64[np.ndarray, "p q"]
    along: Complex64[np.ndarray, "p q"]
    lengths: tuple[float, float]
    shape: tuple[int, int]
    """Padded size, so that shifts do not wrap around."""
    max_shift: int

    def fit(
        self, across: Float32[np.ndarray, "h w"], along: Float32[np.ndarray, "h w"]
    ) -> Float[np.ndarray, "s s"]:
        """Return the normalised correlation for all shifts of the borders, rows along y, columns along x."""
        product, length = np.zeros_like(self.across), 0.0
        for border, edge, size in zip((across, along), (self.across, self.along), self.lengths, strict=True):
            border = detail(border)
            product += np.conj(_spectrum(border, self.shape)) * edge
            length += float(np.linalg.norm(border)) * size
        correlation: Any = fft.irfft2(product, self.shape)
        every = np.roll(correlation, (self.max_shift, self.max_shift), axis=(0, 1))
        fits = every[: 2 * self.max_shift + 1, : 2 * self.max_shift + 1] / max(length, 1e-9)
        return smooth(fits, _BLUR / _MAX_SHIFT * self.max_shift).astype(float)


def _spectra(view: View) -> _Spectra:
    height, width = view.rgb.shape[:2]
    max_shift = max(3, int(_MAX_SHIFT * max(height, width)))
    rows, columns = (int(fft.next_fast_len(side + 2 * max_shift, True)) for side in (height, width))  # type: ignore
    found = edges(view)
    across, along = (_spectrum(edge, (rows, columns)) for edge in found)
    lengths = float(np.linalg.norm(found[0])), float(np.linalg.norm(found[1]))
    return _Spectra(across, along, lengths, (rows, columns), max_shift)


def _spectrum(image: Float32[np.ndarray, "h w"], shape: tuple[int, int]) -> Complex64[np.ndarray, "p q"]:
    """Return the spectrum of the zero-padded image, in single precision, which numpy has since version 2."""
    spectrum: Any = fft.rfft2(image, shape)
    return spectrum


def _reduced(view: View, factor: float) -> View:
    """Return a view with smaller images; its camera is left as it is."""
    import cv2

    if factor == 1.0:
        return view
    assert view.depth is not None
    size = round(view.rgb.shape[1] / factor), round(view.rgb.shape[0] / factor)
    mask = None if view.mask is None else _nearest(view.mask.astype(np.uint8), size) > 0
    rgb = np.asarray(cv2.resize(view.rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return replace(view, rgb=rgb, depth=_nearest(view.depth, size), mask=mask)


def _nearest(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)


def _zoomed(view: View, zoom: float) -> View:
    """Magnify depth about the image centre."""
    import cv2

    assert view.depth is not None
    height, width = view.depth.shape
    # OpenCV has the centre of the first pixel at zero.
    shift = [(1 - zoom) * (side / 2 - 0.5) for side in (width, height)]
    matrix = np.array([[zoom, 0.0, shift[0]], [0.0, zoom, shift[1]]])
    depth = cv2.warpAffine(view.depth, matrix, (width, height), flags=cv2.INTER_NEAREST)
    return replace(view, depth=np.asarray(depth, view.depth.dtype))
