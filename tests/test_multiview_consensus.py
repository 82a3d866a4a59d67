"""Where answers meet: laws, wrong answers, missing depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import seconds
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation
from synthetic import look_at, pinhole

from point2act.core.geometry import project, transform_points
from point2act.core.types import View
from point2act.localization.multiview_consensus import ConsensusConfig, _collect, find_consensus

PLACE = np.array([0.02, -0.03, 0.04])
ELSEWHERE = np.array([-0.12, 0.1, 0.04])
CAMERA = replace(pinhole(240, 320), fx=300.0, fy=296.0)
NONE = np.zeros((0, 2))


@cache
def ring(count: int, *, level: float | None = 0.04) -> tuple[View, ...]:
    """Cameras about the origin, half a metre away; with the depth of the plane z = ``level``, or none."""
    views = []
    for number, angle in enumerate(np.arange(count) * 2 * np.pi / count):
        T = look_at(np.array([0.35 * np.cos(angle), 0.3 * np.sin(angle), 0.4]), np.zeros(3))
        depth = None if level is None else plane_depth(T, level)
        rgb = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
        views.append(View(f"{number}.png", CAMERA, T, rgb, depth))
    return tuple(views)


def plane_depth(T: np.ndarray, level: float) -> np.ndarray:
    y, x = np.mgrid[0 : CAMERA.height, 0 : CAMERA.width] + 0.5
    rays = np.stack([(x - CAMERA.cx) / CAMERA.fx, (y - CAMERA.cy) / CAMERA.fy, np.ones_like(x)], axis=-1)
    z = (level - T[2, 3]) / (rays @ T[2, :3])
    return np.where(z > 0, z, 0.0)


def pixel(view: View, place: np.ndarray) -> np.ndarray:
    return project(view.camera, view.T_world_cam, place[None])[0]


def answers(
    views: Sequence[View], wrong: Sequence[int], rng: np.random.Generator, *, jitter: float = 4.0
) -> list[np.ndarray | None]:
    """Jittered points at the place; those of the views in ``wrong`` are anywhere in the image."""
    answered: list[np.ndarray | None] = []
    for number, view in enumerate(views):
        anywhere = rng.uniform([[0, 0]], [[CAMERA.width, CAMERA.height]])
        near = pixel(view, PLACE) + jitter * rng.standard_normal((1, 2))
        answered.append(anywhere if number in wrong else near)
    return answered


def off(point: np.ndarray, place: np.ndarray = PLACE) -> float:
    return float(np.linalg.norm(point - place))


BOTH = pytest.mark.parametrize("level", [0.04, None], ids=["depth", "rays"])


# ── where ────────────────────────────────────────────────────────────────────────────────────────
@BOTH
def test_exact_answers_meet_exactly(level: float | None) -> None:
    views = ring(8, level=level)
    met = find_consensus(views, [pixel(view, PLACE) for view in views])
    assert met is not None
    assert off(met.point) < (2e-3 if level is not None else 1e-6)
    assert met.scatter < 1e-3
    assert met.agrees.all()


@BOTH
@pytest.mark.parametrize("share", [0.25, 0.4])
def test_wrong_answers_are_outvoted_and_named(level: float | None, share: float) -> None:
    views = ring(24, level=level)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        wrong = rng.choice(24, round(24 * share), replace=False).tolist()
        answered = answers(views, wrong, rng)
        met = find_consensus(views, answered)
        assert met is not None
        assert off(met.point) < 0.012
        right = [number for number in range(24) if number not in wrong]
        assert met.agrees[right].all()
        far = [n for n in wrong if np.linalg.norm(answered[n] - pixel(views[n], PLACE)) > 60]  # type: ignore[operator]
        assert not met.agrees[far].any()


@BOTH
def test_a_rival_that_wrong_answers_agree_on_is_not_averaged_in(level: float | None) -> None:
    views, rng = ring(20, level=level), np.random.default_rng(1)
    answered = answers(views, [], rng)
    for number in range(0, 20, 3):
        answered[number] = pixel(views[number], ELSEWHERE)
    met = find_consensus(views, answered)
    assert met is not None
    assert off(met.point) < 0.01
    assert not met.agrees[::3].any()


@BOTH
def test_the_scatter_is_that_of_the_answers(level: float | None) -> None:
    views, rng = ring(60, level=level), np.random.default_rng(2)
    met = find_consensus(views, answers(views, [], rng, jitter=6.0))
    assert met is not None
    distance = np.mean([np.linalg.norm(view.T_world_cam[:3, 3] - PLACE) for view in views])
    assert met.scatter == pytest.approx(6.0 * distance / CAMERA.fx, rel=0.25)


def test_rays_settle_where_a_plain_search_does() -> None:
    """The slow twin: the same sum of Gaussians, climbed by Nelder and Mead."""
    views, rng = ring(12, level=None), np.random.default_rng(3)
    answered = answers(views, [2, 7], rng)
    config = ConsensusConfig()
    met = find_consensus(views, answered)
    assert met is not None

    def votes(point: np.ndarray) -> float:
        total = 0.0
        for view, named in zip(views, answered, strict=True):
            assert named is not None
            ray = view.T_world_cam[:3, :3] @ [*(named[0] - [CAMERA.cx, CAMERA.cy]) / [300.0, 296.0], 1.0]
            to = point - view.T_world_cam[:3, 3]
            angle = np.linalg.norm(np.cross(to, ray)) / (to @ ray)
            total += np.exp(-0.5 * (angle / config.kernel_width) ** 2)
        return -total

    climbed = minimize(votes, PLACE, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10})
    # Mean shift holds the distances fixed within a step: the tangent's own slope is left out.
    assert off(met.point, climbed.x) < 2e-3
    assert votes(met.point) == pytest.approx(climbed.fun, rel=1e-3)


def test_a_hole_in_the_depth_leaves_the_ray() -> None:
    views = [replace(view, depth=np.zeros((240, 320))) for view in ring(6)[:3]] + list(ring(6)[3:])
    marks = _collect(views, [pixel(view, PLACE) for view in views], ConsensusConfig())
    assert (marks.along > 0).tolist() == [False] * 3 + [True] * 3
    met = find_consensus(views, [pixel(view, PLACE) for view in views])
    assert met is not None
    assert off(met.point) < 2e-3
    assert met.agrees.all()


# ── laws ─────────────────────────────────────────────────────────────────────────────────────────
@BOTH
@settings(max_examples=15)
@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100.0))
def test_moving_and_scaling_the_world_moves_and_scales_the_place(
    level: float | None, seed: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    views = ring(9, level=level)
    answered = answers(views, [0, 4], rng)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_rotvec(rng.normal(size=3)).as_matrix(), rng.normal(size=3)
    moved = []
    for view in views:
        pose = view.T_world_cam.copy()
        pose[:3, 3] *= scale
        depth = None if view.depth is None else view.depth * scale
        moved.append(replace(view, T_world_cam=T @ pose, depth=depth))
    before, after = find_consensus(views, answered), find_consensus(moved, answered)
    assert before is not None
    assert after is not None
    expected = transform_points(T, scale * before.point[None])[0]
    assert off(after.point, expected) < 1e-5 * scale
    assert after.scatter == pytest.approx(scale * before.scatter, rel=1e-3)
    assert (after.agrees == before.agrees).all()


@BOTH
@settings(max_examples=15)
@given(order=st.permutations(range(8)))
def test_the_order_of_the_views_does_not_matter(level: float | None, order: list[int]) -> None:
    views = ring(8, level=level)
    answered = answers(views, [3], np.random.default_rng(5))
    before = find_consensus(views, answered)
    after = find_consensus([views[i] for i in order], [answered[i] for i in order])
    assert before is not None
    assert after is not None
    assert off(after.point, before.point) < 1e-6
    assert (after.agrees == before.agrees[order]).all()


def test_the_same_question_has_the_same_answer() -> None:
    views = ring(12, level=None)
    answered = answers(views, [1, 2], np.random.default_rng(6))
    one, other = find_consensus(views, answered), find_consensus(views, answered)
    assert one is not None
    assert other is not None
    assert (one.point == other.point).all()


# ── little to go by ──────────────────────────────────────────────────────────────────────────────
@BOTH
@pytest.mark.parametrize("spoken", [0, 1, 2])
def test_two_views_do_not_make_a_place(level: float | None, spoken: int) -> None:
    views = ring(6, level=level)
    answered = [pixel(view, PLACE) if number < spoken else NONE for number, view in enumerate(views)]
    assert find_consensus(views, answered) is None
    assert find_consensus(views, [named if len(named) else None for named in answered]) is None


def test_silent_views_agree_with_nothing() -> None:
    views = ring(6)
    answered: list[np.ndarray | None] = [pixel(view, PLACE) for view in views]
    answered[1], answered[4] = None, NONE
    met = find_consensus(views, answered)
    assert met is not None
    assert np.flatnonzero(~met.agrees).tolist() == [1, 4]


def test_answers_all_over_the_table_meet_nowhere() -> None:
    views = ring(16)
    rng = np.random.default_rng(8)
    spots = np.array([[x, y, 0.04] for x in (-0.15, -0.05, 0.05, 0.15) for y in (-0.15, -0.05, 0.05, 0.15)])
    answered = [pixel(view, spot) for view, spot in zip(views, rng.permutation(spots), strict=True)]
    assert find_consensus(views, answered) is None


def test_a_view_with_many_points_speaks_once() -> None:
    views = ring(9)
    answered: list[np.ndarray | None] = [pixel(view, PLACE) for view in views]
    answered[0] = np.repeat(pixel(views[0], ELSEWHERE), 30, axis=0)
    met = find_consensus(views, answered)
    assert met is not None
    assert off(met.point) < 3e-3
    assert met.agrees.tolist() == [False] + [True] * 8


def test_the_nearest_of_a_views_points_is_taken() -> None:
    views = ring(8)
    answered: list[np.ndarray | None] = [
        np.concatenate([pixel(view, ELSEWHERE * [1, 0.2 * number, 1]), pixel(view, PLACE)])
        for number, view in enumerate(views)
    ]
    met = find_consensus(views, answered)
    assert met is not None
    assert off(met.point) < 3e-3
    assert met.agrees.all()


def test_parallel_rays_are_no_place_and_no_error() -> None:
    """One camera many times: nothing says how far away it is."""
    views = [replace(ring(1, level=None)[0], name=f"{number}.png") for number in range(5)]
    met = find_consensus(views, [np.array([[160.0, 120.0]])] * 5)
    assert met is None or np.isfinite(met.point).all()


def test_points_outside_the_view_are_rays() -> None:
    views = ring(6)
    met = find_consensus(views, [np.array([[-500.0, 900.0]])] * 6)
    assert met is None or np.isfinite(met.point).all()


@pytest.mark.slow
def test_many_views_take_moments() -> None:
    views = ring(200, level=None)
    answered = answers(views, range(0, 200, 4), np.random.default_rng(9))
    met = find_consensus(views, answered)
    assert met is not None
    assert off(met.point) < 0.005
    assert seconds(lambda: find_consensus(views, answered), 5.0) < 5.0
