"""Depth images: cleaning, and the readings near a point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from point2act.core.errors import SceneError
from point2act.core.types import DepthImages, View

FLYING_PIXEL_JUMP = 0.02
"""Jump in depth, as a fraction of it, of pixels that are mixtures of front and back."""
# A real surface would have to be seen at 80 degrees.


def clean_depths(
    views: Sequence[View], depths: DepthImages, *, jump: float = FLYING_PIXEL_JUMP
) -> list[Float[np.ndarray, "_h _w"]]:
    """Check depth images, and clear masked, non-finite and flying pixels.

    ``jump`` is that of ``flying_pixels``.

    Raises:
        SceneError: Views and depths do not match.
    """
    if len(views) != len(depths):
        raise SceneError(f"{len(depths)} depth images for {len(views)} views: give one for each view")
    clean = []
    for view, depth in zip(views, depths, strict=True):
        if depth.shape != (view.camera.height, view.camera.width):
            raise SceneError(
                f"the depth image of {view.name} is {depth.shape[1]}x{depth.shape[0]}, its view "
                f"{view.camera.width}x{view.camera.height}: resize the depth with the view"
            )
        usable = np.isfinite(depth) & (depth > 0)
        usable &= True if view.mask is None else view.mask
        usable &= ~flying_pixels(np.where(usable, depth, 0.0), jump)
        clean.append(np.where(usable, depth, 0.0).astype(np.float32))
    return clean


def flying_pixels(depth: Float[np.ndarray, "h w"], jump: float) -> Bool[np.ndarray, "h w"]:
    """Return pixels between a nearer and a farther neighbour, a jump away from both, along x or along y.

    The jump is a fraction of the pixel's depth. Sharp edges stay: their pixels have a jump on one side only.
    """
    flying = np.zeros(depth.shape, bool)
    for lines, marks in ((depth, flying), (depth.T, flying.T)):
        step = np.diff(lines, axis=0)
        limit = jump * lines[1:-1]
        marks[1:-1] |= (step[:-1] * step[1:] > 0) & (np.abs(step[:-1]) > limit) & (np.abs(step[1:]) > limit)
    return flying & (depth > 0)


def readings_near(
    view: View, depth: Float[np.ndarray, "h w"], center: Float[np.ndarray, "3"], radius: float
) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, " n"]]:
    """Return the readings within a radius of a point, and their pixels.

    Args:
        view: The view.
        depth: Its z-depth, metres; 0 for none.
        center: World.
        radius: Metres.

    Returns:
        World points, and the index of each one's pixel, row by row.
    """
    camera, to_center = view.camera, view.T_world_cam[:3, 3] - center
    # Points in the sphere have depths in this range, which is tested before anything is projected.
    middle = -to_center @ view.T_world_cam[:3, 2]
    pixel = np.flatnonzero((depth > max(middle - radius, 0.0)) & (depth < middle + radius))
    row, column = np.divmod(pixel, depth.shape[1])
    z = depth.ravel()[pixel].astype(float)
    # ``geometry.back_project`` relative to the centre and by columns, which is several times faster.
    x = (column + 0.5 - camera.cx) / camera.fx * z
    y = (row + 0.5 - camera.cy) / camera.fy * z
    away = view.T_world_cam[:3, :3] @ np.stack([x, y, z]) + to_center[:, None]
    near = np.flatnonzero(np.einsum("ij,ij->j", away, away) < radius**2)
    return away.T[near] + center, pixel[near]
