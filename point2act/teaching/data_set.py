"""The folder of a data set: examples.jsonl, and the images that its lines name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point2act.core.errors import TeachingError
from point2act.core.files import new_folder, write_text

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
    with new_folder(output, TeachingError) as folder:
        (folder / "images").mkdir()
        yield folder


def write_examples(folder: Path, examples: Sequence[Example]) -> None:
    """Write examples.jsonl atomically."""
    lines = (json.dumps(example.model_dump(), ensure_ascii=False, allow_nan=False) for example in examples)
    write_text(folder / NAME, "".join(f"{line}\n" for line in lines))


def read_examples(folder: Path) -> tuple[Example, ...]:
    """Read the examples of a data set.

    Raises:
        TeachingError: A line is malformed, an id is used twice, or an image is missing.
    """
    from point2act.core.documents import check_lines
    from point2act.teaching.documents import Example

    examples: dict[str, Example] = {}
    for place, example in check_lines(Example, folder / NAME, TeachingError):
        if example.id in examples:
            raise TeachingError(f"{place}: the id {example.id!r} is used twice: give each its own")
        if not (folder / example.image).is_file():
            raise TeachingError(f"{place}: there is no {folder / example.image}: copy the whole folder")
        examples[example.id] = example
    if not examples:
        raise TeachingError(f"{folder / NAME} has no examples: collect them from other runs")
    return tuple(examples.values())
