"""The experiment of the suite ``teach``, with a simulated model in place of the small one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks.teach import pointer, proof
from benchmarks.teach.scenes import KNOWN, NEW, SIDE, capture, make_scene, pictures
from point2act.teaching.data_set import read_examples
from point2act.vlm.parsers import write_reply


def test_shapes_of_the_test_are_new(tmp_path: Path):
    assert not KNOWN.keys() & NEW.keys()
    for picture in pictures(make_scene(tmp_path, 5, NEW), 5)[:2]:
        assert picture.rgb.shape == (SIDE, SIDE, 3)
        assert len(picture.masks) >= 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    return pointer.save_pointer(tmp_path_factory.mktemp("pointer") / "pointer", 0)


def test_its_words_are_enough_for_every_answer(model):
    weights = pointer.load_pointer(model)
    tokenizer = weights.processor.tokenizer
    for points in ([], [(0.0, 96.0)], [(12.3, 45.6), (95.9, 0.1)]):
        reply = write_reply(points, pointer.DIALECT, image_size=(SIDE, SIDE))
        asked = f"Point to the purple thing.{reply}"
        tokens = tokenizer(asked).input_ids
        assert tokenizer.decode(tokens, clean_up_tokenization_spaces=False) == asked


def test_it_learns_to_answer_in_the_form_of_its_labels(model):
    weights = pointer.load_pointer(model)
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[40:50, 20:30] = 255
    samples = [pointer.Sample(image, "red", (25.0, 45.0))]
    first = pointer.train_pointer(weights, samples, steps=1, batch=8, rate=0.0, seed=0)
    assert pointer.train_pointer(weights, samples, steps=60, batch=8, rate=2e-3, seed=0) < first / 2
    (found,) = pointer.answers(weights, [image], ["red"])
    assert found.shape == (1, 2)
    assert ((found >= 0) & (found <= SIDE)).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_label_moves_with_its_picture(seed: int):
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[45, 25] = 255
    moved = pointer._moved(pointer.Sample(image, "red", (25.5, 45.5)), np.random.default_rng(seed))
    row, column = np.argwhere(moved.rgb[..., 0])[0]
    assert moved.point == (column + 0.5, row + 0.5)


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
