"""Does the depth lie on the colours? Borders of near surfaces against edges of the picture, over shifts."""

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

_REACH = 0.1
"""Shifts are sought up to this share of the longer side. Chosen: 64 px of 640."""

_ZOOMS = np.geomspace(0.7, 1.4, 24)
"""Sizes of the depth that are tried where as it is it fits nowhere. Chosen: 3 % apart; a real capture was met
at 0.77, and 4 % beside that the fit is not clear any more."""

_ZOOM_SIDE = 320
"""Longer side at which they are tried, pixels. Chosen, for speed."""

_ZOOM_VIEWS = 15
"""Views with which they are tried at most, of all evenly. Chosen, for speed."""

_CLEAR = 7.0
"""How far the best shift must stand out from all, in standard deviations. Measured: 28 to 38 on simulated
tables, 10 on a real shelf at the size that fits, 2 to 5 where depth and colour are of different views."""

_AGREE = 2
"""Pixels by which the shifts of odd and of even views may differ. Chosen."""

_BLUR = 0.006
"""Fits are smoothed by this share of the longer side: borders lie within their surfaces by a pixel or two,
on all sides alike. Chosen: twice that."""

_LEAST = 2.0, 0.006
"""Shifts of fewer pixels, or of less than this share of the longer side, are not told. Measured: up to one
pixel on simulated tables, where the lower ends of things are no borders."""

_MUCH = 0.02
"""Share of the longer side from which a shift is an error. Chosen: 1 cm at half a metre."""


@dataclass(frozen=True)
class Registration:
    """Where the depth would fit the pictures: so many times as large about the image's centre, shifted."""

    zoom: float
    x: int
    y: int
    """Pixels to the right and down, of the views as given."""
    clarity: float
    """How far this stands out from other shifts, in standard deviations."""
    halves: int
    """Pixels by which odd and even views disagree."""

    @property
    def sure(self) -> bool:
        """Whether anything can be said."""
        return self.clarity >= _CLEAR and self.halves <= _AGREE

    def displacement(self, height: int, width: int) -> float:
        """Pixels that depth is off in the mean over the image."""
        down, right = np.mgrid[:height, :width] - (np.array([height, width])[:, None, None] - 1) / 2
        step = self.zoom - 1
        return float(np.hypot(step * right + self.x, step * down + self.y).mean())


def check_registration(views: Sequence[View]) -> Evidence:
    """The shift of the depth, in pixels, that lays its borders on the pictures' edges, over all views.

    Where none does, depth of another size is tried, as of a depth camera with another focal length. No
    verdict where nothing stands out, or where odd and even views want different shifts.
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
    if lies_on_colours(found, views[0]):
        return Evidence(figures=figures, fine="depth lies on the colours")
    message = (
        f"depth and colour are not registered: depth is off by {off:.0f} px in images of {width}x{height} "
        f"and would fit {_way(found)}: have the camera's driver align depth to colour, or try --refine"
    )
    severity = "error" if off > _MUCH * max(height, width) else "warning"
    return Evidence((Finding(severity, "registration", message, value=off),), figures)


def lies_on_colours(found: Registration, view: View) -> bool:
    """Whether a registration of such views is no other than the one they have."""
    height, width = view.rgb.shape[:2]
    off = found.displacement(height, width) * (found.zoom != 1)
    return max(abs(found.x), abs(found.y), off) < max(_LEAST[0], _LEAST[1] * max(height, width))


def best_registration(views: Sequence[View]) -> Registration:
    """Where depth fits best: as large as it is if it does so clearly, else at the size where it fits best."""
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


def _way(found: Registration) -> str:
    x, y = found.x, found.y
    parts = [f"{found.zoom:.2f} times as large"] if found.zoom != 1 else []
    parts += [f"{abs(x)} px to the {'right' if x > 0 else 'left'}"] if x else []
    parts += [f"{abs(y)} px {'lower' if y > 0 else 'higher'}"] if y else []
    return " and ".join(parts)


def _all_borders(views: Sequence[View]) -> list[Channels]:
    return [border_maps(view.depth) for view in views if view.depth is not None]


def _registration(spectra: Sequence[_Spectra], borders: Sequence[Channels], zoom: float) -> Registration:
    fits = [one.fit(*channels) for one, channels in zip(spectra, borders, strict=True)]
    reach = (len(fits[0]) - 1) // 2
    even, odd, every = (np.mean(part, axis=0) for part in (fits[::2], fits[1::2], fits))
    middle = float(np.median(every))
    spread = 1.4826 * float(np.median(np.abs(every - middle)))
    places = [np.array(np.unravel_index(fit.argmax(), fit.shape)) for fit in (even, odd, every)]
    y, x = (places[2] - reach).tolist()
    clarity = (float(every.max()) - middle) / max(spread, 1e-12)
    return Registration(zoom, x, y, clarity, int(np.abs(places[0] - places[1]).max()))


@dataclass(frozen=True, eq=False)
class _Spectra:
    """Edges of a picture, ready to be compared with borders."""

    across: Complex64[np.ndarray, "p q"]
    along: Complex64[np.ndarray, "p q"]
    lengths: tuple[float, float]
    shape: tuple[int, int]
    """Padded, so that shifts do not wrap around."""
    reach: int

    def fit(
        self, across: Float32[np.ndarray, "h w"], along: Float32[np.ndarray, "h w"]
    ) -> Float[np.ndarray, "s s"]:
        """Normalised correlation for all shifts of the borders, rows along y, columns along x."""
        product, length = np.zeros_like(self.across), 0.0
        for border, edge, size in zip((across, along), (self.across, self.along), self.lengths, strict=True):
            border = detail(border)
            product += np.conj(_spectrum(border, self.shape)) * edge
            length += float(np.linalg.norm(border)) * size
        correlation: Any = fft.irfft2(product, self.shape)
        every = np.roll(correlation, (self.reach, self.reach), axis=(0, 1))
        fits = every[: 2 * self.reach + 1, : 2 * self.reach + 1] / max(length, 1e-9)
        return smooth(fits, _BLUR / _REACH * self.reach).astype(float)


def _spectra(view: View) -> _Spectra:
    height, width = view.rgb.shape[:2]
    reach = max(3, int(_REACH * max(height, width)))
    rows, columns = (int(fft.next_fast_len(side + 2 * reach, True)) for side in (height, width))  # type: ignore
    found = edges(view)
    across, along = (_spectrum(edge, (rows, columns)) for edge in found)
    lengths = float(np.linalg.norm(found[0])), float(np.linalg.norm(found[1]))
    return _Spectra(across, along, lengths, (rows, columns), reach)


def _spectrum(image: Float32[np.ndarray, "h w"], shape: tuple[int, int]) -> Complex64[np.ndarray, "p q"]:
    """Of the image padded with zeros; single precision, which numpy's has only since version 2."""
    spectrum: Any = fft.rfft2(image, shape)
    return spectrum


def _reduced(view: View, factor: float) -> View:
    """A smaller view; only its pixels count here, not its camera."""
    import cv2

    if factor == 1.0:
        return view
    assert view.depth is not None
    size = round(view.rgb.shape[1] / factor), round(view.rgb.shape[0] / factor)
    mask = None if view.mask is None else _nearest(view.mask.astype(np.uint8), size) > 0
    rgb = cv2.resize(view.rgb, size, interpolation=cv2.INTER_AREA)
    return replace(view, rgb=rgb, depth=_nearest(view.depth, size), mask=mask)


def _nearest(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)


def _zoomed(view: View, zoom: float) -> View:
    """Depth so many times as large about the image's centre."""
    import cv2

    assert view.depth is not None
    height, width = view.depth.shape
    # cv2 puts the centre of the first pixel at zero.
    shift = [(1 - zoom) * (side / 2 - 0.5) for side in (width, height)]
    matrix = np.array([[zoom, 0.0, shift[0]], [0.0, zoom, shift[1]]])
    return replace(view, depth=cv2.warpAffine(view.depth, matrix, (width, height), flags=cv2.INTER_NEAREST))
