"""Detection and logging of optimisation steps with non-finite gradients, which are skipped."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from point2act.core.errors import SceneError
from point2act.core.types import GaussianScene

_log = logging.getLogger(__name__)
_MAX_NAMED = 3
"""Maximum number of images named in a message; the rest are counted."""


class SkippedSteps:
    """Counts of skipped steps by image."""

    def __init__(self, images: Sequence[str]):
        """``images`` are the names of all training images."""
        self._images = images
        self._counts = [0] * len(images)
        self._failed_since_step: set[int] = set()

    def record(self, number: int, *, taken: bool) -> None:
        """Record whether the step of an image, given by its index, was taken.

        Raises:
            SceneError: If every image has failed since the last step that was taken. As nothing has changed
                since, all later steps would fail too.
        """
        if taken:
            self._failed_since_step.clear()
            return
        self._counts[number] += 1
        self._failed_since_step.add(number)
        if len(self._failed_since_step) == len(self._images):
            raise SceneError(
                "the fit cannot go on: none of the images gives a step with finite numbers "
                f"({self._listed()}); check depth and poses with point2act check, and lower the learning "
                "rates if they were changed"
            )

    def log(self) -> None:
        """Log a summary of the skipped steps, if there are any."""
        if any(self._counts):
            _log.warning(
                "optimisation steps skipped because of non-finite gradients: %d, for %s; check depth and "
                "poses with point2act check",
                sum(self._counts),
                self._listed(),
            )

    def _listed(self) -> str:
        failed = [image for image, count in zip(self._images, self._counts, strict=True) if count]
        more = len(failed) - _MAX_NAMED
        return ", ".join(failed[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def is_finite(loss: Tensor, parameters: Mapping[str, Tensor]) -> bool:
    """Return whether an Adam step along the gradients of a loss leaves finite parameters and moments.

    Adam steps by a few times its rate at most, so it is enough that no gradient is NaN, infinite, or so large
    that its square, which Adam keeps, overflows: one dot product of each gradient with itself. Gradients of
    ``features_rest`` are skipped: they are three quarters of all numbers, and at most 11 times those of
    ``features_dc``, the largest quotient of spherical harmonics, where means and camera are finite.
    """
    # Takes 0.5 to 0.8 % of a step with 30,000 Gaussians on two cores; 1.0 to 1.3 % with features_rest.
    if not bool(torch.isfinite(loss)):
        return False
    gradients = [tensor.grad for name, tensor in parameters.items() if name != "features_rest"]
    flat = [gradient.reshape(-1) for gradient in gradients if gradient is not None]
    return bool(torch.isfinite(torch.stack([torch.dot(each, each) for each in flat])).all())


def finite_only(scene: GaussianScene) -> GaussianScene:
    """Return the scene without Gaussians that have non-finite values; their number is logged."""
    arrays = (scene.means, scene.quats, scene.scales, scene.opacities, scene.sh)
    finite = np.logical_and.reduce([np.isfinite(a).all(axis=tuple(range(1, a.ndim))) for a in arrays])
    if finite.all():
        return scene
    _log.warning("%d of %d Gaussians had non-finite values and were left out", (~finite).sum(), len(finite))
    return GaussianScene(*(a[finite] for a in arrays))
