"""How often collected answers are right, beside the answers that a simulated model gave in the same images.

Tables at the level ``hard`` that nothing was tuned on; a point is right if it is on the target's part, and
"not visible" if fewer than 20 pixels of it are seen, as the simulated model has it. ``hard`` examples are
compared with the answers that are wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import point2act
from benchmarks import Metric, Plan
from benchmarks.common.capture import workspace
from point2act.core.types import Camera
from point2act.data.capture import read_capture
from point2act.data.points import read_points
from point2act.data.run_manifest import read_run
from point2act.simulation import CaptureConfig, capture_scene, captured_scene, load_scene
from point2act.simulation.camera import render
from point2act.simulation.pointing import HARD
from point2act.teaching.collection import collect_runs
from point2act.teaching.documents import Example

# Below this a target counts as not visible, as for the simulated models.
_MIN_PIXELS = 20
SEEDS = range(900, 906)


@dataclass(frozen=True)
class Verdict:
    """An example, and whether its answer and the model's own are right."""

    example: Example
    right: bool
    own_right: bool


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
        for verdict in _judge_run(run, collect_runs([run], output / str(number)).examples)
    ]


def _judge_run(run: Path, examples: Sequence[Example]) -> Iterator[Verdict]:
    """Yield a verdict on each example in whose image the model was asked."""
    capture = read_run(run).capture
    queries = read_points(capture / "points.json", read_capture(capture)).queries
    names = {query.text: query.name for query in queries}
    scene = captured_scene(capture)
    shown = {example.image: example for example in examples}
    camera = _camera(examples[0])
    poses = [np.array(example.T_world_cam) for example in shown.values()]
    ids = dict(zip(shown, render(scene, poses, camera)[2], strict=True))
    for example in examples:
        if example.own_points is not None:
            mask = np.isin(ids[example.image], list(scene.target_parts(names[example.question])))
            yield Verdict(example, _is_right(example.points, mask), _is_right(example.own_points, mask))


def _camera(example: Example) -> Camera:
    return Camera(**dict(example.camera), height=example.height, width=example.width)


def _is_right(points: Sequence[tuple[float, float]], mask: np.ndarray) -> bool:
    """Return whether all points are on the target, or there is none and it is not visible."""
    if not points:
        return int(mask.sum()) < _MIN_PIXELS
    height, width = mask.shape
    return all(mask[min(int(y), height - 1), min(int(x), width - 1)] for x, y in points)
