"""What stands around the things of a plan, as boxes to keep away from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
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


def find_scenery(
    points: Float[np.ndarray, "n 3"],
    table: Float[np.ndarray, "4"] | None,
    things: Mapping[str, Float[np.ndarray, "_ 3"]],
) -> tuple[OrientedBox, ...]:
    """Return a box around each cluster of surface points that is not on a thing of the plan.

    Clusters are those of DBSCAN (Ester et al. 1996).

    Args:
        points: Surface points of the scene, metres.
        table: Plane ``(n, d)`` in the same frame; None without a table.
        things: Surface points of the things of the plan.
    """
    above = points if table is None else points[points @ table[:3] + table[3] > _ABOVE]
    if len(above) < _MIN_POINTS:
        return ()
    cloud = open3d().geometry.PointCloud(open3d().utility.Vector3dVector(above))
    labels = np.asarray(cloud.cluster_dbscan(_REACH, _MIN_POINTS))
    known = KDTree(np.concatenate([np.empty((0, 3)), *things.values()]))
    clusters = [above[labels == label] for label in range(labels.max(initial=-1) + 1)]
    return tuple(
        fit_box(cluster)
        for cluster in clusters
        if np.ptp(cluster, axis=0).max() < _LARGEST and known.query(cluster)[0].min() > _OWN
    )
