"""Where disturbances put things: within the distances, free, and not through the gripper."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("mujoco", reason="the simulator needs mujoco: pip install point2act[sim]")

from point2act.simulation.disturbances import Disturber, Roles, mistaken, way_beside
from point2act.simulation.task import load_task

PLACE = st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))


@given(PLACE, PLACE, PLACE)
def test_a_way_is_as_near_as_its_nearest_point_unless_it_leads_away(point: tuple, start: tuple, end: tuple):
    point, start, end = (np.array(one) for one in (point, start, end))
    along = start + np.linspace(0, 1, 401)[:, None] * (end - start)
    nearest = float(np.linalg.norm(along - point, axis=1).min())
    found = way_beside(point, start, end)
    if np.isinf(found):
        assert nearest == pytest.approx(float(np.linalg.norm(start - point)), abs=1e-5)
    else:
        assert found == pytest.approx(nearest, abs=2e-3)


@pytest.mark.parametrize("seed", range(3))
def test_a_mistake_is_about_another_object_and_first_about_one_that_no_query_means(seed: int):
    scene = load_task("mug_on_coaster", 0).scene
    found = list(mistaken(scene, ["mug", "coaster"], np.random.default_rng(seed)))
    meant = [(name, one.target(name).thing) for name, one in found]
    assert set(meant[:2]) == {("mug", "green_mug"), ("coaster", "green_mug")}
    assert set(meant[2:]) == {("mug", "coaster"), ("coaster", "yellow_mug")}
    for name, one in found:
        (other,) = {"mug", "coaster"} - {name}
        assert one.target(other) is scene.target(other)
        assert one.T_world_thing is scene.T_world_thing


def test_a_way_from_the_gripper_is_free_and_one_through_it_is_not():
    start, gripper = np.zeros(2), np.array([0.05, 0.0])
    assert way_beside(gripper, start, np.array([-0.1, 0.0])) == np.inf
    assert way_beside(gripper, start, np.array([0.1, 0.0])) == pytest.approx(0.0)


@pytest.mark.parametrize(("goal", "moved"), [("coaster", True), (None, False)])
def test_a_goal_that_is_fixed_is_not_moved_and_does_not_count(goal: str | None, moved: bool):
    scene = load_task("mug_on_coaster", 0).scene
    roles = Roles("yellow_mug", goal)
    disturber = Disturber("goal_moved", scene, roles, np.random.default_rng(0))
    robot = Lifted(scene.T_world_thing["yellow_mug"][:3, 3] + [0, 0, 0.2])
    disturber(robot)
    assert (disturber.started is not None) == moved


class Lifted:
    """A robot with everything that it is asked about high above the table."""

    joints, covered, model = (), False, None

    def __init__(self, place: np.ndarray):
        self._place = place

    @property
    def data(self) -> Lifted:
        return self

    time = 3.0

    def body(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(xpos=self._place, xmat=np.eye(3).ravel())

    def joint(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(qpos=np.array([*self._place, 1.0, 0, 0, 0]), qvel=np.zeros(6))
