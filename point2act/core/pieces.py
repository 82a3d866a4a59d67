"""Connected pieces of a set of points."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree


def connected_pieces(points: Float[np.ndarray, "n 3"], gap: float) -> Int[np.ndarray, " n"]:
    """Return the number of each point's piece; points at most ``gap`` apart are linked.

    Args:
        points: Points, any unit.
        gap: Largest distance of linked points, same unit.
    """
    pairs = KDTree(points).query_pairs(gap, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(points), len(points)))
    return connected_components(links, directed=False)[1]
