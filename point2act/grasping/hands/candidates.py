"""Candidate grasps of a hand: random starts or proposals of a network, optimised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from point2act.core.errors import HandError
from point2act.core.types import ProgressCallback
from point2act.grasping.hands.energies import EnergyConfig, Grasps, HandModel
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.optimization import OptimizationConfig, optimize
from point2act.grasping.hands.scene_field import SceneField
from point2act.grasping.hands.starts import draw_starts, slot_choices
from point2act.grasping.hands.task import HandConfig, HandTask

if TYPE_CHECKING:
    from point2act.grasping.learned.networks import GraspFlow
else:
    GraspFlow = Any


def candidates(
    task: HandTask,
    model: HandModel,
    field: SceneField,
    rng: np.random.Generator,
    progress: ProgressCallback | None,
) -> Iterator[tuple[Grasps, ProgressCallback | None]]:
    """Yield batches of optimised grasps, the best of each first, from the sources of ``config.head``.

    With each comes what reports the progress of its ``config.executions`` executions, and after the last
    batch of those that follow.

    Args:
        task: The region and the planner.
        model: The hand.
        field: Signed distances of the scene.
        rng: Draws starts and proposals.
        progress: Called with the steps done and all steps.

    Raises:
        HandError: Grasps are to be proposed for a hand that no weights ship for.
    """
    config = task.config
    proposed, drawn = (_proposals, config.refinement), (_starts, config.optimization)
    batches = {
        "analytic": config.rounds * [drawn],
        "learned": config.rounds * [proposed],
        "both": [proposed, *config.rounds * [drawn]],
    }[config.head]
    total, done = sum(schedule.iterations + config.executions for _, schedule in batches), 0
    if config.executions:  # at the end, see ``_search``
        total += config.max_grasps

    def ticks_from(done: int) -> ProgressCallback | None:
        return None if progress is None else partial(_shifted, progress, done, total)

    for number, (draw, schedule) in enumerate(batches):
        weights = config.energies
        if number % 2:  # where the others hold the object elsewhere, these may not
            weights = replace(weights, region=config.focus * weights.region)
        starts, tick = draw(task, model, field, rng), ticks_from(done)
        done += schedule.iterations
        found = _optimized(starts, model, field, task, weights, schedule, _generator(rng), tick)
        yield found, ticks_from(done)
        done += config.executions


def check_weights(hand: Hand, config: HandConfig) -> None:
    """Refuse to propose grasps of a hand that there are no weights for.

    Raises:
        HandError: There are none.
    """
    _flow(hand, config)


def _flow(hand: Hand, config: HandConfig) -> GraspFlow:
    from point2act.grasping.learned.weights import load_flow

    flow = load_flow(hand.name, config.weights)
    if flow is None:
        where = "ship" if config.weights is None else f"are in {config.weights}"
        raise HandError(
            f"no weights {where} that propose grasps of the hand '{hand.name}': use --head analytic, or "
            "train them with point2act learn-grasps"
        )
    return flow


def _shifted(progress: ProgressCallback, done: int, total: int, step: int, _: int) -> None:
    progress(done + step, total)


def _generator(rng: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def _starts(task: HandTask, model: HandModel, field: SceneField, rng: np.random.Generator) -> Grasps:
    """Draw start poses around the action point."""
    config, own = task.config, task.surface.on_object
    points = task.surface.points[own]
    starts = draw_starts(
        task.hand,
        points,
        task.surface.normals[own],
        task.start_weights(points, task.probability(points)),
        task.volume.up @ task.volume.T_world_volume[:3, :3],
        config.num_starts,
        config=config.starts,
        rng=rng,
    )
    return starts.to(model.kinematics.low)


def _proposals(task: HandTask, model: HandModel, field: SceneField, rng: np.random.Generator) -> Grasps:
    """Draw grasps from the network of the hand."""
    from point2act.grasping.learned.proposals import propose

    config, cloud = task.config, task.cloud
    return propose(
        cloud,
        cloud.on_object * task.start_weights(cloud.points, cloud.probability),
        _flow(task.hand, config),
        model,
        field,
        config.proposals,
        generator=_generator(rng),
        weights=config.energies,
    )


def _optimized(
    grasps: Grasps,
    model: HandModel,
    field: SceneField,
    task: HandTask,
    weights: EnergyConfig,
    schedule: OptimizationConfig,
    generator: torch.Generator,
    progress: ProgressCallback | None,
) -> Grasps:
    """Minimise the energies of grasps; the best first."""
    like: Tensor = model.kinematics.low
    slots = [torch.as_tensor(slot, device=like.device) for slot in slot_choices(task.hand)]
    found, energy = optimize(
        grasps,
        slots,
        model,
        field,
        weights=weights,
        config=schedule,
        generator=generator,
        progress=progress,
    )
    return found.only(energy.argsort(stable=True))
