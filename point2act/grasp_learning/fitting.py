"""Fitting a network, with early stopping, and with a checkpoint after each pass from which it goes on."""

from __future__ import annotations

import copy
import math
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from point2act.core.errors import LearningError
from point2act.core.files import replacing
from point2act.core.types import ProgressCallback
from point2act.grasp_learning.train_config import TrainConfig

# Weights are averaged over about the last thousand steps, over fewer at first. Chosen.
_MEMORY = 0.999
_MAX_GRADIENT = 1.0


@dataclass(frozen=True, eq=False)
class Task:
    """What a network is fitted to."""

    loss: Callable[..., Float[Tensor, ""]]
    """Mean loss of examples, see ``EvaluatorLoss``."""
    train: Int[Tensor, " n"]
    """Examples of a pass, in any order; one that is named twice counts twice."""
    held_out: Int[Tensor, " h"]
    """Examples by which the best pass is chosen; may be none."""


@dataclass
class History:
    """What each pass gave."""

    train: list[float] = field(default_factory=list)
    """Mean loss of training."""
    held_out: list[float] = field(default_factory=list)
    """Mean loss of the held-out examples; empty without any."""
    seconds: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        """Index of the best pass; the last one without held-out examples."""
        return self.held_out.index(min(self.held_out)) if self.held_out else len(self.train) - 1

    def ended(self, config: TrainConfig) -> bool:
        """Return whether there is no further pass."""
        stale = bool(self.held_out) and len(self.train) - 1 - self.best >= config.patience
        return len(self.train) >= config.epochs or stale


def fit(
    network: nn.Module,
    task: Task,
    *,
    config: TrainConfig,
    checkpoint: Path,
    settings: str,
    progress: ProgressCallback | None,
) -> History:
    """Fit a network; afterwards it has the averaged weights of the best pass.

    Args:
        network: The network, on its device.
        task: What it is fitted to, on the same device.
        config: How it is fitted.
        checkpoint: File of the state after each pass; if it exists, training goes on from there.
        settings: Text of everything that the result depends on.
        progress: Called with the steps done and all steps.

    Raises:
        LearningError: The checkpoint is damaged or of other settings, or the loss is not finite.
    """
    state = _State(network, config, settings)
    if checkpoint.exists():
        state.restore(checkpoint)
    while not state.history.ended(config):
        _pass(state, task, config, progress)
        state.save(checkpoint)
    network.load_state_dict(state.best)
    return state.history


class _State:
    """Everything that changes while a network is fitted."""

    def __init__(self, network: nn.Module, config: TrainConfig, settings: str):
        self.network, self.settings = network, settings
        self.average = copy.deepcopy(network)
        self.best = self.average.state_dict()
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.history = History()

    def save(self, path: Path) -> None:
        """Write a checkpoint, atomically."""
        parts = {name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer")}
        document = {"settings": self.settings, "best": self.best, "history": vars(self.history), **parts}
        with replacing(path) as draft:
            torch.save(document, draft)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint."""
        try:
            stored: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            if stored["settings"] != self.settings:
                raise LearningError(
                    f"{path} is of other data or options: choose another --output, or delete it"
                )
            for name in ("network", "average", "optimizer"):
                getattr(self, name).load_state_dict(stored[name])
            self.best, self.history = stored["best"], History(**stored["history"])
        except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, pickle.PickleError) as err:
            raise LearningError(f"{path} is damaged ({err}): delete it to train from the start") from err


def _pass(state: _State, task: Task, config: TrainConfig, progress: ProgressCallback | None) -> None:
    """Train on every example once, and keep the averaged weights if they are the best so far."""
    start, history = time.perf_counter(), state.history
    number, steps = len(history.train), math.ceil(len(task.train) / config.batch)
    generator = torch.Generator(task.train.device).manual_seed(1 + config.seed + (number << 32))
    order = torch.randperm(len(task.train), generator=generator, device=task.train.device)
    total = torch.zeros((), device=task.train.device)
    for step, rows in enumerate(task.train[order].split(config.batch), start=number * steps):
        _set_rate(state.optimizer, config, step / (config.epochs * steps))
        total += len(rows) * _step(state, task, rows, generator, step)
        if progress is not None:
            progress(step + 1, config.epochs * steps)
    history.train.append(_finite(total / len(task.train)))
    if len(task.held_out):
        history.held_out.append(_held_out_loss(state.average, task, config))
    history.seconds.append(time.perf_counter() - start)
    if history.best == number:
        state.best = copy.deepcopy(state.average.state_dict())


def _step(
    state: _State, task: Task, rows: Int[Tensor, " b"], generator: torch.Generator, step: int
) -> Float[Tensor, ""]:
    """Take one step, and return the loss before it."""
    loss = task.loss(state.network, rows, generator, augment=True)
    state.optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(state.network.parameters(), _MAX_GRADIENT)
    state.optimizer.step()
    memory = min(_MEMORY, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, value in zip(state.average.parameters(), state.network.parameters(), strict=True):
            mean.lerp_(value, 1 - memory)
    return loss.detach()


def _set_rate(optimizer: torch.optim.Optimizer, config: TrainConfig, done: float) -> None:
    """Set the learning rate, which falls along a cosine."""
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * (1 + math.cos(math.pi * done)) / 2


@torch.no_grad()
def _held_out_loss(network: nn.Module, task: Task, config: TrainConfig) -> float:
    """Return the mean loss of the held-out examples, with the same random numbers each time."""
    generator = torch.Generator(task.held_out.device).manual_seed(config.seed)
    batches = task.held_out.split(config.batch)
    losses = [len(rows) * task.loss(network, rows, generator, augment=False) for rows in batches]
    return _finite(torch.stack(losses).sum() / len(task.held_out))


def _finite(loss: Tensor) -> float:
    value = float(loss)
    if not math.isfinite(value):
        raise LearningError("the loss is not finite: lower --learning-rate, or generate the data again")
    return value
