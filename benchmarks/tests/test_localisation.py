"""The benchmark of localization: its measures, its baselines, and the errors of its pointing models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import synthetic

pytest.importorskip("mujoco", reason="the simulator needs mujoco")

from benchmarks.common.answerers import AbsentAnswerer
from benchmarks.common.error_families import ABSENT, ADVERSARIAL, simulate_absent_answers
from benchmarks.common.tables import FRESH, KINDS, REPORT, TUNE, perturbed
from benchmarks.localization import adaptive, baselines
from benchmarks.localization.adaptive import ADAPTIVE, ALL, ASKED, Asked, answerer, measure_asking
from benchmarks.localization.ceiling import _true_shares
from benchmarks.localization.levels import FAMILY_LEVELS, LEVELS
from benchmarks.localization.measures import (
    Record,
    Verdict,
    calibration_error,
    clustered_mean,
    distance,
    judge,
    reliability,
    roc_area,
    summarise,
)
from benchmarks.localization.result_tables import reliability_table, tables
from point2act.core.geometry import project
from point2act.core.types import NoAnswer, OrientedBox, Region, Support
from point2act.physics.scene import Scene, load_scene
from point2act.simulation.camera import SimView
from point2act.simulation.pointing import answer
from point2act.vlm.pointing.mark_selector import MarkSelector
from point2act.vlm.pointing.point import Pointer

BOX = OrientedBox(np.array([0.1, 0.0, 0.4]), np.eye(3), np.array([0.02, 0.01, 0.005]))
REFUSED = NoAnswer("no_agreement", "they do not agree")


def region(x: float, y: float = 0.0, z: float = 0.4, confidence: float = 0.5) -> Region:
    return Region(np.array([x, y, z]), confidence, Support(1, 0, 0), BOX)


def record(scene: str, confidence: float, right: bool, *, refused: bool = False) -> Record:
    inside = right and not refused
    verdict = Verdict(refused, confidence, right, inside, inside, 0.0, 0.01, right)
    return Record("typical", "ours", scene, "mug", 0, verdict)


# ── measures ─────────────────────────────────────────────────────────────────────────────────────
def test_distance_to_a_box_is_zero_inside_and_straight_outside() -> None:
    assert distance(np.array([0.119, -0.009, 0.404]), BOX) == 0
    assert distance(np.array([0.12 + 0.03, 0.01 + 0.04, 0.4]), BOX) == pytest.approx(0.05)


def test_a_turned_box_is_judged_along_its_own_axes() -> None:
    turned = replace(BOX, axes=np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert judge((region(0.1, 0.015), ()), turned).inside
    assert not judge((region(0.1, 0.015), ()), BOX).inside


def test_inside_with_and_without_a_margin() -> None:
    assert judge((region(0.125), ()), BOX)[3:5] == (False, True)
    assert judge((region(0.131), ()), BOX)[3:5] == (False, False)
    assert judge((region(0.115), ()), BOX)[3:5] == (True, True)
    assert judge((region(0.115), ()), BOX).center_error == pytest.approx(0.015)


def test_a_rival_counts_among_the_top_two_and_a_third_does_not() -> None:
    wrong, right = region(0.3), region(0.1)
    assert judge((wrong, (right,)), BOX).top2
    assert not judge((wrong, (wrong, right)), BOX).top2


def test_a_refusal_is_never_inside_but_its_best_guess_is_held_against_its_confidence() -> None:
    verdict = judge((REFUSED, (region(0.1, confidence=0.2), region(0.3))), BOX)
    assert verdict.refused
    assert verdict.right
    assert verdict.top2
    assert not verdict.inside
    assert verdict.error == np.inf
    assert verdict.confidence == 0.2
    assert judge((REFUSED, ()), BOX).confidence == 0


def test_what_is_not_there_is_never_found() -> None:
    verdict = judge((region(0.1, confidence=0.9), ()), None)
    assert not any((verdict.refused, verdict.right, verdict.inside, verdict.top2))
    assert judge((REFUSED, ()), None).refused


def test_calibration_error_of_known_data() -> None:
    confidence = np.array([0.85] * 10 + [0.25] * 10)
    right = np.array([True] * 8 + [False] * 2 + [True] * 5 + [False] * 5)
    assert calibration_error(confidence, right) == pytest.approx(0.5 * 0.05 + 0.5 * 0.25)
    assert calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0
    assert calibration_error(np.zeros(0), np.zeros(0, dtype=bool)) == 0


def test_answers_that_are_as_sure_as_they_are_right_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(20000)
    right = rng.random(20000) < confidence
    assert calibration_error(confidence, right) < 0.02
    bars = reliability(confidence, right)
    assert sum(bar.count for bar in bars) == 20000
    assert all(bar.low <= bar.confidence <= bar.high for bar in bars)


def test_the_roc_area_is_the_share_of_pairs_in_order() -> None:
    confidence, right = np.array([0.9, 0.4, 0.6, 0.4]), np.array([True, True, False, False])
    # Of the pairs (.9, .6), (.9, .4), (.4, .6), (.4, .4) two are in order and one is a tie.
    assert roc_area(confidence, right) == pytest.approx(2.5 / 4)
    assert np.isnan(roc_area(confidence, np.ones(4, dtype=bool)))


def test_the_standard_error_treats_a_scene_as_one_draw() -> None:
    """Ten copies of each of two scenes carry no more information than two."""
    values, scenes = np.repeat([1.0, 0.0], 10), np.repeat(["a", "b"], 10)
    assert clustered_mean(values, scenes) == pytest.approx((0.5, 0.5))
    alone = clustered_mean(values, np.arange(20))
    assert alone.error == pytest.approx(np.std(values, ddof=1) / np.sqrt(20))


def test_a_summary_weighs_scenes_and_queries() -> None:
    records = [record("a", 0.9, True)] * 3 + [record("b", 0.9, False), record("b", 0.1, True, refused=True)]
    summary = summarise(records)
    assert summary.inside.value == pytest.approx(3 / 5)
    assert summary.inside_scenes == pytest.approx(1 / 2)
    assert summary.refused.value == pytest.approx(1 / 5)
    assert summary.ece == pytest.approx(0.8 * 0.15 + 0.2 * 0.9)
    assert summary.ece_answered == pytest.approx(0.15)
    assert "60.0" in tables(records)
    assert reliability_table(records).splitlines()[-1].split() == ["0.9-1.0", "4", "0.90", "0.75"]


def test_the_diagram_is_small(tmp_path: Path) -> None:
    from benchmarks.localization.plot import draw_reliability

    rng = np.random.default_rng(0)
    records = [
        replace(record("a", c, bool(rng.random() < c)), level=level)
        for level in LEVELS
        for c in rng.random(50)
    ]
    draw_reliability(records, tmp_path / "localisation.png")
    assert (tmp_path / "localisation.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "localisation.png").stat().st_size < 100_000


# ── tables ───────────────────────────────────────────────────────────────────────────────────────
def test_tables_to_tune_on_are_not_those_to_report() -> None:
    assert not set(TUNE) & set(REPORT)
    assert len(TUNE) >= 40
    assert len(REPORT) >= 40
    assert {table.kind for table in REPORT} == set(KINDS)
    assert not set(FRESH) & (set(TUNE) | set(REPORT))


def test_the_ceiling_knows_the_errors_of_a_level() -> None:
    shares = _true_shares(LEVELS["hard"], np.full(4, 300.0**2))
    errs = LEVELS["hard"].pointing
    assert shares.jitter == ((pytest.approx(errs.jitter / 300), 1.0),)
    assert shares.wrong == ((errs.wrong, 1.0),)
    assert shares.agreeing == ((errs.distractor, 1.0),)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"tabletop", "kitchen", "workbench"}))
def test_the_tables_stand_still(kind: str) -> None:
    assert 4 <= len(load_scene(kind, 0).queries) <= 6


def test_a_perturbed_pose_is_off_by_what_is_reported() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        T = perturbed(np.eye(4), rng)
        assert np.linalg.norm(T[:3, 3]) == pytest.approx(0.005)
        angle = np.arccos((np.trace(T[:3, :3]) - 1) / 2)
        assert np.rad2deg(angle) == pytest.approx(0.7)


# ── pointing models ──────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def scene() -> Scene:
    return load_scene("breakfast", 0)


@pytest.fixture(scope="module")
def shots(scene: Scene) -> tuple[SimView, ...]:
    """Return views without images: each part is a square of its own, visible everywhere."""
    ids = np.full((60, 24 * len(scene.parts)), -1)
    for part in range(len(scene.parts)):
        ids[20:40, 24 * part + 2 : 24 * part + 22] = part
    view = synthetic.views()[0]
    return tuple(SimView(replace(view, name=f"{v}.png"), ids, np.zeros(ids.shape)) for v in range(24))


def meant(points, shots: tuple[SimView, ...], query: str) -> list[int | None]:
    """Return the part under each answer to a query; None for "not visible"."""
    named = [a.points for a in points.answers if a.query == query]
    ids = shots[0].part_ids
    return [int(ids[int(p[0, 1]), int(p[0, 0])]) if len(p) else None for p in named]


def test_adversarial_answers_are_right_in_a_minority(scene: Scene, shots: tuple[SimView, ...]) -> None:
    config = replace(ADVERSARIAL, jitter=0.0)
    parts: list[int | None] = []
    for seed in range(40):
        parts += meant(answer(scene, shots, config, np.random.default_rng(seed)), shots, "mug")
    spoken = [part for part in parts if part is not None]
    target, rival = scene.target_parts("mug")[0], scene.parts.index(("green_mug", "handle"))
    assert len(spoken) / len(parts) == pytest.approx(0.9, abs=0.04)
    assert np.mean([part == target for part in spoken]) == pytest.approx(0.4, abs=0.06)
    assert np.mean([part == rival for part in spoken]) == pytest.approx(0.33, abs=0.06)


def test_what_is_absent_is_mostly_not_seen_and_otherwise_taken_for_one_thing(
    scene: Scene, shots: tuple[SimView, ...]
) -> None:
    config = replace(ABSENT, jitter=0.0)
    shares, most = [], []
    for seed in range(60):
        parts = meant(
            simulate_absent_answers(scene, shots, config, np.random.default_rng(seed)), shots, "knob"
        )
        spoken = [part for part in parts if part is not None]
        shares.append(len(spoken) / len(parts))
        most.append(np.bincount(spoken).max() / len(spoken) if spoken else 0)
    low, high = config.pointed
    assert np.mean(shares) == pytest.approx((low + high) / 2, abs=0.05)
    assert np.std(shares) > 0.1
    # The preferred wrong part gets its fraction, and a little of the rest.
    assert np.mean(most) == pytest.approx(config.look_alike + 0.04, abs=0.08)


# ── baselines ────────────────────────────────────────────────────────────────────────────────────
PLACE = np.array([0.03, -0.02, 0.05])


def cloud(rng: np.random.Generator, wrong: int) -> np.ndarray:
    """Return nine points near one position and some together at another."""
    return np.concatenate(
        [PLACE + 0.002 * rng.standard_normal((9, 3)), PLACE + [0.3, 0, 0] * np.ones((wrong, 1))]
    )


@pytest.mark.parametrize("fuse", [baselines.mean, baselines.geometric_median, baselines.mean_shift_mode])
def test_points_that_agree_are_fused_into_their_place(fuse) -> None:
    np.testing.assert_allclose(fuse(cloud(np.random.default_rng(0), 0)), PLACE, atol=0.003)
    np.testing.assert_allclose(fuse(np.repeat(PLACE[None], 3, axis=0)), PLACE, atol=1e-12)


@pytest.mark.parametrize(("fuse", "holds"), [(baselines.mean, 0), (baselines.geometric_median, 4)])
def test_a_minority_moves_the_mean_but_not_the_median(fuse, holds: int) -> None:
    off = np.linalg.norm(fuse(cloud(np.random.default_rng(0), 4)) - PLACE)
    assert off < 0.01 if holds else off > 0.05


def test_the_mode_stands_against_nearly_half() -> None:
    np.testing.assert_allclose(
        baselines.mean_shift_mode(cloud(np.random.default_rng(0), 8)), PLACE, atol=0.003
    )


def test_rays_meet_where_most_of_them_do() -> None:
    views = synthetic.views()
    target, other = np.array([0.0, 0.05, 0.05]), np.array([0.1, -0.1, 0.05])
    named = [
        project(v.camera, v.T_world_cam, (other if i < 2 else target)[None])[0] for i, v in enumerate(views)
    ]
    eyes, ways = baselines.rays(views, named)
    np.testing.assert_allclose(baselines.triangulate(eyes, ways), target, atol=0.002)


# ── adaptive asking ──────────────────────────────────────────────────────────────────────────────
def asked(level: str, method: str, questions: int, right: bool) -> Asked:
    one = replace(record("desk-0", 0.9 if right else 0.4, right), level=level, method=method)
    return Asked(one, questions)


def test_adaptive_asking_is_reported_beside_all_views(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        asked(level, method, count, right)
        for level in ASKED
        for method, count, right in (
            (ADAPTIVE, 6, True),
            (ADAPTIVE, 10, False),
            (ALL, 24, False),
            (ALL, 24, True),
        )
    ]
    monkeypatch.setattr(adaptive, "compare_asking", lambda *_: iter(found))
    figures = {metric.name: metric.value for metric in measure_asking((), 1)}
    assert figures["field.twin.adaptive.inside"] == 50
    assert figures["field.twin.adaptive.inside_all_views"] == 50
    assert figures["field.twin.adaptive.questions"] == 8
    assert figures["field.twin.adaptive.queries"] == 2
    assert figures["field.adaptive.auc"] == 1
    assert "field.absent.adaptive.inside" not in figures


def test_every_level_has_a_model_that_answers_further_questions(scene: Scene) -> None:
    opened = cast(Any, SimpleNamespace(scene=scene, shots=(), table=TUNE[0]))
    for name in ASKED:
        model = answerer(opened, (LEVELS | FAMILY_LEVELS)[name], 0)
        assert isinstance(model, Pointer)
        assert isinstance(model, MarkSelector)
        assert isinstance(model, AbsentAnswerer) == (name == "absent")
