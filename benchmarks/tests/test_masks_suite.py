"""The benchmark of masks: overlaps, tables, and a segmenter that knows the truth."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the simulator needs mujoco")

from benchmarks.masks.suite import SAM2, Outcome, Timed, TrueMasks, opened_sam2, overlap_of, table_of
from point2act.vlm.segmenters.segmenter import FunctionSegmenter

POINT = np.array([[2.5, 1.5]])
NONE = np.zeros((0, 2))


def test_overlap_is_intersection_over_union():
    one, other = np.array([1, 1, 1, 0, 0], bool), np.array([0, 1, 1, 1, 0], bool)
    assert overlap_of(one, other) == 0.5
    assert overlap_of(one, one) == 1
    assert overlap_of(one, ~one) == 0
    assert overlap_of(one & ~one, one & ~one) == 0


def test_a_table_has_a_line_for_every_level_and_method():
    records = [
        Outcome(level, method, f"desk-1/{query}", overlap, overlap > 0.5, 0.8)
        for level in ("typical", "hard")
        for method in ("points", "sam2")
        for query, overlap in (("pen", 0.25), ("knob", 0.75), ("stapler", 0.8))
    ]
    lines = table_of(records).splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        [level, method, "3"] for level in ("typical", "hard") for method in ("points", "sam2")
    ]
    assert lines[1].split()[3:] == ["0.600", "0.750", "66.7%", "0.800"]


def test_true_masks_are_those_of_the_view_that_is_shown():
    rng = np.random.default_rng(0)
    shots = [
        SimpleNamespace(
            view=SimpleNamespace(rgb=rng.integers(0, 255, (4, 6, 3), dtype=np.uint8)),
            part_ids=rng.integers(-1, 4, (4, 6)),
        )
        for _ in range(3)
    ]
    truth = TrueMasks(SimpleNamespace(shots=shots), (1, 3))  # pyrefly: ignore[bad-argument-type]
    for shot in shots:
        found = truth.segment(shot.view.rgb.copy(), POINT, NONE)
        np.testing.assert_array_equal(found.masks[0], (shot.part_ids == 1) | (shot.part_ids == 3))


def test_the_first_prompt_in_an_image_is_timed_on_its_own():
    timed = Timed(FunctionSegmenter(lambda image, *_: (np.ones((1, *image.shape[:2])), [1.0])))
    images = [np.full((4, 6, 3), value, np.uint8) for value in (0, 1)]
    for number in (0, 1, 0, 0):
        timed.segment(images[number], POINT, NONE)
    assert (len(timed.first), len(timed.later)) == (2, 2)


def test_without_weights_its_rows_are_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv(SAM2, raising=False)
    assert opened_sam2() is None
    assert SAM2 in capsys.readouterr().out
