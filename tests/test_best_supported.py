"""Which of several fused surfaces gives the grasps: the one whose best grasp the views support."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from point2act.core.types import Grasp, NoAnswer, Region
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.depth_noise import DepthNoise
from point2act.grasping.grippers import load_gripper
from point2act.grasping.view_support import ViewReadings
from point2act.pipeline import planning
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.session import Session

GRIPPER = load_gripper("panda")
NONE = NoAnswer("all_collide", "the nearest miss lacks 3 mm")


def surface(*scores: float, presumed: bool = False) -> Any:
    """Return a surface on which grasps with these scores are planned."""
    return Mock(spec=LocalVolume, scores=scores, shadows=np.array([presumed]))


def best(monkeypatch: pytest.MonkeyPatch, support: dict[float, float], *surfaces: Any):
    """Return the chosen scores, the reason, and on how many surfaces was planned."""
    planned: list[Any] = []

    def plan_on(volume: Any) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
        planned.append(volume)
        grasps = tuple(
            Grasp(
                np.eye(4),
                0.04,
                score=score,
                relevancy=score,
                quality=1.0,
                contacts=np.zeros((2, 3)),
                approach_clearance=0.0,
            )
            for score in volume.scores
        )
        return grasps, None if grasps else NONE

    # The relevancy keeps what a grasp's score was.
    readings = Mock(
        spec=ViewReadings,
        support=lambda grasps, gripper: np.array([support[grasp.relevancy] for grasp in grasps]),
        approach_seen=lambda grasps, gripper: np.ones(len(grasps)),
    )
    monkeypatch.setattr(planning, "free_in", lambda volume, grasps, region, gripper, config: grasps)
    region = Mock(spec=Region)
    found, failure = planning._best_supported(
        surfaces[0], iter(surfaces[1:]), readings, plan_on, region, GRIPPER, AnswerConfig()
    )
    return [grasp.relevancy for grasp in found], failure, len(planned)


def test_a_best_grasp_that_no_view_contradicts_ends_the_search(monkeypatch):
    support = {0.9: 1.0, 0.8: 0.5, 0.95: 1.0}
    assert best(monkeypatch, support, surface(0.8, 0.9), surface(0.95)) == ([0.9, 0.8], None, 1)


def test_what_fewer_views_give_wins_if_all_support_it(monkeypatch):
    support = {0.9: 0.8, 0.7: 0.6, 0.3: 1.0, 0.2: 1.0}
    chosen, failure, planned = best(monkeypatch, support, surface(0.9, 0.7), surface(0.3), surface(0.2))
    assert (chosen, failure, planned) == ([0.3], None, 2)


def test_what_fewer_views_give_does_not_win_otherwise(monkeypatch):
    support = {0.9: 0.95, 0.3: 0.95, 0.05: 1.0}
    chosen, _, planned = best(monkeypatch, support, surface(0.9), surface(0.3), surface(0.05))
    assert (chosen, planned) == ([0.9], 3)


def test_presumed_free_space_is_for_things_without_any_grasp(monkeypatch):
    support = {0.9: 0.9, 0.3: 1.0}
    presumed = surface(0.3, presumed=True)
    assert best(monkeypatch, support, surface(0.9), presumed)[0] == [0.9]
    assert best(monkeypatch, support, surface(), presumed)[0] == [0.3]


def test_the_reason_is_that_of_the_first_surface(monkeypatch):
    assert best(monkeypatch, {}, surface(), surface(), surface(presumed=True)) == ([], NONE, 3)


def test_the_noise_of_a_session_is_measured_once_for_each_law(monkeypatch):
    calls: list[tuple[str, int]] = []
    laws = {sensor: Mock(spec=DepthNoise) for sensor in ("tof", "auto")}
    monkeypatch.setattr(
        "point2act.pipeline.session.estimate_noise",
        lambda views, depths, *, sensor: calls.append((sensor, len(views))) or laws[sensor],
    )
    view = SimpleNamespace(depth=np.ones((2, 2)))
    session: Any = SimpleNamespace(views=[view, SimpleNamespace(depth=None)], _noise={})
    assert Session.noise(session, "tof") is Session.noise(session, "tof") is laws["tof"]
    assert Session.noise(session, "auto") is laws["auto"]
    assert calls == [("tof", 1), ("auto", 1)]
    photographs: Any = SimpleNamespace(views=[SimpleNamespace(depth=None)], _noise={})
    assert Session.noise(photographs, "auto") is None
