"""Minimisation of the energies of many grasps at once, annealed.

Poses, joints and forces follow Adam with a rate that decays; the contact points are drawn anew in between,
each finger's from their conditional distribution at a temperature that falls (Gibbs sampling, simulated
annealing), where MALA* of Liu et al. proposes them uniformly and rejects most. After a first part the grasps
with the highest energies are given up (successive halving, Jamieson and Talwalkar, AISTATS 2016).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from point2act.grasping.hands.energies import (
    EnergyConfig,
    Grasps,
    HandModel,
    energies,
)
from point2act.grasping.hands.kinematics import rotation_of
from point2act.grasping.hands.scene_field import SceneField


@dataclass(frozen=True)
class OptimizationConfig:
    """Schedule of the optimisation."""

    iterations: int = 250
    """Steps of Adam."""
    position_rate: float = 0.004
    """Rate of the palm's position at the start, metres a step."""
    angle_rate: float = 0.03
    """Rate of rotation columns and joints at the start, about radians a step."""
    force_rate: float = 0.05
    """Rate of the logarithms of forces."""
    final_rate: float = 0.05
    """Rates at the end, as fractions of those at the start; they decay exponentially."""
    temperature: float = 1.0
    """Temperature of the contact points at the start, in units of their energy; it falls linearly to 0."""
    redraw: int = 10
    """Steps between draws of the contact points."""
    halving: tuple[tuple[int, float], ...] = ((30, 0.5), (80, 0.5))
    """Steps after which only a fraction of the grasps go on, those with the lowest energies."""


def optimize(
    grasps: Grasps,
    slots: list[Tensor],
    model: HandModel,
    field: SceneField,
    *,
    weights: EnergyConfig,
    config: OptimizationConfig,
    generator: torch.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Grasps, Float[Tensor, " b"]]:
    """Minimise the energies of grasps.

    Args:
        grasps: Start poses.
        slots: Contact points that each contact may use, see ``slot_choices``.
        model: The hand.
        field: The scene.
        weights: Weights of the energies.
        config: Schedule.
        generator: Draws contact points.
        progress: Called with the steps done and all steps.

    Returns:
        The grasps that were not given up, and their energies.
    """
    halvings = dict(config.halving)
    optimizer = _adam(grasps, config)
    decay = config.final_rate ** (1 / max(config.iterations, 1))
    for step in range(config.iterations):
        if step % config.redraw == 0:
            temperature = config.temperature * (1 - step / config.iterations)
            redraw_contacts(grasps, slots, model, field, weights, temperature, generator)
        optimizer.zero_grad()
        total = energies(grasps, model, field, config=weights)[0].total(weights)
        total.sum().backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= decay
        if step in halvings:
            keep = max(1, round(halvings[step] * len(grasps)))
            grasps, optimizer = _halved(grasps, optimizer, total.detach().argsort(stable=True)[:keep])
        if progress is not None:
            progress(step + 1, config.iterations)
    with torch.no_grad():
        total = energies(grasps, model, field, config=weights)[0].total(weights)
    done = Grasps(*(value.detach() for value in vars(grasps).values()))
    return done, total


def _adam(grasps: Grasps, config: OptimizationConfig) -> torch.optim.Adam:
    rates = (config.position_rate, config.angle_rate, config.angle_rate, config.force_rate)
    for variable in grasps.variables:
        variable.requires_grad_(True)
    # Single-tensor steps: the variables are few, and the result does not depend on how they are grouped.
    return torch.optim.Adam(
        [{"params": [one], "lr": rate} for one, rate in zip(grasps.variables, rates, strict=True)],
        foreach=False,
    )


def _halved(grasps: Grasps, optimizer: torch.optim.Adam, kept: Tensor) -> tuple[Grasps, torch.optim.Adam]:
    """Return some of the grasps with their moments and the present rates."""
    fewer = Grasps(*(value.detach()[kept].clone() for value in vars(grasps).values()))
    moments = [optimizer.state[one] for one in grasps.variables]
    groups = []
    for variable, group in zip(fewer.variables, optimizer.param_groups, strict=True):
        groups.append({"params": [variable.requires_grad_(True)], "lr": group["lr"]})
    after = torch.optim.Adam(groups, foreach=False)
    for variable, moment in zip(fewer.variables, moments, strict=True):
        after.state[variable] = {
            "step": moment["step"],
            "exp_avg": moment["exp_avg"][kept],
            "exp_avg_sq": moment["exp_avg_sq"][kept],
        }
    return fewer, after


def redraw_contacts(
    grasps: Grasps,
    slots: list[Tensor],
    model: HandModel,
    field: SceneField,
    weights: EnergyConfig,
    temperature: float,
    generator: torch.Generator,
) -> None:
    """Draw the point of each contact from its distribution at a temperature, given the pose; in place.

    At temperature 0 it is the point of the lowest energy.
    """
    with torch.no_grad():
        cost = _contact_costs(grasps, model, field, weights)
        for column, slot in enumerate(slots):
            own = cost[:, slot]
            if temperature > 0:
                uniform = torch.rand(own.shape, generator=generator, dtype=torch.float64).to(own)
                own = own + temperature * torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-7)))
            grasps.contacts[:, column] = slot[own.argmin(dim=1)]


def _contact_costs(
    grasps: Grasps, model: HandModel, field: SceneField, weights: EnergyConfig
) -> Float[Tensor, "b c"]:
    """Return the energy that each contact point would have as a contact."""
    link, position, normal = model.contacts
    rotations, origins = model.kinematics.link_poses(
        grasps.position, rotation_of(grasps.columns), grasps.joints
    )
    turn = rotations[:, link]
    points = (turn @ position[..., None])[..., 0] + origins[:, link]
    here = field.object.at(points)
    outward = torch.nn.functional.normalize(here[..., 1:4], dim=-1)
    aligned = 1 + ((turn @ normal[..., None])[..., 0] * outward).sum(dim=-1)
    far = field.object.distance_at(points).abs()
    return weights.distance * far + weights.alignment * aligned + weights.region * (1 - here[..., 4])
