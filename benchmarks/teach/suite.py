"""How often collected answers are right, beside the answers that a simulated model gave in the same images.

Tables at the level ``hard`` that nothing was tuned on; a point is right if it is on the target's part, and
"not visible" if fewer than 20 pixels of it are seen, as the simulated model has it. ``hard`` examples are
compared with the answers that are wrong. ``proof`` asks whether a model learns from such examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import point2act
from benchmarks import Metric, Plan
from benchmarks.common.capture import workspace
from benchmarks.teach.judging import Verdict, judge_run
from point2act.simulation import CaptureConfig, capture_scene, load_scene
from point2act.simulation.pointing import HARD
from point2act.teaching.collection import collect_runs

SEEDS = range(900, 906)


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the fraction of right answers, the model's own in the same images, and of hard examples found."""
    folders = [workspace() / f"teach-{seed}" for seed in SEEDS[:: plan.every]]
    for seed, folder in zip(SEEDS[:: plan.every], folders, strict=True):
        config = CaptureConfig(pointing=HARD)
        capture_scene(load_scene("tabletop", seed), folder / "table", config, np.random.default_rng(seed))
        point2act.run(folder / "table", folder / "out")
    yield from metrics(judge([folder / "out" for folder in folders], workspace() / "data"))


def metrics(verdicts: Sequence[Verdict]) -> Iterator[Metric]:
    """Yield the metrics of judged examples."""
    fractions = {
        "right": [each.right for each in verdicts],
        "own_right": [each.own_right for each in verdicts],
        "not_visible_right": [each.right for each in verdicts if each.example.kind == "not_visible"],
        "wrong_found": [each.example.hard for each in verdicts if not each.own_right],
        "hard_wrong": [not each.own_right for each in verdicts if each.example.hard],
    }
    yield Metric("teach.examples", len(verdicts), "", "higher")
    for name, hits in fractions.items():
        if hits:
            yield Metric(f"teach.{name}", 100 * sum(hits) / len(hits), "%", "higher")
            yield Metric(f"teach.{name}_of", len(hits), "", "higher")


def judge(runs: Sequence[Path], output: Path) -> list[Verdict]:
    """Collect examples from runs on simulated tables, and return whether each is right."""
    return [
        verdict
        for number, run in enumerate(runs)
        for verdict in judge_run(run, collect_runs([run], output / str(number)).examples)
    ]
