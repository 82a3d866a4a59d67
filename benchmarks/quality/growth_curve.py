"""Times of a job at several sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curve:
    """Times of one job along one axis."""

    job: str
    axis: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def exponent(self) -> float:
        """Return the slope of the logarithms by least squares."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds), 1)[0])
