"""The fit of quality weights: it recovers known weights, respects the prior, and ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, astuple
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the simulator needs mujoco")

from benchmarks.common import tables as scenes
from benchmarks.grasps import fit_quality as grasp_quality
from benchmarks.grasps.cases import Case, case
from benchmarks.grasps.fit_quality import altered, attempts, drawn, main
from benchmarks.grasps.quality_weights import (
    PRECISION,
    PRIOR,
    TERMS,
    Attempt,
    chances,
    cross_validated,
    fitted,
    log_loss,
    ranked,
    report,
)
from benchmarks.grasps.tables import Setting
from point2act.core.errors import SimulationError
from point2act.core.files import write_json
from point2act.grasping.antipodal.score import QualityWeights, quality
from point2act.grasping.antipodal.terms import GraspTerms
from point2act.grasping.grippers import load_gripper

TRUE = QualityWeights(-3.0, 3.0, 0.0, 2.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0)


def sample(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return terms, and outcomes of grasps with known probabilities."""
    rng = np.random.default_rng(seed)
    terms = rng.random((count, len(TERMS)))
    return terms, rng.random(count) < chances(terms, TRUE)


def loss(weights: np.ndarray, terms: np.ndarray, lifted: np.ndarray) -> float:
    """The objective of the fit, written independently; of 13 weights."""
    total = weights[0] + terms @ weights[1:]
    likelihood = np.where(lifted, total, 0.0).sum() - np.log1p(np.exp(total)).sum()
    return float(PRECISION / 2 * ((weights[1:] - astuple(PRIOR)[1:]) ** 2).sum() - likelihood)


def assert_least(weights: QualityWeights, terms: np.ndarray, lifted: np.ndarray) -> None:
    """Assert that no permitted step of one weight lowers the loss."""
    best = np.array(astuple(weights))
    for index in range(len(best)):
        for step in (1e-2, -1e-2):
            other = best.copy()
            other[index] += step
            if index == 0 or other[index] >= 0:
                assert loss(other, terms, lifted) > loss(best, terms, lifted)


def test_the_chances_are_the_quality_of_the_head() -> None:
    terms, _ = sample(20)
    columns = GraspTerms(*terms.T)
    assert chances(terms, TRUE) == pytest.approx(quality(columns, TRUE))


def test_many_trials_give_the_weights_that_made_them() -> None:
    terms, lifted = sample(40_000)
    assert astuple(fitted(terms, lifted)) == pytest.approx(astuple(TRUE), abs=0.2)


def test_few_trials_leave_the_prior() -> None:
    terms, lifted = sample(4)
    weights = astuple(fitted(terms, lifted))[1:]
    assert weights == pytest.approx(astuple(PRIOR)[1:], abs=0.5)


def test_no_weight_is_below_0() -> None:
    terms, _ = sample(500)
    held = terms[:, TERMS.index("patch")] < 0.5
    weights = fitted(terms, held)
    assert min(astuple(weights)[1:]) >= 0
    assert weights.patch == pytest.approx(0, abs=1e-6)
    assert_least(weights, terms, held)


def test_no_weights_beside_the_fit_are_more_probable() -> None:
    terms, lifted = sample(300)
    assert_least(fitted(terms, lifted), terms, lifted)


def test_cross_validation_does_not_look_at_its_own_seeds() -> None:
    terms, lifted = sample(200)
    seeds = np.arange(200) % 10
    predicted = cross_validated(terms, lifted, seeds)
    own = seeds % 5 == 2
    turned = cross_validated(terms, np.where(own, ~lifted, lifted), seeds)
    assert turned[own] == pytest.approx(predicted[own])
    assert (turned[~own] != predicted[~own]).all()


def test_ranked_counts_pairs_one_by_one() -> None:
    rng = np.random.default_rng(1)
    predicted, lifted = rng.integers(0, 5, 30) / 5, rng.random(30) < 0.6
    differences = predicted[lifted][:, None] - predicted[~lifted]
    assert ranked(predicted, lifted) == (
        (differences > 0).sum() + (differences == 0).sum() / 2,
        differences.size,
    )
    assert ranked(predicted, np.ones(30, bool)) == (0.0, 0)


def test_log_loss_of_a_coin() -> None:
    assert log_loss(np.full(4, 0.5), np.array([True, False, True, True])) == pytest.approx(np.log(2))


@pytest.mark.parametrize("size", [1, 3, 40])
def test_half_of_what_is_drawn_is_of_the_best_quarter(size: int) -> None:
    score = np.random.default_rng(0).permutation(size).astype(float)
    chosen = drawn(score, 12, np.random.default_rng(0))
    assert len(set(chosen)) == len(chosen) == min(size, 12)
    assert (score[chosen] >= size - 10).sum() >= min(6, size)
    assert list(chosen) == list(drawn(score, 12, np.random.default_rng(0)))


def tried(count: int) -> list[Attempt]:
    """Return synthetic attempts, ten of each case."""
    terms, lifted = sample(count)
    named = [dict(zip(TERMS, row, strict=True)) for row in terms.tolist()]
    return [
        Attempt("easy", i // 10, "", "", False, False, False, "", bool(lifted[i]), named[i])
        for i in range(count)
    ]


def test_the_report_names_every_weight_and_needs_both_outcomes() -> None:
    made = tried(100)
    text = report(made)
    assert text.startswith("100 trials in 10 cases")
    assert all(f"    {name}: float = " in text for name in ["bias", *TERMS])
    assert [line.split()[2] for line in text.splitlines()[-5:]] == ["20"] * 5
    for held in (True, False):
        with pytest.raises(SimulationError, match="nothing to fit"):
            report([one for one in made if one.lifted == held])


def test_what_was_tried_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, path = tried(40), tmp_path / "tried.json"
    entries = [
        {"setting": "easy", "seed": seed, "tried": [asdict(one) for one in made if one.seed == seed]}
        for seed in range(3)
    ]
    write_json(path, entries)
    asked = []
    monkeypatch.setattr(grasp_quality, "case", lambda setting, seed: asked.append((setting.name, seed)))
    monkeypatch.setattr(grasp_quality, "attempts", lambda opened, gripper, count: made[30:])
    main(["--seeds", "0", "4", "--settings", "easy", "--json", str(path)])
    assert asked == [("easy", 3)]
    assert capsys.readouterr().out == report(made) + "\n"


# ── trials ───────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """Two objects on a table, captured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(scenes.CACHE, str(tmp_path_factory.mktemp("cases")))
        scenes.folder.cache_clear()
        try:
            yield case(Setting("small", count=(2, 2)), 0)
        except SimulationError as err:
            if "OpenGL" in str(err) or "MUJOCO_GL" in str(err):
                pytest.skip(str(err))
            raise
    scenes.folder.cache_clear()


def test_objects_get_heavier_and_slippery_where_they_are(known: Case) -> None:
    other = altered(known.scene, 0.3, 2.0)
    assert {thing.friction for thing in other.layout.things} == {0.3}
    assert other.model.body_mass.sum() == pytest.approx(2 * known.scene.model.body_mass.sum())
    assert not np.allclose(other.model.geom_friction, known.scene.model.geom_friction)
    assert other.T_world_thing is known.scene.T_world_thing
    same = altered(known.scene, None, 1.0)
    for thing, before in zip(same.layout.things, known.scene.layout.things, strict=True):
        assert (thing.friction, thing.mass) == (before.friction, before.mass)
    assert same.model.geom_friction == pytest.approx(known.scene.model.geom_friction)


def test_attempts_are_of_the_case_and_repeat(known: Case) -> None:
    gripper = load_gripper("panda")
    made = attempts(known, gripper, 2)
    assert 1 <= len(made) <= 2
    for one in made:
        assert (one.setting, one.seed, one.object) == ("small", 0, known.target.thing)
        assert one.lifted == (one.outcome == "success")
        assert list(one.terms) == TERMS
        assert all(0 <= value <= 1 for value in one.terms.values())
    assert len({tuple(one.terms.values()) for one in made}) == len(made)
    assert attempts(known, gripper, 2) == made
