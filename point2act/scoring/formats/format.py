"""What a data set's format defines: its files, its targets, its metric and its reading of replies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from point2act.scoring.questions import Mark, Question, Target
from point2act.scoring.replies import PUBLISHED, Reader


def guess_point(x: float, y: float, target: Target) -> Mark:
    """Return a point as a guess."""
    return x, y


@dataclass(frozen=True)
class Format:
    """A published format."""

    name: str
    title: str
    metric: str
    """What the score of a question is, in words."""
    read: Callable[[Path], tuple[Question, ...]]
    """Read the questions of a folder; raises ``ScoringError``."""
    target: Callable[[Question], Target]
    """Read the target of a question; raises ``CaptureError``."""
    score: Callable[[Sequence[Mark], Question, Target], float]
    readers: Mapping[str, Reader]
    """How the authors read replies, by dialect; "published" stands for what they read by default."""
    dialect: str = PUBLISHED
    """How stored replies are read by default."""
    recall: Callable[[Sequence[Mark], Question, Target], float] | None = None
    """Score of the best of several points, R@3; None where the format has no such metric."""
    guess: Callable[[float, float, Target], Mark] = guess_point
    """Answer of a baseline that points at a place without looking."""
    of_points: bool = True
    """Whether points are answers, so that pointing models can be asked and persons can click."""
    unanswered_counts: bool = False
    """Whether their mean has questions without an answer, as 0."""
