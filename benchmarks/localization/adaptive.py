"""Adaptive asking beside one look at all views: the same simulated models, a budget of as many questions.

What the models answer to crops and choices is assumed (``common.answerers``): an error persists with a
probability that differs from query to query. ``python -m benchmarks.localization.adaptive`` compares chosen
families on tuning tables.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks import Metric
from benchmarks.common.answerers import (
    AbsentAnswerer,
    SimulatedAnswerer,
    absent_family,
    level_family,
)
from benchmarks.common.error_families import AbsentConfig, ErrorFamily
from benchmarks.common.tables import FRESH, REPORT, TUNE, Simulated, Table, simulated
from benchmarks.localization.baselines import ONE_BY_ONE
from benchmarks.localization.levels import FAMILY_LEVELS, LEVELS, Level, Method, one_by_one, ours
from benchmarks.localization.measures import (
    Record,
    calibration_error,
    confidences,
    judge,
    roc_area,
    summarise,
)
from benchmarks.localization.result_tables import tables
from point2act.core.threads import configure_threads
from point2act.core.types import PointSet, Query
from point2act.data.crops import Crop, Window
from point2act.pipeline.adaptive import ask_adaptively
from point2act.pipeline.question_rounds import AdaptiveConfig
from point2act.simulation import PointingConfig, part_box
from point2act.vlm.pointing.point import point_at

ADAPTIVE, ALL = "adaptive", "all views"
SIMPLE = ("mean-shift mode", "mean with prior (A)")
SIDE = 320
"""Longer side of the marked images and crops: that of the simulated images, which the model does not read."""
ASKED = ("clean", "typical", "hard", "adversarial", "absent", *FAMILY_LEVELS)
SEEDS = {"tune": TUNE, "report": REPORT, "fresh": FRESH}


@dataclass(frozen=True)
class Asked:
    """A record, and the number of questions that it took."""

    record: Record
    questions: int


def answerer(opened: Simulated, level: Level, draw: int) -> SimulatedAnswerer:
    """Return the simulated model of a level, drawn once."""
    errs = level.pointing
    shots = opened.shots
    if isinstance(errs, AbsentConfig):
        seed = zlib.crc32(f"{opened.table.name} {draw}".encode())
        rate = float(np.random.default_rng(seed).uniform(*errs.pointed))
        family = absent_family(hallucinated=rate, look_alike=errs.look_alike, jitter=errs.jitter)
        return AbsentAnswerer(opened.scene, shots, family, draw)
    family = level_family(errs) if isinstance(errs, PointingConfig) else errs
    assert isinstance(family, ErrorFamily)
    return SimulatedAnswerer(opened.scene, shots, family, draw)


def compare_asking(
    levels: Sequence[str],
    scenes: Sequence[Table],
    draws: int,
    *,
    config: AdaptiveConfig = AdaptiveConfig(side=SIDE),
    adaptive_only: bool = False,
) -> Iterator[Asked]:
    """Yield a record of every query for adaptive asking, and for each method on all views."""
    simple = {name: one_by_one(ONE_BY_ONE[name]) for name in SIMPLE}
    methods: dict[str, Method] = {} if adaptive_only else {ALL: ours(), **simple}
    for table in scenes:
        opened = simulated(table)
        for name in levels:
            level = (LEVELS | FAMILY_LEVELS)[name]
            for draw in range(draws):
                yield from _compare(opened, level, draw, methods, config)


def _compare(
    opened: Simulated, level: Level, draw: int, methods: dict[str, Method], config: AdaptiveConfig
) -> Iterator[Asked]:
    model, session = answerer(opened, level, draw), opened.session
    # Nothing is planned for queries to avoid.
    queries = tuple(replace(query, role="avoid") for query in opened.scene.queries)
    absent = isinstance(level.pointing, AbsentConfig)
    boxes = [None if absent else part_box(opened.scene, query.name) for query in queries]
    asked = ask_adaptively(session, PointSet(queries, ()), model, model, side=SIDE, config=config)
    for one, box in zip(session.localize(asked.points), boxes, strict=True):
        name = one.query.name
        verdict = judge((one.region, one.rivals), box)
        record = Record(level.name, ADAPTIVE, opened.table.name, name, draw, verdict)
        yield Asked(record, asked.questions[name])
    if not methods:
        return
    points = PointSet(queries, tuple(_whole_answers(opened, model, queries)))
    for method, method_fn in methods.items():
        for query, outcome, box in zip(queries, method_fn(opened, level, points), boxes, strict=True):
            verdict = judge(outcome, box)
            record = Record(level.name, method, opened.table.name, query.name, draw, verdict)
            yield Asked(record, len(opened.shots))


def _whole_answers(opened: Simulated, model: SimulatedAnswerer, queries: Sequence[Query]):
    for shot in opened.shots:
        height, width = shot.part_ids.shape
        crop = Crop(np.zeros((height, width, 3), dtype=np.uint8), Window(0, 0, width, height))
        for query in queries:
            yield point_at(model, query, shot.view.name, crop)[0]


def measure_asking(scenes: Sequence[Table], draws: int) -> Iterator[Metric]:
    """Yield the metrics of adaptive asking for every level and family, beside all views of the same model."""
    found = list(compare_asking(ASKED, scenes, draws))
    print(f"{asking_tables(found)}\n", flush=True)
    for level in ASKED:
        here = [one for one in found if one.record.level == level]
        asked = [one for one in here if one.record.method == ADAPTIVE]
        own = summarise([one.record for one in asked])
        everything = summarise([one.record for one in here if one.record.method == ALL])
        name = f"field.{level}.adaptive"
        yield Metric(f"{name}.questions", float(np.mean([one.questions for one in asked])), "questions")
        yield Metric(f"{name}.queries", len(asked), "queries")
        if level == "absent":
            yield Metric(f"{name}.refused", 100 * own.refused.value, "%", "higher")
            continue
        yield Metric(f"{name}.inside", 100 * own.right.value, "%", "higher")
        yield Metric(f"{name}.inside_all_views", 100 * everything.right.value, "%", "higher")
        yield Metric(f"{name}.ece", own.ece, "of 1")
        yield Metric(f"{name}.auc", own.roc_area, "of 1")
    for method, name in ((ADAPTIVE, "adaptive"), (ALL, "all_views")):
        records = [
            one.record for one in found if one.record.method == method and one.record.level != "absent"
        ]
        confidence, right = confidences(records)
        yield Metric(f"field.{name}.ece", calibration_error(confidence, right), "of 1")
        yield Metric(f"field.{name}.auc", roc_area(confidence, right), "of 1")


def _present(found: Sequence[Asked], method: str) -> list[Record]:
    """Return one method's records of what is in the scene."""
    records = [one.record for one in found if one.record.method == method]
    return [record for record in records if record.level != "absent"]


def asking_tables(found: Sequence[Asked]) -> str:
    """Return one table a level, and the number of questions that adaptive asking took."""
    lines = [tables([one.record for one in found]), ""]
    for level in dict.fromkeys(one.record.level for one in found):
        counts = [
            one.questions for one in found if (one.record.level, one.record.method) == (level, ADAPTIVE)
        ]
        lines.append(f"{level}: {np.mean(counts):.1f} questions, median {np.median(counts):.0f}")
    return "\n".join(lines)


def main() -> None:
    """Compare adaptive asking with one look at all views."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.localization.adaptive", description=main.__doc__
    )
    parser.add_argument("--seeds", choices=list(SEEDS), default="tune")
    parser.add_argument("--count", type=int, help="maximum number of tables")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--levels", nargs="+", choices=ASKED, default=list(ASKED))
    parser.add_argument("--adaptive-only", action="store_true")
    arguments = parser.parse_args()
    configure_threads()
    found = list(
        compare_asking(
            arguments.levels,
            SEEDS[arguments.seeds][: arguments.count],
            arguments.draws,
            adaptive_only=arguments.adaptive_only,
        )
    )
    print(asking_tables(found))
    for method in dict.fromkeys(one.record.method for one in found):
        confidence, right = confidences(_present(found, method))
        print(
            f"{method}: n {len(right)}, right {100 * right.mean():.1f} %, calibration error "
            f"{calibration_error(confidence, right):.3f}, ROC area {roc_area(confidence, right):.3f}"
        )


if __name__ == "__main__":
    main()
