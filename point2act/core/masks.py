"""Candidate masks of one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class CandidateMasks:
    """Masks that a prompt in an image may mean, such as the whole object, a part and a part of that."""

    masks: Bool[NDArray[np.bool_], "m h w"]
    scores: Float[NDArray[np.float64], " m"]
    """How good the segmenter takes each mask to be, in [0, 1]; SAM 2 predicts the mask's overlap."""
