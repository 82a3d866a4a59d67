"""Meshes drawn beside the Gaussians: grippers, boxes, pins, arrows. numpy only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from jaxtyping import Float, Int

from point2act.core.types import OrientedBox

# Corner k of a cuboid has the signs of k's bits, x first.
_SIGNS = np.array(list(product((-1.0, 1.0), repeat=3)))
# Two triangles a side, counter-clockwise seen from outside.
_SIDES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
_FACES = np.array([triangle for a, b, c, d in _SIDES for triangle in ((a, b, c), (a, c, d))])


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles; faces are indices of vertices, counter-clockwise seen from outside."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]


def cuboid(box: OrientedBox) -> Mesh:
    """Return a box as a mesh; left-handed axes are allowed."""
    vertices = box.center + (_SIGNS * box.half_extents) @ box.axes
    return Mesh(vertices, _FACES[:, ::-1] if np.linalg.det(box.axes) < 0 else _FACES)


def merged(meshes: Iterable[Mesh]) -> Mesh:
    """Return several meshes as one."""
    parts = [Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=int)), *meshes]
    starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=True)]
    return Mesh(np.concatenate([part.vertices for part in parts]), np.concatenate(faces))


def solid(boxes: Iterable[OrientedBox]) -> Mesh:
    """Return boxes of one frame as one mesh."""
    return merged(map(cuboid, boxes))


def wireframe(boxes: Iterable[OrientedBox], thickness: float) -> Mesh:
    """Return the edges of boxes as thin bars, which do not hide what is behind them."""
    return merged(box_edges(box, thickness) for box in boxes)


def box_edges(box: OrientedBox, thickness: float) -> Mesh:
    """Return the twelve edges of a box as thin bars, world frame."""
    bars = []
    for axis, signs in product(range(3), product((-1.0, 1.0), repeat=2)):
        offset, half = np.insert(signs, axis, 0.0) * box.half_extents, np.full(3, thickness / 2)
        half[axis] += box.half_extents[axis]
        bars.append(cuboid(OrientedBox(box.center + offset @ box.axes, box.axes, half)))
    return merged(bars)


def pin(point: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"], *, length: float) -> Mesh:
    """Return a needle that stands on a point along the unit vector ``up``."""
    return cuboid(
        OrientedBox(point + up * length / 2, _axes_along(up), length * np.array([1 / 60, 1 / 60, 1 / 2]))
    )


def polyline(points: Float[np.ndarray, "n 3"], *, thickness: float) -> Mesh:
    """Return square bars from each point to the next; points that coincide have none."""
    bars = []
    for start, end in pairwise(points):
        length = float(np.linalg.norm(end - start))
        if length > 0:
            half = np.array([thickness, thickness, length + thickness]) / 2
            bars.append(cuboid(OrientedBox((start + end) / 2, _axes_along((end - start) / length), half)))
    return merged(bars)


def _axes_along(along: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Return three axes of which the last is a unit vector."""
    across = np.cross(along, np.eye(3)[np.argmin(np.abs(along))])
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(along, across), along])


def arrow(start: Float[np.ndarray, "3"], end: Float[np.ndarray, "3"], *, thickness: float) -> Mesh:
    """Return an arrow with a square shaft, and a pyramid as its head: at most half of its length."""
    way = end - start
    length = float(np.linalg.norm(way))
    along = way / length
    axes = _axes_along(along)
    neck = length - min(4 * thickness, length / 2)
    shaft = cuboid(OrientedBox(start + along * neck / 2, axes, np.array([thickness, thickness, neck]) / 2))
    base = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)]) * 1.5 * thickness + [0, 0, neck]
    corners = start + np.array([*base, (0, 0, length)]) @ axes
    faces = np.array([(0, 2, 1), (0, 3, 2), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)])
    return merged([shaft, Mesh(corners, faces)])


def fork(opening: float, *, length: float, thickness: float) -> Mesh:
    """Return a sketch of a gripper as four bars, gripper frame: two fingers, the bar between them, a stem.

    Args:
        opening: Distance between the fingers.
        length: Length of the fingers and of the stem.
        thickness: Thickness of the bars.
    """
    half, y = thickness / 2, (opening + thickness) / 2
    parts = [((0.0, side * y, -length / 2), (half, half, length / 2)) for side in (-1.0, 1.0)]
    parts.append(((0.0, 0.0, -length), (half, y + half, half)))
    parts.append(((0.0, 0.0, -1.5 * length), (half, half, length / 2)))
    return solid(OrientedBox(np.array(center), np.eye(3), np.array(half)) for center, half in parts)
