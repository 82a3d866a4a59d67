"""What stands around the regions of a plan, as boxes to keep away from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import KDTree

from point2act.core.geometry import fit_box
from point2act.core.open3d_import import open3d
from point2act.core.types import OrientedBox

# Height over the table from which a surface point is an obstacle, metres: above the noise of depth. Chosen.
_ABOVE = 0.01
# Distance of neighbouring points of one obstacle, and their smallest number. Chosen for Gaussians that are
# some millimetres apart.
_REACH, _MIN_POINTS = 0.015, 12
# Distance from a thing of the plan within which a cluster is a piece of it, metres. Chosen.
_OWN = 0.02
# Extent beyond which a cluster is furniture around the scene, whose box would be in the way, metres. Chosen.
_LARGEST = 0.5
# A cluster is cut in two, at one of eight places along each axis of its box, where both boxes together have
# at most this share of its volume; at most twice in a row. Boxes are at least this thick, metres. Chosen: a
# post on its base has a tenth.
_CUTS, _TIGHTER, _MOST_CUTS, _THICK = 8, 0.6, 2, 0.005


@dataclass(frozen=True, eq=False)
class Scenery:
    """Boxes around what is no region of a plan, metres."""

    boxes: tuple[OrientedBox, ...] = ()
    """Around what is on none of its things."""
    rests: Mapping[str, tuple[OrientedBox, ...]] = field(default_factory=dict)
    """Around what is on a thing, but in none of its regions, such as the post of a peg; by its name."""


def find_scenery(
    points: Float[np.ndarray, "n 3"],
    table: Float[np.ndarray, "4"] | None,
    things: Mapping[str, Float[np.ndarray, "_ 3"]],
) -> Scenery:
    """Find boxes around each cluster of surface points, but for the regions of the plan.

    Clusters are those of DBSCAN (Ester et al. 1996). Those within 2 cm of a thing are pieces of it.

    Args:
        points: Surface points of the scene, metres.
        table: Plane ``(n, d)`` in the same frame; None without a table.
        things: Surface points of the regions on each thing of the plan, by its name.
    """
    above = points if table is None else points[points @ table[:3] + table[3] > _ABOVE]
    names, known = list(things), KDTree(np.concatenate([np.empty((0, 3)), *things.values()]))
    owner = np.repeat(np.arange(len(names)), [len(one) for one in things.values()])
    boxes: list[OrientedBox] = []
    rests: dict[str, list[OrientedBox]] = {}
    for cluster in _clusters(above):
        away, nearest = known.query(cluster)
        if away.min() > _OWN:
            boxes += _tight_boxes(cluster, _MOST_CUTS)
            continue
        for number, name in enumerate(names):
            rest = cluster[(away > _OWN) & (owner[nearest] == number)]
            for piece in _clusters(rest):
                rests.setdefault(name, []).extend(_tight_boxes(piece, _MOST_CUTS))
    return Scenery(tuple(boxes), {name: tuple(found) for name, found in rests.items()})


def _clusters(points: Float[np.ndarray, "n 3"]) -> list[Float[np.ndarray, "_ 3"]]:
    """Return the points of each thing that is not furniture."""
    if len(points) < _MIN_POINTS:
        return []
    cloud = open3d().geometry.PointCloud(open3d().utility.Vector3dVector(points))
    labels = np.asarray(cloud.cluster_dbscan(_REACH, _MIN_POINTS))
    found = [points[labels == label] for label in range(labels.max(initial=-1) + 1)]
    return [one for one in found if np.ptp(one, axis=0).max() < _LARGEST]


def _tight_boxes(points: Float[np.ndarray, "n 3"], cuts: int) -> list[OrientedBox]:
    """Return boxes around points: one, or those of two halves where they are much smaller together."""
    box = fit_box(points)
    halves = _best_cut((points - box.center) @ box.axes.T) if cuts else None
    if halves is None:
        return [box]
    return [*_tight_boxes(points[halves], cuts - 1), *_tight_boxes(points[~halves], cuts - 1)]


def _best_cut(local: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"] | None:
    """Return which points are in the first of two halves, in the frame of their box; None for no cut."""
    smallest, best = _TIGHTER * _volume(local), None
    for along in local.T:
        for place in np.linspace(along.min(), along.max(), _CUTS + 2)[1:-1]:
            first = along < place
            if min(first.sum(), (~first).sum()) < _MIN_POINTS:
                continue
            volume = _volume(local[first]) + _volume(local[~first])
            if volume < smallest:
                smallest, best = volume, first
    return best


def _volume(local: Float[np.ndarray, "n 3"]) -> float:
    return float(np.prod(np.maximum(np.ptp(local, axis=0), _THICK)))
