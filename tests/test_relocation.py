"""A query that was localized on another object, located anew from answers about the right one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mink", reason="control needs mink: pip install point2act[act]")
pytest.importorskip("ruckig")

from point2act.acting.execution.preparation import PreparedTask
from point2act.acting.execution.relocation import locate_again
from point2act.acting.execution.simulated_task import prepare_mistaken
from point2act.core.geometry import transform_points
from point2act.core.types import OrientedBox
from point2act.grasping.grippers import load_gripper
from point2act.grasping.reachability.arm import load_arm
from point2act.simulation import part_box
from point2act.simulation.task import Task, load_task

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("press_button", 0)


@pytest.fixture(scope="module")
def mistaken(task: Task) -> PreparedTask:
    return prepare_mistaken(task, load_arm("panda", load_gripper("panda")))


@pytest.fixture(scope="module")
def truth(task: Task) -> OrientedBox:
    box, T = part_box(task.scene, "button"), task.scene.T_base_world
    return OrientedBox(transform_points(T, box.center), np.eye(3), box.half_extents)


def on_top(box: OrientedBox, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    beside = 0.5 * rng.uniform(-1, 1, (count, 2)) * box.half_extents[:2]
    return [box.center + np.append(way, box.half_extents[2]) for way in beside]


def test_it_is_where_the_fresh_answers_have_it(mistaken: PreparedTask, truth: OrientedBox) -> None:
    before = mistaken.scene.features["button"].box.center
    found = locate_again(mistaken, "button", on_top(truth, 6))
    assert found is not None
    assert np.linalg.norm(before - truth.center) > 0.05
    assert np.linalg.norm(found.scene.features["button"].box.center - truth.center) < 0.02
    assert found.source is not None
    assert mistaken.source is not None
    # The answers about the other object are gone.
    assert len(found.source.points.answers) < len(mistaken.source.points.answers)


@pytest.mark.parametrize("way", [(0.0, 0.0, 0.3), (0.0, 0.2, -0.05)])
def test_nothing_is_located_where_nothing_stood(
    mistaken: PreparedTask, truth: OrientedBox, way: tuple[float, float, float]
) -> None:
    """In the air, and under the table."""
    assert locate_again(mistaken, "button", [place + way for place in on_top(truth, 3)]) is None


def test_a_task_without_a_capture_stays(mistaken: PreparedTask, truth: OrientedBox) -> None:
    assert locate_again(replace(mistaken, source=None), "button", on_top(truth, 3)) is None
