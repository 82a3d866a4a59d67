"""Detection of nerfstudio's training steps with non-finite gradients, before they are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from point2act.splatting.nonfinite_steps import SkippedSteps, is_finite


class FiniteSteps:
    """Skips training steps with a non-finite loss or gradient.

    nerfstudio's trainer has one optimizer for each group of parameters. Before the first of them steps, all
    gradients are checked; if one is not finite, all are cleared, and Adam does nothing without gradients.
    """

    def __init__(self, optimizers: Mapping[str, Optimizer], images: Sequence[str]):
        """Watch optimizers, which may exchange their parameters; ``images`` names the training views."""
        self._optimizers = optimizers
        self._skipped = SkippedSteps(images)
        self._taken: bool | None = None
        for optimizer in optimizers.values():
            optimizer.register_step_pre_hook(self._before)

    def start(self, number: int, loss: Tensor) -> None:
        """Note the index of a step's image and its loss, before the backward pass."""
        self._number, self._loss, self._taken = number, loss.detach(), None

    def end(self) -> bool:
        """Return whether the step was taken.

        Raises:
            SceneError: No step can be taken on any image.
        """
        taken = self._taken is not False
        self._skipped.record(self._number, taken=taken)
        return taken

    def log(self) -> None:
        """Log once how many steps were skipped, if any."""
        self._skipped.log()

    def _before(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._taken is None:
            groups = {name: each.param_groups[0]["params"][0] for name, each in self._optimizers.items()}
            self._taken = is_finite(self._loss, groups)
        if not self._taken:
            optimizer.zero_grad()
