"""The experiment of the suite ``teach``, with a simulated model in place of the small one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks.teach import pointer, proof
from benchmarks.teach.scenes import KNOWN, NEW, SIDE, capture, make_scene, pictures
from point2act.teaching.data_set import read_examples


def test_shapes_of_the_test_are_new(tmp_path: Path):
    assert not KNOWN.keys() & NEW.keys()
    for picture in pictures(make_scene(tmp_path, 5, NEW), 5)[:2]:
        assert picture.rgb.shape == (SIDE, SIDE, 3)
        assert len(picture.masks) >= 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    return pointer.save_pointer(tmp_path_factory.mktemp("pointer") / "pointer", 0)


def test_a_model_learns_by_heart_what_it_is_shown(model):
    """Through the words, the loss, and the reading of its answers."""
    weights = pointer.load_pointer(model)
    images = [np.full((SIDE, SIDE, 3), value, np.uint8) for value in (0, 255)]
    points = [(20.0, 70.0), (81.0, 33.0)]
    samples = [pointer.Sample(image, "red", point) for image, point in zip(images, points, strict=True)]
    samples.append(pointer.Sample(images[0], "blue", None))
    loss = pointer.train_pointer(weights, samples, steps=150, batch=3, rate=2e-3, seed=0)
    assert loss < 0.05
    found = pointer.answers(weights, [images[0], images[1], images[0]], ["red", "red", "blue"])
    np.testing.assert_allclose(found[0], [points[0]], atol=0.1)
    np.testing.assert_allclose(found[1], [points[1]], atol=0.1)
    assert found[2].shape == (0, 2)


@pytest.mark.full
@pytest.mark.skipif(find_spec("trl") is None, reason="the extra 'teach' is not installed")
def test_the_consensus_is_better_than_the_answers_and_is_taught(
    model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(proof, "_answer", lambda *_: None)  # The simulated answers stay.
    path = tmp_path / "capture-0"
    capture(make_scene(tmp_path, 2001, KNOWN), path, 2001)
    data = proof._collect(model, [path], tmp_path / "round-0")
    right, own_right, count = proof._judge(data)
    assert count >= 10
    assert right > own_right + 20
    own = proof._own(data)
    assert [e.points for e in read_examples(own)] == [e.own_points for e in read_examples(data)]
    taught = proof._teach(data, model, tmp_path / "taught", 0, proof.ProofConfig(taught_steps=2))
    assert 0 <= proof._accuracy(taught, pictures(make_scene(tmp_path, 7, NEW), 7)[:1]) <= 100


def test_intervals_are_those_of_student():
    outcomes = [proof.Outcome(seed, 50, 50 + seed, (70.0 + seed,), 50, 90, 100) for seed in range(3)]
    found = {metric.name: metric.value for metric in proof.metrics(outcomes)}
    assert found["teach.consensus"] == 71
    assert found["teach.over_raw"] == 20
    assert found["teach.over_raw_interval"] == 0
    assert found["teach.consensus_interval"] == pytest.approx(4.303 / 3**0.5)
