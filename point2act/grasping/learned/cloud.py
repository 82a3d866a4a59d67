"""The surface around an action point as networks see it: points with a few numbers each. numpy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from point2act.grasping.antipodal.boundary import SurfacePoints
from point2act.grasping.records import Records

MOST_POINTS = 4096
"""Largest number of points of a cloud that networks are trained with and applied to."""


@dataclass(frozen=True, eq=False)
class LocalCloud(Records):
    """Points on the fused surface around an action point, in the volume frame: origin there, z axis up."""

    points: Float[np.ndarray, "n 3"]
    """Metres."""
    normals: Float[np.ndarray, "n 3"]
    """Outward, unit length."""
    on_object: Bool[np.ndarray, " n"]
    """Whether it belongs to the object at the action point, and not to the table or to a neighbour."""
    seen: Bool[np.ndarray, " n"]
    """False for a surface that is only presumed, at the border of unobserved space."""
    probability: Float[np.ndarray, " n"]
    """Probability that it belongs to the region that was asked for; 0 beside the object."""

    def __len__(self) -> int:
        return len(self.points)

    def thinned(self, most: int = MOST_POINTS) -> LocalCloud:
        """Return at most a number of points, half of them of the object where it has as many."""
        order = np.random.default_rng(0).permutation(len(self))
        halves = [order[self.on_object[order] == own][: most // 2] for own in (True, False)]
        return self.only(np.concatenate(halves))


def local_cloud(
    surface: SurfacePoints, probability: Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]]
) -> LocalCloud:
    """Return the cloud of a fused surface.

    Args:
        surface: Surface points, volume frame.
        probability: Returns the region's probability, in [0, 1], at points of the volume frame.
    """
    wanted = np.zeros(len(surface.points))
    own = surface.on_object
    if own.any():
        wanted[own] = probability(surface.points[own])
    return LocalCloud(surface.points, surface.normals, own, surface.seen, wanted)
