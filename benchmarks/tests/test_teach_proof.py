"""The experiment of the suite ``teach``, with a simulated model in place of the small one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.teach import pointer, proof
from benchmarks.teach.scenes import COLORS, KNOWN, NEW, SIDE, capture, make_scene, pictures, question
from point2act.teaching.data_set import read_examples


def test_shapes_of_the_test_are_new(tmp_path: Path):
    assert not KNOWN.keys() & NEW.keys()
    for picture in pictures(make_scene(tmp_path, 5, NEW), 5)[:2]:
        assert picture.rgb.shape == (SIDE, SIDE, 3)
        assert len(picture.masks) >= 3


def painted(rng: np.random.Generator) -> pointer.Sample:
    """Return squares of three colours on grey, and questions about all five."""
    image = np.full((SIDE, SIDE, 3), 150, np.uint8)
    answers = {question(color): np.zeros((0, 2)) for color in COLORS}
    colors, cells = rng.permutation(list(COLORS))[:3], rng.permutation(16)[:3]
    for color, cell in zip(colors, cells, strict=True):
        row, column = 24 * np.array(divmod(cell, 4)) + rng.integers(0, 10, 2)
        image[row : row + 14, column : column + 14] = 255 * np.array(COLORS[color])
        answers[question(color)] = np.array([[column + 7.0, row + 7.0]])
    return pointer.Sample(image, answers)


def test_it_learns_where_and_that_nothing_is_there():
    rng, network = np.random.default_rng(0), pointer.make_pointer(0)
    pointer.train_pointer(network, [painted(rng) for _ in range(300)], steps=60, rate=3e-3, seed=0)
    asked = [painted(rng) for _ in range(30)]
    found = pointer.point(network, [each.rgb for each in asked], [question(color) for color in COLORS])
    hits = [
        len(points) == len(sample.answers[text]) and bool(np.all(np.abs(points - sample.answers[text]) < 7))
        for sample, given in zip(asked, found, strict=True)
        for text, points in given.items()
    ]
    assert np.mean(hits) > 0.8


@pytest.mark.parametrize("place", [(4.0, 4.0), (30.2, 61.7), (92.0, 50.0)])
def test_the_peak_of_a_label_is_its_point(place: tuple[float, float]):
    np.testing.assert_allclose(pointer._peak(pointer._target(np.array([place]))), [place])
    assert len(pointer._peak(pointer._target(np.zeros((0, 2))))) == 0


@pytest.mark.full
def test_the_consensus_is_better_than_the_answers_and_is_taught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(proof, "_answer", lambda *_: None)  # The simulated answers stay.
    path = tmp_path / "capture-0"
    capture(make_scene(tmp_path, 2001, KNOWN), path, 2001)
    network = pointer.make_pointer(0)
    data = proof._collect(network, [path], tmp_path)
    right, own_right, count = proof._judge(data)
    assert count >= 10
    assert right > own_right + 20
    for own, field in ((False, "points"), (True, "own_points")):
        given = {
            (text, *points[0])
            for each in proof._labels(data, own)
            for text, points in each.answers.items()
            if len(points)
        }
        wanted = {(e.question, *getattr(e, field)[0]) for e in read_examples(data) if getattr(e, field)}
        assert given == wanted
    pointer.train_pointer(network, proof._labels(data, True), steps=2, rate=1e-3, seed=0)
    assert 0 <= proof._accuracy(network, pictures(make_scene(tmp_path, 7, NEW), 7)[:1]) <= 100


def test_intervals_are_those_of_student():
    outcomes = [proof.Outcome(seed, 50, 50 + seed, 70.0 + seed, 50, 90, 100) for seed in range(3)]
    found = {metric.name: metric.value for metric in proof.metrics(outcomes)}
    assert found["teach.consensus"] == 71
    assert found["teach.over_raw"] == 20
    assert found["teach.over_raw_interval"] == 0
    assert found["teach.consensus_interval"] == pytest.approx(4.303 / 3**0.5)
