"""The steps from a folder of shards to a network's weights, its result and its model card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from point2act.core.errors import LearningError
from point2act.core.files import write_json, write_text
from point2act.core.types import ProgressCallback
from point2act.grasp_learning.examples import (
    Examples,
    examples_of,
    held_out_families,
    labels_of,
)
from point2act.grasp_learning.fitting import History, Task, fit
from point2act.grasp_learning.model_card import model_card
from point2act.grasp_learning.objectives import EvaluatorLoss, FlowLoss
from point2act.grasp_learning.ranking import Ranked, Ranking, rank
from point2act.grasp_learning.shards import Shard, read_shards
from point2act.grasp_learning.train_config import TrainConfig, Trained
from point2act.grasping.end_effector import EndEffector, load_end_effector
from point2act.grasping.learned.embodiment import Embodiment, embodiment_of
from point2act.grasping.learned.evaluator import hold_probability
from point2act.grasping.learned.networks import (
    LABELS,
    GraspEvaluator,
    GraspFlow,
)
from point2act.grasping.learned.weights import file_name, write_network
from point2act.splatting.gaussians import choose_device


@dataclass(frozen=True)
class Recipe:
    """What a kind of network is fitted to."""

    kind: str
    task: Callable[[Examples, float], Task]
    """Returns the task for examples, with the noise on their points in metres."""
    why_empty: str
    """What is missing if there is nothing to train on."""


def _evaluator_task(examples: Examples, jitter: float) -> Task:
    held_out = examples.held_out
    return Task(EvaluatorLoss(examples, jitter), _where(~held_out), _where(held_out))


def _flow_task(examples: Examples, jitter: float) -> Task:
    lifted, held_out = examples.lifted, examples.held_out
    return Task(FlowLoss(examples, jitter), _where(lifted & ~held_out), _where(lifted & held_out))


def _where(mask: Bool[Tensor, " g"]) -> Int[Tensor, " n"]:
    return torch.nonzero(mask)[:, 0]


EVALUATOR = Recipe(GraspEvaluator.kind, _evaluator_task, "grasps")
FLOW = Recipe(GraspFlow.kind, _flow_task, "grasps that lifted")


def weights_path(data: Path, output: Path, kind: str) -> Path:
    """Return the file that a training writes last: if it exists, all is done.

    Args:
        data: Folder of shards, of one gripper or hand.
        output: Folder of the files to write.
        kind: Kind of the network, evaluator or flow.

    Raises:
        LearningError: There are no shards, or the first one is damaged.
    """
    return output / file_name(next(read_shards(data)).source.effector, kind)


def train(
    recipe: Recipe,
    build: Callable[[Embodiment], GraspEvaluator | GraspFlow],
    data: Path,
    output: Path,
    config: TrainConfig,
    progress: ProgressCallback | None,
) -> Trained:
    """Train the network that ``build`` makes for a gripper or hand, see ``train_evaluator``."""
    shards = list(read_shards(data))
    name = _effector(shards, data)
    effector = load_end_effector(name)
    weights = weights_path(data, output, recipe.kind)
    if weights.exists():
        raise LearningError(f"{weights} already exists: choose another --output, or delete it")
    held_out = held_out_families(shards, config.held_out, config.seed)
    examples = examples_of(shards, effector, held_out, max_points=config.max_points, seed=config.seed)
    task = recipe.task(examples.to(choose_device(config.device)), config.jitter)
    if not len(task.train):
        raise LearningError(f"{data} has no {recipe.why_empty} of objects to train on: generate more data")
    network = _new_network(build, effector, config)
    checkpoint = weights.with_suffix(".checkpoint")
    settings = _settings(network, data, config)
    history = fit(network, task, config=config, checkpoint=checkpoint, settings=settings, progress=progress)
    # As in the file: what is measured is what ships.
    network.half().float().eval()
    aside = [shard for shard in shards if shard.source.family in held_out]
    used = [shard for shard in shards if shard.source.family not in held_out]
    trained = _trained(network, effector, weights, (used, aside), task, history)
    write_json(weights.with_suffix(".json"), asdict(trained) | {"weights": weights.name})
    write_text(weights.with_suffix(".md"), model_card(trained, data, config))
    # The last: this file means that all is done.
    write_network(weights, network, name)
    checkpoint.unlink(missing_ok=True)
    return trained


def _effector(shards: Sequence[Shard], data: Path) -> str:
    """Return the gripper or hand of all shards."""
    names = sorted({shard.source.effector for shard in shards})
    if len(names) > 1:
        raise LearningError(f"{data} has grasps of {', '.join(names)}: keep each in a folder of its own")
    return names[0]


def _new_network(
    build: Callable[[Embodiment], GraspEvaluator | GraspFlow], effector: EndEffector, config: TrainConfig
) -> GraspEvaluator | GraspFlow:
    """Return a network with random weights, the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = build(embodiment_of(effector))
    return network.to(choose_device(config.device))


def _settings(network: GraspEvaluator | GraspFlow, data: Path, config: TrainConfig) -> str:
    """Return everything that the weights depend on."""
    digest = hashlib.sha256()
    for path in sorted(data.glob("*.npz")):
        digest.update(path.name.encode() + path.read_bytes())
    chosen = asdict(replace(config, device=None)) | {"data": digest.hexdigest()}
    return json.dumps(chosen | {"embodiment": asdict(network.embodiment), "sizes": asdict(network.config)})


def _trained(
    network: GraspEvaluator | GraspFlow,
    effector: EndEffector,
    weights: Path,
    parts: tuple[list[Shard], list[Shard]],
    task: Task,
    history: History,
) -> Trained:
    """Return what came of a training; ``parts`` are the shards trained on and those held out."""
    families = [tuple(sorted({shard.source.family for shard in part})) for part in parts]
    lifted = by_part = None
    if isinstance(network, GraspEvaluator):
        lifted, by_part = _rankings(network, effector, parts[1])
    return Trained(
        kind=network.kind,
        effector=effector.name,
        weights=weights,
        parameters=sum(weight.numel() for weight in network.parameters()),
        regions=(len(parts[0]), len(parts[1])),
        grasps=(len(task.train.unique()), len(task.held_out)),
        families=families[0],
        held_out=families[1],
        train_losses=tuple(history.train),
        held_out_losses=tuple(history.held_out),
        best=history.best,
        seconds=sum(history.seconds),
        lifted=lifted,
        by_part=by_part,
    )


def _rankings(
    evaluator: GraspEvaluator, effector: EndEffector, shards: Sequence[Shard]
) -> tuple[Ranking | None, Ranking | None]:
    """Return how grasps are ranked by whether they lift, and whether they do so by the part asked for."""
    lifted, by_part = [], []
    for shard in shards:
        if not len(shard.cloud) or not len(shard.grasps):
            continue
        grasps, labels = shard.grasps, labels_of(shard)
        found = hold_probability(
            evaluator, effector, shard.cloud, grasps.T_cloud_gripper, grasps.joints, grasps.score
        )
        for label, regions in (("lifted", lifted), ("by_part", by_part)):
            column = LABELS.index(label)
            if shard.source.part or label == "lifted":
                regions.append(Ranked(found[:, column], grasps.score, labels[:, column]))
    return rank(lifted), rank(by_part)
