"""Whether a model that errs learns from what the views of its own answers agree on.

A small model is trained from nothing on pictures of a few tables, with many wrong labels. Then it sees new
tables without labels, from twelve sides each, and its answers go through ``point2act run`` and ``teach
collect``. It is trained further on the consensus, and beside it on its own answers to the same questions
about the same images, with the same steps; neither sees the first pictures again. What counts is how often
one answer about one picture is right, on tables and things of shapes that no training has seen.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import point2act
from benchmarks import Metric
from benchmarks.teach.judging import judge_run
from benchmarks.teach.pointer import Sample, make_pointer, point, train_pointer
from benchmarks.teach.scenes import COLORS, KNOWN, NEW, SIDE, Picture, capture, make_scene, pictures, question
from point2act.core.types import Answer, Grasp, Region
from point2act.data.capture import load_views, read_capture
from point2act.data.points import read_points, write_points
from point2act.grasping.grippers import Gripper
from point2act.physics.scene import Scene
from point2act.pipeline.fused_surface import SurfaceCloud
from point2act.splatting.initialization import StartConfig
from point2act.splatting.reconstruct import ReconstructionConfig
from point2act.teaching.collection import collect_runs
from point2act.teaching.data_set import read_examples

# Student's t for 95 % by the number of seeds.
_STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
# The uses of tables.
_FIRST, _ASKED, _TEST = range(3)
# The pictures are small: depth places the Gaussians, none is fitted.
_BUILD = ReconstructionConfig(refine_poses=False, min_fitted_views=100, start=StartConfig(target_count=8000))
_RUN = point2act.RunConfig(build=_BUILD, scene_3d=False)


@dataclass(frozen=True)
class ProofConfig:
    """Size of the experiment; little data at first, so that views differ in what the model gets wrong."""

    first_tables: int = 3
    captures: int = 8
    test_tables: int = 6
    wrong: float = 0.45
    """Fraction of the first labels that are on another thing."""
    steps: int = 150
    """Steps of each training, of 16 pictures each."""
    rate: float = 3e-3


@dataclass(frozen=True)
class Outcome:
    """Percentages of right answers of one seed."""

    seed: int
    before: float
    raw: float
    consensus: float
    own_right: float
    """Of the model's own answers in the captures."""
    labels_right: float
    """Of the consensus labels in the same images."""
    labels: int


def prove(seed: int, folder: Path, config: ProofConfig = ProofConfig()) -> Outcome:
    """Run the experiment for a seed in an empty folder."""
    network = _first_network(seed, folder / "tables", config)
    captures = [folder / f"capture-{number}" for number in range(config.captures)]
    for number, path in enumerate(captures):
        capture(_table(folder / "tables", seed, _ASKED, number), path, _number(seed, _ASKED, number))
    tests = [each for n in range(config.test_tables) for each in _shown(folder / "tables", seed, _TEST, n)]
    data = _collect(network, captures, folder)
    raw, consensus = (_taught(network, _labels(data, own), seed, config) for own in (True, False))
    before, after_raw, after = (_accuracy(each, tests) for each in (network, raw, consensus))
    labels_right, own_right, count = _judge(data)
    return Outcome(seed, before, after_raw, after, own_right, labels_right, count)


def metrics(outcomes: Sequence[Outcome]) -> Iterator[Metric]:
    """Yield the mean over seeds of each rate, and the half width of its 95 % interval."""
    rates = {
        "before": [each.before for each in outcomes],
        "raw": [each.raw for each in outcomes],
        "consensus": [each.consensus for each in outcomes],
        "over_before": [each.consensus - each.before for each in outcomes],
        "over_raw": [each.consensus - each.raw for each in outcomes],
        "own_labels_right": [each.own_right for each in outcomes],
        "consensus_labels_right": [each.labels_right for each in outcomes],
    }
    for name, values in rates.items():
        yield Metric(f"teach.{name}", float(np.mean(values)), "%", "higher")
        if len(values) in _STUDENT:
            half = _STUDENT[len(values)] * np.std(values, ddof=1) / len(values) ** 0.5
            yield Metric(f"teach.{name}_interval", float(half), "%", "lower")


def _number(seed: int, use: int, number: int) -> int:
    """Return the number of a table that no other use or seed has."""
    return 100_000 * use + 1000 * seed + number


def _table(folder: Path, seed: int, use: int, number: int) -> Scene:
    return make_scene(folder, _number(seed, use, number), NEW if use == _TEST else KNOWN)


def _shown(folder: Path, seed: int, use: int, number: int) -> list[Picture]:
    return pictures(_table(folder, seed, use, number), _number(seed, use, number))


def _first_network(seed: int, folder: Path, config: ProofConfig) -> Any:
    rng, network = np.random.default_rng(seed), make_pointer(seed)
    shown = [each for n in range(config.first_tables) for each in _shown(folder, seed, _FIRST, n)]
    samples = [_sample(each, config.wrong, rng) for each in shown]
    train_pointer(network, samples, steps=config.steps, rate=config.rate, seed=seed)
    return network


def _sample(picture: Picture, wrong: float, rng: np.random.Generator) -> Sample:
    """Return a picture with, for each thing that is visible, its middle or that of another one."""
    answers = {}
    for color in picture.masks:
        others = [each for each in picture.masks if each != color]
        meant = str(rng.choice(others)) if others and rng.random() < wrong else color
        answers[question(color)] = np.argwhere(picture.masks[meant]).mean(axis=0)[None, ::-1] + 0.5
    return Sample(picture.rgb, answers)


def _collect(network: Any, captures: Sequence[Path], folder: Path) -> Path:
    """Answer all questions about the captures, and return the folder of the consensus of all views."""
    runs = []
    for path in captures:
        _answer(network, path)
        runs.append(path.with_name(f"out-{path.name}"))
        point2act.run(path, runs[-1], planner=_no_grasps, config=_RUN)
    collect_runs(runs, folder / "data", held_out=0.0)
    return folder / "data"


def _answer(network: Any, capture: Path) -> None:
    """Replace the answers in a capture's points.json by those of a network."""
    path, views = capture / "points.json", load_views(read_capture(capture), max_side=SIDE)
    found = point(network, [view.rgb for view in views], [question(color) for color in COLORS])
    given = tuple(
        Answer(image=view.name, query=color, points=points, visible=len(points) > 0, model="pointer")
        for view, answers in zip(views, found, strict=True)
        for color, points in zip(COLORS, answers.values(), strict=True)
    )
    write_points(path, replace(read_points(path), answers=given))


def _no_grasps(region: Region, surface: SurfaceCloud, gripper: Gripper) -> list[Grasp]:
    """Plan nothing: labels come from regions."""
    return []


def _labels(data: Path, own: bool) -> list[Sample]:
    """Return the pictures of a data set with the labels, or the model's own answers to the same questions."""
    answers: dict[str, dict[str, np.ndarray]] = {}
    for example in read_examples(data):
        if example.own_points is not None:
            points = example.own_points if own else example.points
            answers.setdefault(example.image, {})[example.question] = np.array(points).reshape(-1, 2)
    return [Sample(np.array(Image.open(data / image)), given) for image, given in answers.items()]


def _taught(network: Any, samples: Sequence[Sample], seed: int, config: ProofConfig) -> Any:
    taught = deepcopy(network)
    train_pointer(taught, samples, steps=config.steps, rate=config.rate, seed=seed)
    return taught


def _accuracy(network: Any, shown: Sequence[Picture]) -> float:
    """Return the percentage of single answers that are on the thing."""
    found = point(network, [each.rgb for each in shown], [question(color) for color in COLORS])
    hits = [
        _on(answers[question(color)], mask)
        for picture, answers in zip(shown, found, strict=True)
        for color, mask in picture.masks.items()
    ]
    return 100 * float(np.mean(hits))


def _on(points: np.ndarray, mask: np.ndarray) -> bool:
    pixels = np.floor(points).astype(int).clip(0, SIDE - 1)
    return len(pixels) > 0 and bool(mask[pixels[:, 1], pixels[:, 0]].all())


def _judge(data: Path) -> tuple[float, float, int]:
    """Return the percentages of labels and of own answers that are right, and the number of labels."""
    examples = read_examples(data)
    verdicts = [
        verdict
        for run in sorted(data.parent.glob("out-*"))
        for verdict in judge_run(run, [e for e in examples if f"out-{e.scene}" == run.name])
    ]
    right, own_right = np.mean([(each.right, each.own_right) for each in verdicts], axis=0)
    return 100 * float(right), 100 * float(own_right), len(verdicts)


def main() -> None:
    """Run the seeds that are given, ``python -m benchmarks.teach.proof FOLDER 0 1 2 3 4``, and print them."""
    folder, *seeds = sys.argv[1:]
    outcomes = []
    for seed in map(int, seeds):
        outcomes.append(prove(seed, Path(folder) / f"seed-{seed}"))
        print(json.dumps(asdict(outcomes[-1])), flush=True)
    for metric in metrics(outcomes):
        print(f"{metric.name} {metric.value:.1f} {metric.unit}")


if __name__ == "__main__":
    main()
