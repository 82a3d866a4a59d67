"""Pictures of maps: heatmaps, depth, relevancy."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real, UInt8

from point2act.visualization.drawing.canvas import Canvas

_NO_READING = (44, 47, 54)


def colorize(values: Float[np.ndarray, "h w"], colormap: str = "viridis") -> UInt8[np.ndarray, "h w 3"]:
    """Colour values in [0, 1] with a colour map of matplotlib; values outside are clipped."""
    from matplotlib import colormaps

    return colormaps[colormap](np.clip(values, 0.0, 1.0), bytes=True)[..., :3].copy()


def heat_overlay(
    rgb: UInt8[np.ndarray, "h w 3"], heat: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Overlay a heatmap in [0, 1] on a photograph: higher values are more opaque, 0 is transparent."""
    heat = np.clip(heat, 0.0, 1.0)
    # The dark lower third of the map would look like a shadow on the photograph.
    return _blend(rgb, colorize(0.35 + 0.6 * heat, "inferno"), 0.85 * heat)


def relevancy_picture(
    rgb: UInt8[np.ndarray, "h w 3"], relevancy: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Show relevancy in [0, 1] in colour on a dim grey copy of the photograph, with a scale."""
    picture = _blend(dim_grey(rgb).astype(np.uint8), *relevancy_layer(np.clip(relevancy, 0.0, 1.0)))
    return _with_scale(picture, "viridis", "0", "1")


def dim_grey(rgb: Real[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Return colours as a dim grey, the background of ``relevancy_layer``."""
    grey = 0.45 * (rgb @ np.array([0.299, 0.587, 0.114]))  # luma of ITU-R BT.601
    return np.repeat(grey[..., None], 3, axis=-1)


def relevancy_layer(
    relevancy: Float[np.ndarray, "h w"],
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """Return the colours of relevancies in [0, 1], and their opacities."""
    # Opacity rises fast, so that small relevancies are visible.
    return colorize(0.15 + 0.85 * relevancy), 1.0 - (1.0 - relevancy) ** 3


def depth_picture(depth: Float[np.ndarray, "h w"], *, unit: str = "m") -> UInt8[np.ndarray, "h w 3"]:
    """Colour z-depths from near red to far blue, with a scale; pixels without a reading (0) are grey.

    The scale spans the 2nd to the 98th percentile, so that outliers do not flatten the rest.
    """
    seen = np.isfinite(depth) & (depth > 0)
    picture = np.full((*depth.shape, 3), _NO_READING, dtype=np.uint8)
    if not seen.any():
        return picture
    near, far = np.percentile(depth[seen], [2, 98])
    nearness = 1.0 - (depth - near) / max(float(far - near), 1e-9)
    # Without turbo's dark ends, which look like shadow or missing readings.
    picture[seen] = colorize(0.08 + 0.84 * np.clip(nearness, 0.0, 1.0), "turbo")[seen]
    return _with_scale(picture, "turbo_r", f"{near:.2f} {unit}", f"{far:.2f} {unit}")


def _blend(
    under: UInt8[np.ndarray, "h w 3"], over: UInt8[np.ndarray, "h w 3"], alpha: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    mixed = under + (over.astype(float) - under) * alpha[..., None]
    return np.round(mixed).astype(np.uint8)


def _with_scale(
    picture: UInt8[np.ndarray, "h w 3"], colormap: str, low: str, high: str
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a colour scale into the lower left corner; tiny pictures get none."""
    height, width = picture.shape[:2]
    if width < 120 or height < 60:
        return picture
    margin, size = round(0.025 * width) + 2, max(10.0, width / 20)
    # Long enough for both numbers.
    long = min(max(round(0.4 * width), round(0.62 * size * len(low + high))), width - 2 * margin)
    thick = max(4, round(0.025 * width))
    top = height - margin - thick
    bar = colorize(np.broadcast_to(np.linspace(0.08, 0.92, long), (thick, long)), colormap)
    canvas = Canvas(picture)
    frame = np.array([[-1, -1], [long + 1, -1], [long + 1, thick + 1], [-1, thick + 1]])
    canvas.polygon(frame + np.array([margin, top], dtype=float), (255, 255, 255))
    for x, text, anchor in ((margin, low, "ls"), (margin + long, high, "rs")):
        canvas.text(np.array([x, top - 0.35 * size]), text, (255, 255, 255), size=size, anchor=anchor)
    picture = canvas.merged()
    picture[top : top + thick, margin : margin + long] = bar
    return picture
