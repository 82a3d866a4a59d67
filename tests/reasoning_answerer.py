"""A simulated answerer of known skill for reasoning-tables, in every view of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from point2act.data.capture import read_capture
from point2act.scoring.questions import Question
from point2act.simulation.camera import render
from point2act.simulation.pointing import interior_pixel
from point2act.simulation.record import captured_scene

KNOWS_NAME, KNOWS_USE, FINDS_PART, DENIES = 0.95, 0.7, 0.75, 0.6
"""Probabilities that it knows the object by its name, by its use, that it finds the part in a view, and that
it says that what is not there is not there."""
MIN_PIXELS = 12


def answer_views(questions: Sequence[Question], rng: np.random.Generator) -> Iterator[tuple[Any, str]]:
    """Ids and replies to every question about every view of its capture.

    It knows the object or not, the same in all views; in each view it finds the part or points at another
    part of the object. Other objects are what it points at where it does not know better.
    """
    shots: dict[Path, Shots] = {}
    for question in questions:
        assert question.capture is not None
        if question.capture not in shots:
            shots[question.capture] = Shots(question.capture)
        seen = shots[question.capture]
        skill = KNOWS_NAME if question.category.startswith("explicit") else KNOWS_USE
        denies = rng.random() < DENIES
        known = rng.random() < skill and not question.absent
        others = sorted({thing for thing, _ in seen.parts} - {question.object})
        thing = question.object if known else str(rng.choice(others))
        for image, ids in seen.ids.items():
            finds = not question.part or rng.random() < FINDS_PART
            wanted = seen.mask(ids, thing, question.part if known else "", right=finds)
            name = question.id if image == question.image else f"{question.id}/{image.stem}"
            yield name, "[]" if question.absent and denies else reply(wanted, rng)


class Shots:
    """The part that every pixel of a capture's images shows."""

    def __init__(self, capture: Path):
        frames = read_capture(capture).frames
        scene = captured_scene(capture)
        ids = render(scene, [frame.T_world_cam for frame in frames], frames[0].camera)[2]
        self.parts = scene.parts
        self.ids = {frame.image_path: shown for frame, shown in zip(frames, ids, strict=True)}

    def mask(self, ids: np.ndarray, thing: str, part: str, *, right: bool) -> np.ndarray:
        """Where the part is seen, or where the other parts of its object are."""
        wanted = [
            number
            for number, (name, own) in enumerate(self.parts)
            if name == thing and (part == "" or (own == part) == right)
        ]
        return np.isin(ids, wanted)


def reply(wanted: np.ndarray, rng: np.random.Generator) -> str:
    """A point in a mask, as a fraction of the image, or none where it is too small to be seen."""
    if wanted.sum() < MIN_PIXELS:
        return "[]"
    x, y = interior_pixel(wanted, rng) / wanted.shape[::-1]
    return f"[({x:.4f}, {y:.4f})]"
