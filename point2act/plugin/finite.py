"""Steps of nerfstudio's trainer that would leave numbers that are none: found before they are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from point2act.splatting.nonfinite_steps import SkippedSteps, is_finite


class FiniteSteps:
    """Visibility at all gradients before the first optimizer of a step, and clears all where one is no
    number.

    nerfstudio's trainer has an optimizer for each group of parameters; without gradients, Adam does nothing.
    """

    def __init__(self, optimizers: Mapping[str, Optimizer], images: Sequence[str]):
        """``images`` are the names of all that are trained on. Optimizers may exchange their parameters."""
        self._optimizers = optimizers
        self._skipped = SkippedSteps(images)
        self._taken: bool | None = None
        for optimizer in optimizers.values():
            optimizer.register_step_pre_hook(self._before)

    def begin(self, number: int, loss: Tensor) -> None:
        """Note the image that a step is for, by its number, and its loss, before that goes backward."""
        self._number, self._loss, self._taken = number, loss.detach(), None

    def end(self) -> bool:
        """Whether the step was taken. Raises ``SceneError`` where none can ever be again."""
        taken = self._taken is not False
        self._skipped.record(self._number, taken=taken)
        return taken

    def tell(self) -> None:
        """Say once what was left out, if anything was."""
        self._skipped.log()

    def _before(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._taken is None:
            groups = {name: each.param_groups[0]["params"][0] for name, each in self._optimizers.items()}
            self._taken = is_finite(self._loss, groups)
        if not self._taken:
            optimizer.zero_grad()
