"""Meshes of what is shown beside the Gaussians: hands, boxes, pins. numpy only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float, Int

from point2act.core.types import OrientedBox
from point2act.grasping.grippers import Boxes

# Corner k of a cuboid has the signs of k's bits, x first.
_SIGNS = np.array(list(product((-1.0, 1.0), repeat=3)))
# Two triangles a side, counter-clockwise seen from outside.
_FACES = np.array(
    [
        *((0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5)),
        *((0, 4, 5), (0, 5, 1), (2, 3, 7), (2, 7, 6)),
        *((0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)),
    ]
)


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    """Indices of vertices, counter-clockwise seen from outside."""


def cuboid(
    center: Sequence[float] | Float[np.ndarray, "3"],
    half_extents: Sequence[float] | Float[np.ndarray, "3"],
    axes: Float[np.ndarray, "3 3"] | None = None,
) -> Mesh:
    """A box; the rows of ``axes`` are its directions, by default those of the frame."""
    corners = _SIGNS * np.asarray(half_extents, dtype=float)
    turned = corners if axes is None else corners @ axes
    # Axes that are left-handed turn the triangles inside out.
    flipped = axes is not None and np.linalg.det(axes) < 0
    return Mesh(turned + np.asarray(center, dtype=float), _FACES[:, ::-1] if flipped else _FACES)


def merged(meshes: Iterable[Mesh]) -> Mesh:
    """Several meshes as one."""
    parts = list(meshes)
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    return Mesh(
        np.concatenate([np.zeros((0, 3)), *(part.vertices for part in parts)]),
        np.concatenate(
            [np.zeros((0, 3), dtype=int), *(p.faces + s for p, s in zip(parts, starts, strict=False))]
        ),
    )


def solid(boxes: Boxes) -> Mesh:
    """Boxes of a gripper's frame, metres."""
    return merged(cuboid(center, half) for center, half in boxes)


def cage(boxes: Boxes, thickness: float) -> Mesh:
    """The edges of a gripper's boxes as thin bars: what is behind them is seen."""
    return merged(box_edges(OrientedBox(center, np.eye(3), half), thickness) for center, half in boxes)


def box_edges(box: OrientedBox, thickness: float) -> Mesh:
    """The twelve edges of a box as thin bars, world."""
    bars = []
    for axis, (one, other) in enumerate(((1, 2), (0, 2), (0, 1))):
        half = np.full(3, thickness / 2)
        half[axis] += box.half_extents[axis]
        for a, b in product((-1.0, 1.0), repeat=2):
            middle = a * box.half_extents[one] * box.axes[one] + b * box.half_extents[other] * box.axes[other]
            bars.append(cuboid(box.center + middle, half, box.axes))
    return merged(bars)


def pin(point: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"], *, length: float) -> Mesh:
    """A needle that stands on a point, along the unit vector ``up``, so that it is seen inside a surface."""
    across = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    across /= np.linalg.norm(across)
    axes = np.stack([across, np.cross(up, across), up])
    half = np.array([length / 60, length / 60, length / 2])
    return cuboid(point + up * length / 2, half, axes)
