import numpy as np
import pytest
import torch
from synthetic import TABLETOP, render, views

from point2act.core.geometry import project
from point2act.core.types import Query
from point2act.localization.relevancy import RelevancyConfig, _combine, _Vote, _vote, lift
from point2act.splatting.gaussians import freeze
from point2act.splatting.initialization import StartConfig, initialize_gaussians
from point2act.splatting.rendering import project_view

QUERY = (Query("red", "the red box"),)
TARGET, RIVAL = 0, 2


@pytest.fixture(scope="module")
def seen():
    return views(12, height=72, width=96)


@pytest.fixture(scope="module")
def scene(seen):
    config = StartConfig(target_count=4000)
    return initialize_gaussians(
        seen, point_cloud_path=None, config=config, rng=np.random.default_rng(0)
    ).scene


def top_of(block: int) -> np.ndarray:
    center, half = TABLETOP[block].center, TABLETOP[block].half_extents
    return np.array([center[0], center[1], center[2] + half[2]])


def says(view, block: int) -> np.ndarray:
    return project(view.camera, view.T_world_cam, top_of(block)[None])[0]


def lifted(scene, seen, answers, config=RelevancyConfig()):
    return lift(projections(scene, seen), [answers], QUERY, config=config)


def projections(scene, seen):
    fixed = freeze(scene)
    return [project_view(view, fixed) for view in seen]


def best(scene, field) -> np.ndarray:
    return scene.means[field.values[:, 0].argmax()]


def test_agreeing_views_find_the_box(scene, seen):
    field = lifted(scene, seen, [says(view, TARGET) for view in seen])
    assert np.linalg.norm(best(scene, field) - top_of(TARGET)) < 0.015
    assert field.values.shape == (len(scene), 1)
    assert field.values.min() >= 0
    assert 0.4 < field.values.max() <= 1


def test_one_view_proves_little(scene, seen):
    one = lifted(scene, seen, [says(seen[0], TARGET)] + [None] * 11)
    all_views = lifted(scene, seen, [says(view, TARGET) for view in seen])
    assert one.values.max() < all_views.values.max()


def test_a_third_of_wrong_views_does_not_move_the_peak(scene, seen):
    answers = [says(view, RIVAL if number % 3 == 0 else TARGET) for number, view in enumerate(seen)]
    assert np.linalg.norm(best(scene, lifted(scene, seen, answers)) - top_of(TARGET)) < 0.015


def test_reweighting_quiets_the_rival(scene, seen):
    answers = [says(view, RIVAL if number % 3 == 0 else TARGET) for number, view in enumerate(seen)]
    near_rival = np.linalg.norm(scene.means - top_of(RIVAL), axis=1) < 0.02
    plain = lifted(scene, seen, answers, RelevancyConfig(rounds=0)).values[near_rival].max()
    robust = lifted(scene, seen, answers, RelevancyConfig(rounds=2)).values[near_rival].max()
    assert robust < 0.7 * plain


def test_not_visible_is_evidence_against(scene, seen):
    config = RelevancyConfig(rounds=0)
    positive = [says(view, TARGET) for view in seen[:6]]
    silent = lifted(scene, seen, [*positive, *[None] * 6], config)
    denied = lifted(scene, seen, [*positive, *[np.zeros((0, 2))] * 6], config)
    at = silent.values[:, 0].argmax()
    assert denied.values[at, 0] < silent.values[at, 0]


def test_a_view_hardly_votes_on_what_it_does_not_see(scene, seen):
    """A camera above one box must not vote on the sides that it cannot see."""
    vote = _vote(projections(scene, seen[:1])[0], [says(seen[0], TARGET)], RelevancyConfig()).seen.numpy()
    picture = render(seen[0].T_world_cam, np.zeros((1, 1, 2)))
    assert picture.depth.max() > 0
    pixels, depth = project(seen[0].camera, seen[0].T_world_cam, scene.means)
    column, row = pixels.astype(int).T
    inside = (column >= 0) & (column < 96) & (row >= 0) & (row < 72)
    surface = seen[0].depth[np.clip(row, 0, 71), np.clip(column, 0, 95)]
    hidden = inside & (depth > surface + 0.03)
    assert hidden.sum() > 50
    plain = inside & (np.abs(depth - surface) < 0.003)
    # Not zero: before a fit a fifth of the light shines through every Gaussian.
    assert np.median(vote[hidden]) < 0.3 * np.median(vote[plain])
    assert np.median(vote[plain]) > 0.6


def test_queries_do_not_touch_each_other(scene, seen):
    red = [says(view, TARGET) for view in seen]
    blue = [says(view, RIVAL) if number % 2 else None for number, view in enumerate(seen)]
    queries = (QUERY[0], Query("blue", "the blue box"))
    both = lift(projections(scene, seen), [red, blue], queries)
    alone = lift(projections(scene, seen), [red], QUERY)
    np.testing.assert_allclose(both.values[:, 0], alone.values[:, 0], atol=1e-6)


def test_a_further_question_gets_the_bits_of_a_first_one(scene, seen):
    """What the projections keep of the earlier questions shows in nothing."""
    red = [says(view, TARGET) if number % 5 else np.zeros((0, 2)) for number, view in enumerate(seen)]
    blue = [says(view, RIVAL) if number % 2 else None for number, view in enumerate(seen)]
    queries = (QUERY[0], Query("blue", "the blue box"))
    kept = projections(scene, seen)
    lift(kept, [blue], queries[1:])
    for answers, asked in (([red], queries[:1]), ([red, blue], queries), ([[None] * 12], queries[:1])):
        again, first = lift(kept, answers, asked), lift(projections(scene, seen), answers, asked)
        np.testing.assert_array_equal(again.values, first.values)


def test_no_answers_leave_no_relevancy(scene, seen):
    field = lifted(scene, seen, [None] * 12)
    assert not field.values.any()


def test_the_order_of_the_views_does_not_matter(scene, seen):
    answers = [says(view, RIVAL if number % 4 == 0 else TARGET) for number, view in enumerate(seen)]
    forward = lifted(scene, seen, answers).values
    backward = lifted(scene, seen[::-1], answers[::-1]).values
    np.testing.assert_allclose(forward, backward, atol=1e-6)


# ── the slow twin ──────────────────────────────────────────────────────────────────────────────
def slow_combine(votes, config):
    """One query at a time, one view at a time, by the words of the docstrings; float64."""
    columns = []
    for q in range(len(votes[0].heat)):
        voters = [v for v in votes if v.answered[q]]
        seen = np.array([v.seen.double().numpy() for v in voters])
        heat = np.array([v.heat[q].double().numpy() for v in voters])
        prior = np.clip(config.prior_share * len(voters), config.prior_least, config.prior_views)
        weights = np.ones(len(voters))
        for _ in range(config.rounds):
            backed = []
            for number, vote in enumerate(voters):
                rest = np.delete(np.arange(len(voters)), number)
                hits, total = (weights[rest] @ values for values in ((seen * heat)[rest], seen[rest]))
                others = hits / (prior + total)
                if vote.positive[q]:
                    under = (heat[number] / heat[number].max() * others).max()
                    backed.append((under + 0.02) / (others.max() + 0.02))
                else:
                    backed.append(1 - seen[number][others.argmax()])
            trust = np.minimum(np.clip(backed, 0, 1) / config.full_agreement, 1) ** 2
            weights = np.maximum(trust, config.least_weight)
        columns.append(weights @ (seen * heat) / (prior + weights @ seen))
    return np.array(columns)


def test_votes_are_combined_as_the_slow_twin_does():
    rng = np.random.default_rng(0)

    def vote() -> _Vote:
        seen = rng.uniform(0, 1, 40) * (rng.uniform(size=40) < 0.7)
        answered, positive = rng.uniform(size=3) < 0.8, rng.uniform(size=3) < 0.7
        heat = rng.uniform(0, 1, (3, 40)) ** 8 * (answered & positive)[:, None] * (seen > 0)
        tensors = (torch.tensor(values, dtype=torch.float32) for values in (seen, heat))
        return _Vote(*tensors, torch.tensor(answered), torch.tensor(answered & positive))

    votes = [vote() for _ in range(9)]
    values = _combine(votes, RelevancyConfig())
    np.testing.assert_allclose(values, slow_combine(votes, RelevancyConfig()), atol=1e-5)
