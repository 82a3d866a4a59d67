"""Set-of-mark prompting: action points inside the right part before and after a model chose a mark.

Simulated tables with the pointing model of the level ``hard``: two in five of its points are wrong, three
quarters of those on the same wrong object. The simulated model that selects marks names the right one with
probability ``SUCCESS_RATE``, else any other or none, independently for each image. The figures therefore show
what the method loses, not how well a model selects; a model with correlated errors gains less.
``POINT2ACT_BENCHMARK_CACHE`` as for ``localisation``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool

from benchmarks import Metric, Plan
from benchmarks.common.tables import REPORT, Simulated, simulated
from benchmarks.localization.levels import LEVELS, drawn
from benchmarks.localization.measures import distance
from point2act.pipeline.mark_selection import MarkSelectionConfig, select_marks
from point2act.pipeline.session_result import SessionResult
from point2act.simulation import part_box
from point2act.vlm.pointing.mark_selector import MarkChoice, MarkQuestion

SUCCESS_RATE = 0.8
TABLES = 5
DRAWS = 3
SIDE = 320
"""Longer side of the marked images: that of the simulated images, which the simulated model does not read."""
MIN_PIXELS = 20
"""Minimum number of pixels of a visible target, as for the simulated pointing models."""


@dataclass(frozen=True, eq=False)
class SimulatedMarkSelector:
    """Names the right mark with a given probability, else another one or none."""

    opened: Simulated
    right: float = SUCCESS_RATE
    name: str = "simulated/chooser"
    concurrency: int = 1

    def select(self, question: MarkQuestion) -> MarkChoice:
        """Return the region with the highest overlap, or the cell nearest to the target's middle."""
        numbered = next(iter(question.places)).isdigit()
        kind = "number" if numbered else "cell"
        seed = f"{self.opened.table.name} {question.query.name} {question.image} {kind}"
        rng = np.random.default_rng(zlib.crc32(seed.encode()))
        truth = self._truth(question)
        best = None
        if truth.sum() >= MIN_PIXELS:
            best = _most_shared(question, truth) if numbered else _nearest(question, truth)
        if rng.random() >= self.right:
            others = [label for label in (*question.places, None) if label != best]
            best = others[rng.integers(len(others))]
        return MarkChoice(best)

    def _truth(self, question: MarkQuestion) -> Bool[np.ndarray, "h w"]:
        parts = list(self.opened.scene.target_parts(_target(question.query.name)))
        return np.isin(self._part_ids[question.image], parts)

    @cached_property
    def _part_ids(self) -> dict:
        return {shot.view.name: shot.part_ids for shot in self.opened.shots}


def _most_shared(question: MarkQuestion, truth: Bool[np.ndarray, "h w"]) -> str | None:
    """Return the label with the highest intersection over union; None if no region overlaps the target."""
    shares = {}
    for label, pixels in question.places.items():
        column, row = pixels.astype(int).T
        shared = truth[row, column].sum()
        shares[label] = shared / (len(pixels) + truth.sum() - shared)
    best = max(shares, key=lambda label: shares[label])
    return best if shares[best] > 0 else None


def _nearest(question: MarkQuestion, truth: Bool[np.ndarray, "h w"]) -> str:
    pixels = np.argwhere(truth)[:, ::-1] + 0.5
    middle = pixels[np.linalg.norm(pixels - pixels.mean(axis=0), axis=1).argmin()]
    return min(question.places, key=lambda label: float(np.linalg.norm(question.places[label] - middle)))


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the percentage of action points inside the part's box; a refusal is not inside."""
    quick, config = plan.every > 1, MarkSelectionConfig(side=SIDE)
    before, after, questions = [], [], 0
    for table in REPORT[: 2 if quick else TABLES]:
        opened = simulated(table)
        points = drawn(opened, LEVELS["hard"], 1 if quick else DRAWS)
        # Nothing is planned for queries to avoid.
        points = replace(points, queries=tuple(replace(query, role="avoid") for query in points.queries))
        first = opened.session.ask(points)
        chosen = select_marks(opened.session, first, points, SimulatedMarkSelector(opened), config=config)
        before += _inside(opened, first)
        after += _inside(opened, opened.session.ask(chosen.points))
        questions += chosen.count.total
    yield Metric("choose.before.inside", 100 * float(np.mean(before)), "%", "higher")
    yield Metric("choose.after.inside", 100 * float(np.mean(after)), "%", "higher")
    yield Metric("choose.questions", questions / len(before), "a query")


def _inside(opened: Simulated, answered: SessionResult) -> list[bool]:
    boxes = [part_box(opened.scene, _target(result.query.name)) for result in answered.results]
    return [
        result.region is not None and distance(result.region.action_point, box) == 0
        for result, box in zip(answered.results, boxes, strict=True)
    ]


def _target(query: str) -> str:
    """Return the query's name without the number of the draw."""
    return query.split("/")[0]
