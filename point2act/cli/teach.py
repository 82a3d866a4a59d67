"""``point2act teach collect|export …``: training data for pointing models from finished runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import tyro

from point2act.cli.options import parse
from point2act.core.errors import TeachingError
from point2act.core.logs import printable
from point2act.core.progress import Stages

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


KINDS = {"collect": Collect, "export": Export}
"""What can be done."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and collect or export examples."""
    if not argv or argv[0] not in KINDS:
        _explain(argv)
    arguments = parse(KINDS[argv[0]], argv[1:], f"teach {argv[0]}")
    if isinstance(arguments, Collect):
        _collect(arguments)
    elif isinstance(arguments, Export):
        _export(arguments)


def _explain(argv: Sequence[str]) -> NoReturn:
    """List what can be done, or refuse what cannot."""
    if not {"-h", "--help", "--help-all"} & set(argv):
        raise TeachingError(f"point2act teach needs what to do as its first argument: {', '.join(KINDS)}")
    from point2act.cli.help import format_kinds

    print(format_kinds("teach", KINDS))
    raise SystemExit(0)


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
