"""Whether a model that errs learns from what the views of its own answers agree on.

A small model is trained from nothing on pictures of a few tables, with many wrong labels. Then it sees new
tables without labels, from twelve sides each, and its answers go through ``point2act run`` and ``teach
collect``. It is taught by ``teach train`` on the consensus, and beside it on its own answers to the same
questions about the same images, for as many steps. What counts is how often one answer about one picture is
right, on tables and things of shapes that no training has seen.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import point2act
from benchmarks import Metric
from benchmarks.teach.judging import judge_run
from benchmarks.teach.pointer import Sample, answers, load_pointer, save_pointer, train_pointer
from benchmarks.teach.scenes import COLORS, KNOWN, NEW, SIDE, Picture, capture, make_scene, pictures
from point2act.core.types import Answer, Grasp, Region
from point2act.data.capture import load_views, read_capture
from point2act.data.points import read_points, write_points
from point2act.grasping.grippers import Gripper
from point2act.pipeline.fused_surface import SurfaceCloud
from point2act.splatting.initialization import StartConfig
from point2act.splatting.reconstruct import ReconstructionConfig
from point2act.teaching.collection import collect_runs
from point2act.teaching.data_set import read_examples, write_examples
from point2act.teaching.documents import Example
from point2act.teaching.training import TrainConfig, train_model
from point2act.vlm.clients.client import PointingModel
from point2act.vlm.clients.models import load_model
from point2act.vlm.clients.weights import Weights

# Student's t for 95 % by the number of seeds.
_STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
# Numbers of things on the first tables, of which a model sees the fewest first: from single ones it learns
# where, from several which. With painted squares it pointed at 70 % of single ones after 200 steps; with five
# things in every picture it had learnt nothing after 300, nor at a rate of 2e-3.
_FEW = np.array([1, 2, 5])
_RATE = 7e-4
# The pictures are small: depth places the Gaussians, none is fitted.
_BUILD = ReconstructionConfig(refine_poses=False, min_fitted_views=100, start=StartConfig(target_count=8000))
_RUN = point2act.RunConfig(build=_BUILD, scene_3d=False)


@dataclass(frozen=True)
class ProofConfig:
    """Size of the experiment; little data at first, so that views differ in what the model gets wrong."""

    first_tables: int = 20
    captures: int = 12
    test_tables: int = 8
    wrong: float = 0.35
    """Fraction of the first labels that are wrong: on another thing, or anywhere if there is none."""
    steps: int = 2400
    """Steps of the training from nothing, of 32 examples each."""
    taught_steps: int = 200
    """Steps of each teaching."""
    rounds: int = 2
    """Teachings on the consensus, each on the answers of the model before."""


@dataclass(frozen=True)
class Outcome:
    """Percentages of right answers of one seed."""

    seed: int
    before: float
    raw: float
    consensus: tuple[float, ...]
    """After each round."""
    own_right: float
    """Of the model's own answers in the captures."""
    labels_right: float
    """Of the consensus labels in the same images."""
    labels: int


def prove(seed: int, folder: Path, config: ProofConfig = ProofConfig()) -> Outcome:
    """Run the experiment for a seed in an empty folder."""
    tables = folder / "tables"
    base = _first_model(seed, folder, config)
    captures = [folder / f"capture-{number}" for number in range(config.captures)]
    for number, path in enumerate(captures):
        capture(make_scene(tables, _number(seed, 1, number), KNOWN), path, _number(seed, 1, number))
    numbers = [_number(seed, 2, number) for number in range(config.test_tables)]
    tests = [each for n in numbers for each in pictures(make_scene(tables, n, NEW), n)]
    model, rates, found = base, [], []
    for turn in range(config.rounds):
        data = _collect(model, captures, folder / f"round-{turn}")
        found.append(_judge(data))
        model = _teach(data, model, folder / f"taught-{turn}", seed, config)
        rates.append(_accuracy(model, tests))
    raw = _teach(_own(folder / "round-0/data"), base, folder / "raw", seed, config)
    labels, own, count = found[0]
    return Outcome(seed, _accuracy(base, tests), _accuracy(raw, tests), tuple(rates), own, labels, count)


def metrics(outcomes: Sequence[Outcome]) -> Iterator[Metric]:
    """Yield the mean over seeds of each rate, and the half width of its 95 % interval."""
    rates = {
        "before": [each.before for each in outcomes],
        "raw": [each.raw for each in outcomes],
        "consensus": [each.consensus[0] for each in outcomes],
        "consensus_again": [each.consensus[-1] for each in outcomes],
        "over_before": [each.consensus[0] - each.before for each in outcomes],
        "over_raw": [each.consensus[0] - each.raw for each in outcomes],
        "own_labels_right": [each.own_right for each in outcomes],
        "consensus_labels_right": [each.labels_right for each in outcomes],
    }
    for name, values in rates.items():
        yield Metric(f"teach.{name}", float(np.mean(values)), "%", "higher")
        if len(values) in _STUDENT:
            half = _STUDENT[len(values)] * np.std(values, ddof=1) / len(values) ** 0.5
            yield Metric(f"teach.{name}_interval", float(half), "%", "lower")


def _number(seed: int, kind: int, number: int) -> int:
    """Return the number of a table that no other use or seed has."""
    return 100_000 * kind + 1000 * seed + number


def _first_model(seed: int, folder: Path, config: ProofConfig) -> PointingModel:
    rng, samples = np.random.default_rng(seed), {}
    for things, number in zip(np.resize(_FEW, config.first_tables), range(config.first_tables), strict=True):
        scene = make_scene(folder / "tables", _number(seed, 0, number), KNOWN, things=int(things))
        shown = pictures(scene, _number(seed, 0, number))
        some = [_sample(each, color, config.wrong, rng) for each in shown for color in each.masks]
        samples[things] = samples.get(things, []) + some
    model = save_pointer(folder / "pointer", seed)
    weights = load_pointer(model)
    for stage in range(1, len(samples) + 1):
        seen = [sample for things in sorted(samples)[:stage] for sample in samples[things]]
        steps = config.steps // 2 if stage == len(samples) else config.steps // (2 * (len(samples) - 1))
        train_pointer(weights, seen, steps=steps, batch=32, rate=_RATE, seed=seed)
    weights.network.save_pretrained(folder / "pointer")
    return model


def _sample(picture: Picture, color: str, wrong: float, rng: np.random.Generator) -> Sample:
    """Return a picture with the middle of a thing, or of another one, or with any point if there is none."""
    others = [each for each in picture.masks if each != color]
    if rng.random() >= wrong:
        meant = color
    elif others:
        meant = str(rng.choice(others))
    else:
        return Sample(picture.rgb, color, (float(rng.uniform(0, SIDE)), float(rng.uniform(0, SIDE))))
    rows, columns = np.nonzero(picture.masks[meant])
    return Sample(picture.rgb, color, (float(columns.mean() + 0.5), float(rows.mean() + 0.5)))


def _collect(model: PointingModel, captures: Sequence[Path], folder: Path) -> Path:
    """Answer all questions about the captures, and return the folder of the consensus of all views."""
    weights, runs = load_pointer(model), []
    for path in captures:
        own, run = folder / path.name, folder / f"out-{path.name}"
        shutil.copytree(path, own)
        _answer(weights, model.name, own)
        point2act.run(own, run, planner=_no_grasps, config=_RUN)
        runs.append(run)
    collect_runs(runs, folder / "data", held_out=0.0)
    return folder / "data"


def _answer(weights: Weights, name: str, capture: Path) -> None:
    """Replace the answers in a capture's points.json by those of a model."""
    views = load_views(read_capture(capture), max_side=SIDE)
    asked = [(view, color) for view in views for color in COLORS]
    found = answers(weights, [view.rgb for view, _ in asked], [color for _, color in asked])
    given = tuple(
        Answer(image=view.name, query=color, points=points, visible=len(points) > 0, model=name)
        for (view, color), points in zip(asked, found, strict=True)
    )
    path = capture / "points.json"
    write_points(path, replace(read_points(path), answers=given))


def _no_grasps(region: Region, surface: SurfaceCloud, gripper: Gripper) -> list[Grasp]:
    """Plan nothing: labels come from regions."""
    return []


def _own(data: Path) -> Path:
    """Return a copy of a data set with the model's own answers as labels."""
    copy = data.with_name("own")
    shutil.copytree(data, copy)
    asked = [each for each in read_examples(data) if each.own_points is not None]
    write_examples(copy, [_with_own_answer(each) for each in asked])
    return copy


def _with_own_answer(example: Example) -> Example:
    points = [(min(max(x, 0.0), SIDE), min(max(y, 0.0), SIDE)) for x, y in example.own_points or ()]
    kind = "point" if points else "not_visible"
    return example.model_copy(update={"points": points, "kind": kind, "region": None})


def _teach(data: Path, model: PointingModel, output: Path, seed: int, config: ProofConfig) -> PointingModel:
    taught = TrainConfig(
        rank=32,
        learning_rate=1e-3,
        epochs=1000,
        max_steps=config.taught_steps,
        batch=32,
        at_once=32,
        vision=True,
        seed=seed,
        device="cpu",
    )
    train_model(data, model, output, config=taught)
    return load_model(output / "model.toml")


def _accuracy(model: PointingModel, shown: Sequence[Picture]) -> float:
    """Return the percentage of single answers that are on the thing."""
    asked = [(each, color) for each in shown for color in each.masks]
    found = answers(load_pointer(model), [each.rgb for each, _ in asked], [color for _, color in asked])
    hits = [_on(points, each.masks[color]) for points, (each, color) in zip(found, asked, strict=True)]
    return 100 * float(np.mean(hits))


def _on(points: np.ndarray | Sequence[tuple[float, float]], mask: np.ndarray) -> bool:
    pixels = np.floor(np.array(points).reshape(-1, 2)).astype(int).clip(0, SIDE - 1)
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
    """Run the seeds that are given, ``python -m benchmarks.teach.proof FOLDER 0 1 2``, and print them."""
    folder, *seeds = sys.argv[1:]
    outcomes = []
    for seed in map(int, seeds):
        outcomes.append(prove(seed, Path(folder) / f"seed-{seed}"))
        print(json.dumps(asdict(outcomes[-1])), flush=True)
    for metric in metrics(outcomes):
        print(f"{metric.name} {metric.value:.1f} {metric.unit}")


if __name__ == "__main__":
    main()
