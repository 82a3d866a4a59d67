"""A learning rate that falls exponentially, in plain numbers.

nerfstudio's own schedulers leave numpy scalars in the checkpoint, which torch >= 2.6 refuses to load
again: every ``ns-eval`` or ``ns-viewer`` of such a run fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nerfstudio.engine.schedulers import Scheduler, SchedulerConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


@dataclass
class FallingRateConfig(SchedulerConfig):
    """Exponential decay of a learning rate."""

    _target: type = field(default_factory=lambda: FallingRate)
    share: float = 0.1
    """Fraction of the initial rate that is reached after ``steps`` and kept."""
    steps: int = 1000
    """Number of steps of the decay."""


class FallingRate(Scheduler):
    """Scheduler that multiplies the rate by the same factor at every step, down to a fraction of it."""

    config: FallingRateConfig

    def get_scheduler(self, optimizer: Optimizer, lr_init: float) -> LRScheduler:
        """Return torch's scheduler; the optimizer already has ``lr_init``."""
        share, steps = self.config.share, self.config.steps
        return LambdaLR(optimizer, lambda step: share ** min(step / steps, 1.0))
