"""The folder of a data set: examples.jsonl, and the images that its lines name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from point2act.core.errors import Point2ActError, ScoringError, TeachingError
from point2act.core.files import write_text
from point2act.scoring.formats.files import read_lines

if TYPE_CHECKING:
    from point2act.teaching.documents import Example
else:
    Example = Any

NAME = "examples.jsonl"
"""File of the examples, one a line."""


@contextmanager
def new_data_set(output: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``output`` at the end of the block.

    Raises ``TeachingError`` at once if ``output`` exists and is not an empty folder.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise TeachingError(f"{output} already exists: choose another --output, or delete it")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as draft:
            folder = Path(draft) / "data"
            (folder / "images").mkdir(parents=True)
            yield folder
            os.replace(folder, output)
    except OSError as err:
        raise Point2ActError(f"{output} cannot be written ({err}): choose another --output") from err


def write_examples(folder: Path, examples: Sequence[Example]) -> None:
    """Write examples.jsonl atomically."""
    lines = (json.dumps(example.model_dump(), ensure_ascii=False, allow_nan=False) for example in examples)
    write_text(folder / NAME, "".join(f"{line}\n" for line in lines))


def read_examples(folder: Path) -> tuple[Example, ...]:
    """Read the examples of a data set.

    Raises:
        TeachingError: A line is malformed, an id is used twice, or an image is missing.
    """
    from point2act.core.documents import check
    from point2act.teaching.documents import Example

    try:
        lines = read_lines(folder / NAME)
    except ScoringError as err:
        raise TeachingError(str(err)) from err
    examples: dict[str, Example] = {}
    for place, value in lines:
        example = check(Example, value, TeachingError, place=place)
        if example.id in examples:
            raise TeachingError(f"{place}: the id {example.id!r} is used twice: give each its own")
        if not (folder / example.image).is_file():
            raise TeachingError(f"{place}: there is no {folder / example.image}: copy the whole folder")
        examples[example.id] = example
    if not examples:
        raise TeachingError(f"{folder / NAME} has no examples: collect them from other runs")
    return tuple(examples.values())
