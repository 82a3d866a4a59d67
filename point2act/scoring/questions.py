"""Questions of a pointing benchmark, and the targets that points are scored against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

Size = tuple[int, int]
"""``(height, width)``."""

QuestionId = int | str

Mark = tuple[float, ...]
"""A point ``(x, y)``, a box ``(left, top, right, bottom)`` whose pixels all count as points, or the corners
``(x, y, x, y, x, y, x, y)`` of a grasp rectangle."""


@dataclass(frozen=True)
class Question:
    """One question about one image."""

    id: QuestionId
    """As in the data set; where that has none, its position or the file name of its image."""
    image: Path
    text: str
    """Instruction, without the format of the answer."""
    category: str
    mask: Path | None = None
    """Image of the target, in formats that have masks."""
    polygon: tuple[tuple[float, float], ...] = ()
    """Corners of the target as fractions of the image, in formats that have polygons."""
    rectangles: tuple[Mark, ...] = ()
    """Grasps, each as the corners of a rectangle in pixels, in formats that have such."""
    count: int | None = None
    """Number of points that a correct answer has; None where any number will do."""
    target: str = ""
    """Noun phrase for the target, in formats that have one."""
    prompt: str = ""
    """Whole prompt of the data set's authors, in formats that have one."""
    absent: bool = False
    """Whether the target is not in the image, so that "not visible" is the answer."""
    split: str = ""
    """Part of the data set, in formats that have several."""
    aliases: tuple[str, ...] = ()
    """Other names by which stored answers may call it."""
    capture: Path | None = None
    """Folder of the capture that the image belongs to, in formats that have captures."""
    object: str = ""
    """Object of the capture's scene that is meant, in formats that have scenes; empty for what is absent."""
    part: str = ""
    """Part of the object that is meant; empty for the whole object."""
    objects: Path | None = None
    """Image whose values number the objects, 0 for everything else, in formats that have such."""


@dataclass(frozen=True, eq=False)
class Target:
    """What points of a question should hit."""

    frame: Size
    """Height and width of the image in the units of points: pixels, or (1, 1) for fractions."""
    values: Float[np.ndarray, "h w"] | None = None
    """Score of a point in each pixel, in [0, 1]; None for a polygon."""
    polygon: Float[np.ndarray, "n 2"] | None = None
    """Corners in the frame."""
    rectangles: Float[np.ndarray, "n 4 2"] | None = None
    """Corners of grasps in the frame."""

    @classmethod
    def of_mask(cls, values: Float[np.ndarray, "h w"]) -> Target:
        """Return a mask as the target in its own pixels."""
        height, width = values.shape
        return cls((height, width), values)

    def area(self) -> float | None:
        """Return the target's share of the image, the expected score of a random point; None for grasps."""
        if self.values is not None:
            return float(self.values.sum() / (self.frame[0] * self.frame[1]))
        if self.polygon is None:
            return None
        x, y = self.polygon.T
        return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def index_questions(questions: Sequence[Question]) -> dict[str, tuple[Question, ...]]:
    """Index questions by their ids and aliases; ids come before first aliases, those before second ones.

    Args:
        questions: Questions of a data set.

    Returns:
        The questions that each name may mean; several for an ambiguous one.
    """
    longest = max((len(question.aliases) for question in questions), default=0)
    index: dict[str, tuple[Question, ...]] = {}
    for position in reversed(range(longest + 1)):
        level: dict[str, tuple[Question, ...]] = {}
        for question in questions:
            names = (str(question.id), *question.aliases)
            if position < len(names):
                level[names[position]] = (*level.get(names[position], ()), question)
        index |= level
    return index
