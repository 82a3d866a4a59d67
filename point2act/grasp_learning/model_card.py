"""Model cards of grasp networks."""

from __future__ import annotations

import os
import platform
import shlex
from dataclasses import fields
from pathlib import Path

import torch

from point2act.grasp_learning.ranking import Ranking
from point2act.grasp_learning.train_config import TrainConfig, Trained
from point2act.splatting.gaussians import choose_device

_CARD = """\
# {title}

{purpose} Weights of `{name}`, half precision, {parameters:,} of them.

- **Data:** grasps executed in simulation, labelled in physics. Trained on {grasps[0]:,} grasps at
  {regions[0]:,} regions of these families of objects: {families}. Held out: {held_out_grasps}.
- **Training:** {passes} passes of at most {epochs}, in batches of {batch}, seed {seed}; the weights are those
  of pass {best}, {chosen}. Loss of training {first:.4f} in the first pass, {last:.4f} in
  pass {best}{held_out_loss}.
- **Machine:** {machine}, {seconds:.0f} s.
- **Command:** `{command}`
{figures}
- **Limits:** simulated objects, cameras and contacts only. The held-out families also chose the pass, so that
  figures on objects of other families may be somewhat lower.
"""
_PURPOSE = {
    "evaluator": "Predicts whether grasps are free, lift, hold when shaken, and lift by the part asked for.",
    "flow": "Proposes grasps, which an optimisation then refines.",
}
_FIGURES = """
On the held-out families:

| | evaluator | planner | random | best possible |
|---|---|---|---|---|
{rows}

First grasp: part of the regions in which the grasp of the highest score has the label. Intervals are of 95 %,
from resampled regions.
"""


def model_card(trained: Trained, data: Path, config: TrainConfig) -> str:
    """Return the text of a network's model card.

    Args:
        trained: The training.
        data: Folder of the shards.
        config: How it was trained.
    """
    best = trained.best
    aside = (
        f"; of the held-out families {trained.held_out_losses[best]:.4f}" if trained.held_out_losses else ""
    )
    return _CARD.format(
        title=f"{trained.effector}: {trained.kind}",
        purpose=_PURPOSE[trained.kind],
        name=trained.weights.name,
        parameters=trained.parameters,
        grasps=trained.grasps,
        regions=trained.regions,
        families=", ".join(trained.families),
        held_out_grasps=_held_out(trained),
        passes=len(trained.train_losses),
        epochs=config.epochs,
        batch=config.batch,
        seed=config.seed,
        best=best + 1,
        chosen="with the lowest loss on the held-out families" if aside else "the last one",
        first=trained.train_losses[0],
        last=trained.train_losses[best],
        held_out_loss=aside,
        machine=_machine(config),
        seconds=trained.seconds,
        command=_command(trained, data, config),
        figures=_figures(trained),
    )


def _held_out(trained: Trained) -> str:
    if not trained.held_out:
        return "none"
    return f"{trained.grasps[1]:,} grasps at {trained.regions[1]:,} regions of {', '.join(trained.held_out)}"


def _machine(config: TrainConfig) -> str:
    device = choose_device(config.device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU with {os.cpu_count()} cores, {torch.get_num_threads()} of them in use"


def _command(trained: Trained, data: Path, config: TrainConfig) -> str:
    """Return the command line, with the options that are not the usual ones."""
    words = ["point2act", "learn-grasps", "train", data.name, "--output", trained.weights.parent.name]
    words += ["--kind", trained.kind]
    for field in fields(config):
        value = getattr(config, field.name)
        if value != field.default:
            several = value if isinstance(value, tuple) else (value,)
            words += [f"--{field.name.replace('_', '-')}", *map(str, several)]
    return shlex.join(words)


def _figures(trained: Trained) -> str:
    """Return the table of an evaluator's figures; nothing without any."""
    named = {"lifted": trained.lifted, "lifted by the part": trained.by_part}
    rows = [row for label, ranking in named.items() if ranking for row in _rows(label, ranking)]
    return _FIGURES.format(rows="\n".join(rows)) if rows else ""


def _rows(label: str, ranking: Ranking) -> tuple[str, str]:
    areas = [f"{area:.3f}" if area is not None else "–" for area in (ranking.area, ranking.planner_area)]
    first = (ranking.top_one, ranking.planner_top_one, ranking.random, ranking.best_possible)
    low, high = (100 * value for value in ranking.gain)
    shares = [f"{100 * share:.1f} %" for share in first]
    shares[0] += f" ({low:+.1f} to {high:+.1f} points against the planner)"
    return (
        f"| {label}: area under the ROC curve, {ranking.grasps} grasps | {areas[0]} | {areas[1]} | 0.5 | 1 |",
        f"| {label}: first grasp, {ranking.regions} regions | {' | '.join(shares)} |",
    )
