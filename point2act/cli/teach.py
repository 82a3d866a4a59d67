"""``point2act teach collect|export|train …``: pointing models taught on finished runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from point2act.cli.options import parse_kind
from point2act.core.errors import TeachingError
from point2act.core.logs import printable
from point2act.core.progress import Stages
from point2act.teaching.training import TrainConfig

if TYPE_CHECKING:
    from point2act.teaching.collection import Collected
    from point2act.teaching.export import Pupil
else:
    Collected = Pupil = Any


@dataclass(frozen=True)
class Collect:
    """Collect examples from finished runs: what all views agree on, as the answer that each should have got.

      point2act teach collect out1/ out2/ out3/ --output data/

    Writes examples.jsonl and images/: points and regions in every view that sees them, "not visible" where
    they are hidden, images in which the model itself was wrong marked as hard, plans and their steps, and the
    cameras. No model is trained.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Output folders of point2act run."""
    output: Path
    """Folder of the data set to write; new or empty."""
    min_confidence: float = 0.8
    """Smallest confidence of an action point that is taken."""
    held_out: float = 0.2
    """Fraction of the scenes that are held out; runs that share a capture or an image share a scene."""
    seed: int = 0
    """Seed of the draw of the held-out scenes."""
    max_side: int = 1024
    """Longer side of the images, pixels."""


@dataclass(frozen=True)
class Export:
    """Export a data set in the chat format of a trainer, with the answers of the model to be taught.

      point2act teach export data/ --format trl --model qwen3_vl_4b --output trl/

    Writes train.jsonl and held_out.jsonl, which name the images by absolute paths: export again after moving
    the data set.
    """

    data: tyro.conf.Positional[Path]
    """Folder that point2act teach collect wrote."""
    output: Path
    """Folder of the files to write."""
    format: Literal["trl", "ms-swift", "llava"]
    """Chat format: of TRL, of ms-swift, or of LLaVA and LLaMA-Factory."""
    model: str | None = None
    """Model to be taught, a name or a TOML file as for point2act ask: its prompt and its dialect are used."""
    dialect: str | None = None
    """Format of the answers, such as molmo or gemini; by default the model's."""


@dataclass(frozen=True)
class Train:
    """Fine-tune a model on a data set: LoRA, through TRL and PEFT (pip install 'point2act[teach]').

      point2act teach train data/ --model qwen3_vl_2b --output taught/
      point2act ask my_capture/ --query "the mug" --model taught/model.toml

    The weights of the pass that answers the held-out examples best are kept. The same command resumes a
    training that was interrupted. Needs a GPU for all but tiny models.
    """

    data: tyro.conf.Positional[Path]
    """Folder that point2act teach collect wrote."""
    model: str
    """Model to be taught, a name or a TOML file as for point2act ask; from one with an adapter it goes on."""
    output: Path
    """Folder of the adapter, its model.toml for --model, and a model card; new, empty, or interrupted."""
    config: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    """How it is trained."""


KINDS = {"collect": Collect, "export": Export, "train": Train}
"""What can be done."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and collect or export examples, or train on them."""
    arguments = parse_kind(KINDS, argv, "teach", TeachingError, "do")
    if isinstance(arguments, Collect):
        _collect(arguments)
    elif isinstance(arguments, Export):
        _export(arguments)
    elif isinstance(arguments, Train):
        _train(arguments)


def _collect(arguments: Collect) -> None:
    _check(arguments)
    from point2act.teaching.collect import CollectConfig
    from point2act.teaching.collection import collect_runs

    config = CollectConfig(min_confidence=arguments.min_confidence, max_side=arguments.max_side)
    with Stages(show=True).stage("collect the examples") as tick:
        found = collect_runs(
            arguments.runs,
            arguments.output,
            held_out=arguments.held_out,
            seed=arguments.seed,
            config=config,
            progress=tick,
        )
    _report(found)
    print(f"data: {arguments.output}")


def _check(arguments: Collect) -> None:
    """Refuse options out of range before any work."""
    if not arguments.runs:
        raise TeachingError("there is nothing to collect from: give the output folders of point2act run")
    for name in ("min_confidence", "held_out"):
        value = getattr(arguments, name)
        if not 0 <= value <= 1:
            raise TeachingError(
                f"--{name.replace('_', '-')} {value:g} is no fraction: give a number from 0 to 1"
            )
    if arguments.max_side < 1:
        raise TeachingError(f"--max-side {arguments.max_side}: give a number of pixels, 1 or more")


def _report(found: Collected) -> None:
    kinds = Counter(example.kind for example in found.examples)
    counts = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in sorted(kinds.items()))
    hard = sum(example.hard for example in found.examples)
    print(f"{len(found.examples)} examples: {counts}; {hard} hard")
    names = ", ".join(sorted(found.held_out)) or "none, as there is one scene or --held-out is 0"
    print(printable(f"{len(found.scenes)} scenes, held out: {names}"))
    print(
        f"not taken: {found.tally.unconfident} queries below the confidence, {found.tally.undecided} views "
        f"in which a target is partly hidden or without depth, {found.duplicates} duplicates"
    )


def _export(arguments: Export) -> None:
    pupil = _pupil(arguments.model, arguments.dialect)
    from point2act.teaching.data_set import read_examples
    from point2act.teaching.export import export_examples

    examples = read_examples(arguments.data)
    counts = export_examples(examples, arguments.data, arguments.output, form=arguments.format, pupil=pupil)
    for split, count in counts.items():
        print(f"{split}: {count} examples in {arguments.output / f'{split}.jsonl'}")


def _pupil(model: str | None, dialect: str | None) -> Pupil:
    """Return how the model to be taught is asked and answers."""
    from point2act.teaching.export import PROMPT, Pupil
    from point2act.vlm.clients.models import load_model
    from point2act.vlm.parsers import WRITTEN_DIALECTS

    loaded = None if model is None else load_model(model)
    chosen = dialect or (None if loaded is None else loaded.dialect)
    if chosen not in WRITTEN_DIALECTS:
        wrong = "there is no dialect" if chosen is None else f"answers cannot be written in {chosen!r}"
        raise TeachingError(f"{wrong}: give --model, or --dialect, one of {', '.join(WRITTEN_DIALECTS)}")
    return Pupil(chosen, PROMPT if loaded is None else loaded.prompt)


def _train(arguments: Train) -> None:
    _check_training(arguments.config)
    from point2act.teaching.training import train_model
    from point2act.vlm.clients.models import load_model

    model = load_model(arguments.model)
    with Stages(show=True).stage("train the adapter") as tick:
        found = train_model(arguments.data, model, arguments.output, config=arguments.config, progress=tick)
    losses = f"loss {found.first_loss:.3f} at first, {found.last_loss:.3f} at last"
    print(f"{found.steps} steps, {found.parameters} weights; {losses}")
    if found.held_out_losses:
        best = min(found.held_out_losses)
        print(f"held-out examples: loss {found.held_out_losses[0]:.3f} before, {best:.3f} at best")
    print(f"model: {arguments.output / 'model.toml'}")


def _check_training(config: TrainConfig) -> None:
    """Refuse options out of range before any work."""
    for name in ("rank", "epochs", "max_steps", "batch", "at_once", "patience"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise TeachingError(f"--{name.replace('_', '-')} {value}: give a whole number, 1 or more")
    if not 0 < config.learning_rate < 1:
        raise TeachingError(f"--learning-rate {config.learning_rate:g}: give a number between 0 and 1")
