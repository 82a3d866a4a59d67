"""``point2act learn-grasps generate|train …``: networks that judge and propose grasps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from point2act.cli.options import parse_kind
from point2act.core.errors import LearningError
from point2act.core.logs import printable
from point2act.core.progress import Stages
from point2act.grasp_learning.train_config import TrainConfig

if TYPE_CHECKING:
    from point2act.grasp_learning.ranking import Ranking
    from point2act.grasp_learning.train_config import Trained
else:
    Ranking = Trained = Any


@dataclass(frozen=True)
class Generate:
    """Plan grasps on simulated tables, and label them in physics (pip install 'point2act[sim]').

      point2act learn-grasps generate --effector allegro --output data/

    Objects of many families and sizes are drawn, each on a table of its own, often with neighbours. Writes a
    file for each part whose grasps were planned and executed. The same command resumes what was interrupted.
    """

    output: Path
    """Folder of the shards; it may have some already."""
    effector: str = "panda"
    """Name of a gripper or of a hand."""
    shapes: int = 315
    """Number of objects, shared evenly among the families."""
    parts: int = 2
    """Largest number of parts of an object whose grasps are labelled."""
    grasps: int = 24
    """Largest number of grasps of a part."""
    views: int = 12
    """Depth images of a table."""
    seed: int = 0
    """Seed of the first object of each family; the others follow."""
    jobs: int | None = None
    """Number of processes; by default one on each core."""


@dataclass(frozen=True)
class Train:
    """Train the networks of a gripper or a hand on labelled grasps.

      point2act learn-grasps train data/ --output weights/ --kind evaluator

    Writes for each network its weights, the losses and scores as JSON, and a model card. Families of objects
    are held out: by their loss the best pass is chosen, and on them the evaluator is compared with the
    planner. The same command resumes a training that was interrupted.
    """

    data: tyro.conf.Positional[Path]
    """Folder of shards (.npz), of one gripper or hand."""
    output: Path
    """Folder of the weights; networks that are in it already are not replaced."""
    kind: Literal["evaluator", "flow", "both"] = "both"
    """The network that judges grasps, the one that proposes those of a hand, or both."""
    config: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    """How they are trained."""


KINDS = {"generate": Generate, "train": Train}
"""What can be done."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, and generate or train."""
    arguments = parse_kind(KINDS, argv, "learn-grasps", LearningError, "do")
    if isinstance(arguments, Generate):
        _generate(arguments)
    elif isinstance(arguments, Train):
        _train(arguments)


def _generate(arguments: Generate) -> None:
    for name in ("shapes", "parts", "grasps", "views", "jobs"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise LearningError(f"--{name} {value}: give a whole number, 1 or more")
    if arguments.seed < 0:
        raise LearningError(f"--seed {arguments.seed}: give a whole number, 0 or more")
    from point2act.grasp_learning.generate import GenerateConfig, generate
    from point2act.grasp_learning.labels import LabelConfig

    config = GenerateConfig(
        shapes=arguments.shapes,
        parts=arguments.parts,
        views=arguments.views,
        labels=LabelConfig(grasps=arguments.grasps),
        seed=arguments.seed,
    )
    with Stages(show=True).stage("label grasps") as tick:
        found = generate(arguments.effector, arguments.output, config, jobs=arguments.jobs, progress=tick)
    print(f"{found.regions} parts, {found.grasps} grasps in {found.seconds:.0f} s")
    print(f"{found.lifted} lift the object, {found.by_part} of them by the part")
    if found.skipped:
        print(f"{found.skipped} objects did not stand on any table that was drawn")
    print(f"data: {arguments.output}")


def _train(arguments: Train) -> None:
    _check_training(arguments.config)
    from point2act.grasp_learning.trainer import weights_path
    from point2act.grasp_learning.training import train_evaluator, train_flow

    trainers = {"evaluator": train_evaluator, "flow": train_flow}
    stages = Stages(show=True)
    for kind in trainers if arguments.kind == "both" else [arguments.kind]:
        done = weights_path(arguments.data, arguments.output, kind)
        if arguments.kind == "both" and done.exists():
            print(f"{kind}: already trained, see {done}")
            continue
        with stages.stage(f"train the {kind}") as tick:
            found = trainers[kind](arguments.data, arguments.output, config=arguments.config, progress=tick)
        _report(found)


def _report(trained: Trained) -> None:
    print(
        f"{trained.effector} {trained.kind}: {trained.parameters} weights, {len(trained.train_losses)} passes"
    )
    print(f"loss: {trained.train_losses[0]:.4f} at first, {trained.train_losses[trained.best]:.4f} at best")
    if trained.held_out_losses:
        names = printable(", ".join(trained.held_out))
        print(f"held-out families ({names}): loss {trained.held_out_losses[trained.best]:.4f}")
    for label, ranking in (("lifted", trained.lifted), ("lifted by the part", trained.by_part)):
        if ranking is not None:
            print(_ranked(label, ranking))
    print(f"weights: {trained.weights}")


def _ranked(label: str, ranking: Ranking) -> str:
    return (
        f"first grasp {label}: {ranking.top_one:.1%} by the evaluator, {ranking.planner_top_one:.1%} by the "
        f"planner, {ranking.random:.1%} at random, {ranking.best_possible:.1%} at best ({ranking.regions} "
        "regions)"
    )


def _check_training(config: TrainConfig) -> None:
    """Refuse options out of range before any work."""
    for name in ("epochs", "batch", "patience", "max_points"):
        if getattr(config, name) < 1:
            raise LearningError(
                f"--{name.replace('_', '-')} {getattr(config, name)}: give a whole number, 1 or more"
            )
    if not 0 < config.learning_rate < 1:
        raise LearningError(f"--learning-rate {config.learning_rate:g}: give a number between 0 and 1")
    for name in ("weight_decay", "jitter"):
        if not 0 <= getattr(config, name) < 1:
            raise LearningError(
                f"--{name.replace('_', '-')} {getattr(config, name):g}: give a number from 0 to 1"
            )
