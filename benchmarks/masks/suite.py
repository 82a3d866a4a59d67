"""Overlap of regions with the true parts: points alone, true masks, and masks of SAM 2.

Simulated tables with seeds that nothing was tuned on, one query at a time, answers that err. Overlap is the
intersection over union of the surface points of the likeliest place, refused or not, with those of the true
part. Beside ours stands the simplest use of masks: in the same views and at the same pixels, the mask with
the highest score; a point belongs where most views that see it say so.

``POINT2ACT_SAM2`` names a folder with SAM 2 (see docs/models.md); without it, its rows are left out.
``POINT2ACT_BENCHMARK_CACHE`` names a folder in which tables and masks are kept. For tuning tables:
``python -m benchmarks.masks.suite --seeds tune``.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from benchmarks import Metric, Plan
from benchmarks.common.tables import Simulated, Table, folder, simulated, tables
from benchmarks.localization.ceiling import true_labels
from benchmarks.localization.levels import LEVELS, drawn
from benchmarks.localization.measures import distance
from point2act.core.geometry import to_tangents
from point2act.core.masks import CandidateMasks
from point2act.core.threads import configure_threads
from point2act.core.types import NoAnswer, PointSet, ViewAnswers
from point2act.localization.likelihood import part_posterior
from point2act.localization.mask_evidence import masks_on_points
from point2act.localization.region import rank_places
from point2act.pipeline.masks import PlaceMasks
from point2act.pipeline.query import Localization
from point2act.simulation import part_box
from point2act.vlm.segmenters.cache import CachedSegmenter
from point2act.vlm.segmenters.factory import SegmenterConfig, open_segmenter
from point2act.vlm.segmenters.segmenter import Segmenter

SAM2 = "POINT2ACT_SAM2"
"""Environment variable that names the folder with SAM 2."""
HELD_OUT = tables((900,))
"""For published figures; nothing may be chosen on them."""
TUNE = tables((0,))
"""For choosing parameters."""
CHOSEN = ("typical", "hard")
"""Levels of errors of ``benchmarks.localization.levels``."""


@dataclass(frozen=True, eq=False)
class TrueMasks:
    """A segmenter that knows the one true mask of a part in every view."""

    opened: Simulated
    parts: tuple[int, ...]

    @property
    def identity(self) -> None:
        """None: not cached."""
        return None

    def segment(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        positive: Float[np.ndarray, "p 2"],
        negative: Float[np.ndarray, "n 2"],
    ) -> CandidateMasks:
        """Return the true mask, wherever the points are."""
        shot = next(shot for shot in self.opened.shots if np.array_equal(shot.view.rgb, image))
        return CandidateMasks(np.isin(shot.part_ids, self.parts)[None], np.ones(1))


@dataclass(eq=False)
class Timed:
    """A segmenter that notes how long each call takes, apart from cached ones."""

    segmenter: Segmenter
    first: list[float] = field(default_factory=list)
    """Seconds of the first prompt in each image, which encodes it."""
    later: list[float] = field(default_factory=list)
    _seen: set[bytes] = field(default_factory=set)

    @property
    def identity(self) -> Mapping[str, Any] | None:
        """That of the segmenter."""
        return self.segmenter.identity

    def segment(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        positive: Float[np.ndarray, "p 2"],
        negative: Float[np.ndarray, "n 2"],
    ) -> CandidateMasks:
        """Segment and note the time."""
        start = time.perf_counter()
        found = self.segmenter.segment(image, positive, negative)
        key = image.tobytes()
        (self.later if key in self._seen else self.first).append(time.perf_counter() - start)
        self._seen.add(key)
        return found


@dataclass(frozen=True)
class Outcome:
    """One query by one method."""

    level: str
    method: str
    query: str
    overlap: float
    """Intersection over union of the place's surface points with those of the true part."""
    inside: bool
    """Whether the action point lies inside the part's box."""
    confidence: float


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield overlaps, how often the action point is inside, and seconds for masks."""
    chosen = HELD_OUT[:2] if plan.every > 1 else HELD_OUT
    timed = opened_sam2()
    records = compare(chosen, CHOSEN, timed)
    print(f"{table_of(records)}\n", flush=True)
    for level in CHOSEN:
        for method in dict.fromkeys(record.method for record in records):
            here = [record for record in records if (record.level, record.method) == (level, method)]
            name = f"masks.{level}.{method.replace(' ', '_')}"
            yield Metric(f"{name}.overlap", float(np.mean([r.overlap for r in here])), "of 1", "higher")
            yield Metric(f"{name}.inside", 100 * float(np.mean([r.inside for r in here])), "%", "higher")
    if timed is not None and timed.first:
        yield Metric("masks.first_prompt", float(np.median(timed.first)), "s")
    if timed is not None and timed.later:
        yield Metric("masks.later_prompt", float(np.median(timed.later)), "s")


def opened_sam2() -> Timed | None:
    """Return SAM 2 with a cache beside the tables; None without its weights."""
    path = os.environ.get(SAM2)
    if path is None:
        print(f"no SAM 2: {SAM2} names no folder", flush=True)
        return None
    return Timed(open_segmenter(SegmenterConfig(path=Path(path), remember=False)))


def compare(chosen: Sequence[Table], levels: Sequence[str], timed: Timed | None) -> list[Outcome]:
    """Return the outcome of every query of some tables by every method."""
    found = []
    sam2 = None if timed is None else CachedSegmenter(timed, folder() / "masks")
    for table in chosen:
        opened = simulated(table)
        labels = true_labels(opened)
        for level in levels:
            for query in opened.scene.queries:
                points = _only(drawn(opened, LEVELS[level], 1), query.name)
                parts = opened.scene.target_parts(query.name)
                truth = np.isin(labels, parts)
                methods: dict[str, Segmenter | None] = {
                    "points": None,
                    "true masks": TrueMasks(opened, parts),
                }
                if sam2 is not None:
                    methods["sam2"] = sam2
                for method, segmenter in methods.items():
                    (one,) = replace(opened.session, segmenter=segmenter).localize(points)
                    found.append(_outcome(opened, level, method, query.name, one, truth))
                if sam2 is not None:
                    simple = _overlap(_by_majority(opened, points, sam2), truth)
                    found.append(replace(found[-1], method="best masks", overlap=simple))
        print(f"{table.name}: {len(found)} outcomes", flush=True)
    return found


def _only(points: PointSet, query: str) -> PointSet:
    """Return the points with the first draw of one query alone."""
    name = f"{query}/0"
    return PointSet(
        tuple(one for one in points.queries if one.name == name),
        tuple(one for one in points.answers if one.query == name),
    )


def _outcome(
    opened: Simulated,
    level: str,
    method: str,
    query: str,
    one: Localization,
    truth: Bool[np.ndarray, " n"],
) -> Outcome:
    region = one.rivals[0] if isinstance(one.region, NoAnswer) and one.rivals else one.region
    inside, confidence = False, 0.0
    if not isinstance(region, NoAnswer):
        inside = distance(region.action_point, part_box(opened.scene, query)) == 0
        confidence = region.confidence
    surface_point = opened.session.segmentation().surface_point
    found = np.zeros(len(truth), dtype=bool)
    found[surface_point[one.extent]] = True
    return Outcome(level, method, f"{opened.table.name}/{query}", _overlap(found, truth), inside, confidence)


def _by_majority(opened: Simulated, points: PointSet, segmenter: Segmenter) -> Bool[np.ndarray, " n"]:
    """Return the points that lie in the best-scored mask of most segmented views that see them."""
    session = opened.session
    segmentation = session.segmentation()
    parts, visibility = segmentation.parts, segmentation.visibility
    answers: ViewAnswers = [
        None if named is None else to_tangents(view.camera, named)
        for named, view in zip(_pixels(opened, points), session.views, strict=True)
    ]
    posterior = part_posterior(parts, visibility, answers)
    places = rank_places(parts, visibility, posterior, session.views, _pixels(opened, points))
    hits, total = np.zeros(len(parts.points)), np.zeros(len(parts.points))
    if not places:
        return hits > 0
    masks = PlaceMasks(segmentation, session.views, session.full_size, segmenter)
    for number, candidates in masks.segment(places[0], answers).items():
        found = masks_on_points(parts.points, visibility, number, session.views[number], candidates)
        total += found.seen
        hits += found.seen * found.votes[candidates.scores.argmax()]
    return hits > 0.5 * total


def _pixels(opened: Simulated, points: PointSet) -> ViewAnswers:
    from point2act.localization.relevancy import answers_in_views

    (pixels,) = answers_in_views(points, opened.session.capture, opened.session.views)
    return pixels


def _overlap(found: Bool[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> float:
    either = (found | truth).sum()
    return float((found & truth).sum() / either) if either else 0.0


def table_of(records: Sequence[Outcome]) -> str:
    """Return one line for each level and method."""
    lines = ["level     method        n  overlap  median  inside  mean confidence"]
    for level in dict.fromkeys(record.level for record in records):
        for method in dict.fromkeys(record.method for record in records):
            here = [record for record in records if (record.level, record.method) == (level, method)]
            overlaps = [record.overlap for record in here]
            middle = np.median(overlaps)
            lines.append(
                f"{level:<9} {method:<11} {len(here):>3} {np.mean(overlaps):>8.3f} {middle:>7.3f}"
                f" {100 * np.mean([record.inside for record in here]):>6.1f}%"
                f" {np.mean([record.confidence for record in here]):>8.3f}"
            )
    return "\n".join(lines)


def main() -> None:
    """Compare the methods and print each query."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.masks.suite", description=main.__doc__)
    parser.add_argument("--seeds", choices=["tune", "report"], default="tune")
    parser.add_argument("--count", type=int, help="maximum number of tables")
    parser.add_argument("--levels", nargs="+", choices=list(LEVELS), default=list(CHOSEN))
    arguments = parser.parse_args()
    configure_threads()
    chosen = {"tune": TUNE, "report": HELD_OUT}[arguments.seeds][: arguments.count]
    timed = opened_sam2()
    records = compare(chosen, arguments.levels, timed)
    for name in dict.fromkeys((record.level, record.query) for record in records):
        here = [record for record in records if (record.level, record.query) == name]
        shown = ", ".join(f"{r.method} {r.overlap:.2f}{'' if r.inside else ' (outside)'}" for r in here)
        print(f"{name[0]:<9} {name[1]:<28} {shown}")
    print(f"\n{table_of(records)}")
    if timed is not None and timed.first:
        print(f"first prompt {np.median(timed.first):.1f} s, later {np.median(timed.later or [0]):.2f} s")


if __name__ == "__main__":
    main()
