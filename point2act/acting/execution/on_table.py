"""Motions of things that stand on a table, without the errors of a tracker that a table does not allow."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.core.geometry import transform, transform_points

# Tilt below which what stands is taken to stand upright: it has been pushed, or a tracker errs, as at a round
# mug by 20 degrees and at a knife, about its length, by 31; what falls over lies. Chosen.
_LEANING = np.deg2rad(45)
# Depth in the table from which on a measured pose is a mistake, metres. Chosen: a tracker slid down by 23 mm
# along a tube, whose place it knew to 2 mm.
_SUNK = 0.03


def upright(
    T: Float[np.ndarray, "4 4"], middle: Float[np.ndarray, " 3"], up: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "4 4"]:
    """Return a motion without its tilt if that is small: turned only about the vertical.

    Args:
        T: Rigid motion of a thing since it was found, base frame.
        middle: Its middle there, which moves by ``T`` all the same, metres.
        up: Upward unit vector.
    """
    rotation, place = T[:3, :3], transform_points(T, middle)
    righting = Rotation.align_vectors(up, rotation @ up)[0]
    if righting.magnitude() > _LEANING:
        return T
    rotation = righting.as_matrix() @ rotation
    return transform(rotation, place - rotation @ middle)


def above(
    T: Float[np.ndarray, "4 4"], bottoms: Float[np.ndarray, "n 3"], table: Float[np.ndarray, " 4"]
) -> Float[np.ndarray, "4 4"] | None:
    """Return a motion with the thing on the table where it would be in it, None where it is far in it.

    Along the smooth side of a mug a tracker slides down.

    Args:
        T: Rigid motion of the thing since it was found, base frame.
        bottoms: Its lowest points there, metres.
        table: Plane ``(n, d)``: ``n @ x + d`` is the height of x above it, metres.
    """
    before, after = (at @ table[:3] + table[3] for at in (bottoms, transform_points(T, bottoms)))
    sunk = max(float((np.minimum(before, 0.0) - after).max()), 0.0)
    return None if sunk > _SUNK else transform(np.eye(3), sunk * table[:3]) @ T
