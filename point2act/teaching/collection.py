"""From finished runs to a data set: examples of all runs, held-out scenes split off, duplicates removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point2act.core.errors import TeachingError
from point2act.core.types import ProgressCallback
from point2act.data.run_manifest import read_run
from point2act.teaching.collect import CollectConfig, Tally, collect_run
from point2act.teaching.data_set import new_data_set, write_examples
from point2act.teaching.split import held_out_scenes, merge_scenes, without_duplicates

if TYPE_CHECKING:
    from point2act.teaching.documents import Example
else:
    Example = Any


@dataclass(frozen=True, eq=False)
class Collected:
    """A data set that was written."""

    examples: tuple[Example, ...]
    scenes: tuple[str, ...]
    held_out: frozenset[str]
    duplicates: int
    """Number of examples that were not written because their question is asked by another one."""
    tally: Tally = field(default_factory=Tally)


def collect_runs(
    runs: Sequence[Path],
    output: Path,
    *,
    held_out: float = 0.2,
    seed: int = 0,
    config: CollectConfig = CollectConfig(),
    progress: ProgressCallback | None = None,
) -> Collected:
    """Collect examples from finished runs into a new folder.

    Args:
        runs: Output folders of ``point2act run``.
        output: Folder of the data set, new or empty; written completely or not at all.
        held_out: Fraction of the scenes that are held out.
        seed: Seed of their draw.
        config: Which examples are taken.
        progress: Called with the number of runs done and the number of runs.

    Raises:
        Point2ActError: A run cannot be read, the output exists, or there are no examples.
    """
    captures = [read_run(run).capture.resolve() for run in runs]
    tally, found = Tally(), []
    with new_data_set(output) as folder:
        for number, run in enumerate(runs):
            found.append(collect_run(run, folder, tally=tally, config=config))
            if progress is not None:
                progress(number + 1, len(runs))
        contents = [
            frozenset([str(capture), *(example.image for example in examples)])
            for capture, examples in zip(captures, found, strict=True)
        ]
        names = merge_scenes([capture.name for capture in captures], contents)
        named = [
            example.model_copy(update={"scene": name})
            for name, examples in zip(names, found, strict=True)
            for example in examples
        ]
        if not named:
            raise TeachingError(
                f"no query of the runs has a confidence of {config.min_confidence:g} and a view that decides "
                "where it is: lower --min-confidence, or give other runs"
            )
        kept = without_duplicates(named)
        away = held_out_scenes(kept, share=held_out, seed=seed)
        kept = [
            example.model_copy(update={"split": "held_out"}) if example.scene in away else example
            for example in kept
        ]
        write_examples(folder, kept)
    scenes = tuple(dict.fromkeys(example.scene for example in kept))
    return Collected(tuple(kept), scenes, away, len(named) - len(kept), tally)
