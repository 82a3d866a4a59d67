"""Keypoints and axes of a region: what constraints refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.types import OrientedBox


@dataclass(frozen=True, eq=False)
class RegionFeatures:
    """Named points and unit directions of a region, world frame, metres."""

    points: Mapping[str, Float[np.ndarray, " 3"]]
    """By the names of ``core.constraints.PointName``; a region without an opening has no ``rim``."""
    axes: Mapping[str, Float[np.ndarray, " 3"]]
    """By the names of ``core.constraints.AxisName``."""
    box: OrientedBox
    """Around the region."""
