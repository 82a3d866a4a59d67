"""The interface of promptable segmenters, and a plain function as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from point2act.core.errors import ModelError
from point2act.core.masks import CandidateMasks

SegmentFunction = Callable[
    [UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "p 2"], Float[np.ndarray, "n 2"]],
    tuple[Any, Any],
]
"""A function from an RGB image, pixels inside and pixels outside the thing to masks and their scores."""


@runtime_checkable
class Segmenter(Protocol):
    """Interface of a promptable segmenter."""

    @property
    def identity(self) -> Mapping[str, Any] | None:
        """Everything besides image and points that masks depend on, as JSON; None if masks are not cached."""
        ...

    def segment(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        positive: Float[np.ndarray, "p 2"],
        negative: Float[np.ndarray, "n 2"],
    ) -> CandidateMasks:
        """Return a few masks that the points may mean; none is an answer, too.

        Args:
            image: RGB image.
            positive: Pixels ``(x, y)`` of the thing, at least one.
            negative: Pixels of something else.

        Raises:
            ModelError: There is no answer.
        """
        ...


@dataclass(frozen=True, eq=False)
class FunctionSegmenter:
    """A segmenter made from a plain Python function, such as a wrapper around a model of one's own.

    Args:
        function: Called with an RGB image (uint8, height x width x 3), pixels ``(x, y)`` of the thing (p, 2)
            and pixels of other things (n, 2). Returns masks (m, height, width), true or above 0 where the
            thing is, and a score in [0, 1] of each.
    """

    function: SegmentFunction

    @property
    def identity(self) -> None:
        """None: whether the function has changed is unknown."""
        return None

    def segment(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        positive: Float[np.ndarray, "p 2"],
        negative: Float[np.ndarray, "n 2"],
    ) -> CandidateMasks:
        """Call the function.

        Raises:
            ModelError: The function returned something other than masks of the image's size with scores.
        """
        found = self.function(image, positive, negative)
        try:
            masks, scores = (np.asarray(each) for each in found)
            masks, scores = masks > 0, scores.astype(np.float64)
        except (TypeError, ValueError):
            masks, scores = np.zeros(0, dtype=bool), np.zeros(0)
        if (
            masks.ndim != 3
            or masks.shape[1:] != image.shape[:2]
            or scores.shape != masks.shape[:1]
            or not np.all((scores >= 0) & (scores <= 1))
        ):
            height, width = image.shape[:2]
            raise ModelError(
                f"the segmenter did not return masks (m, {height}, {width}) and m scores in [0, 1]: return "
                "both as arrays, empty ones of shape (0, height, width) and (0,) for no mask"
            )
        return CandidateMasks(masks, scores)
