"""What is known of the scene: things that are held, seen, lost and kept away from."""

import numpy as np
import pytest

from point2act.core.geometry import transform
from point2act.core.types import Camera, OrientedBox, View

pytest.importorskip("mink")

from point2act.acting.constraints.region_features import RegionFeatures
from point2act.acting.execution.perception import BesideControl, Observation, Unchanging
from point2act.acting.execution.scene_memory import SceneMemory, TaskScene
from point2act.acting.execution.scenery import find_scenery

UP = np.array([0.0, 0.0, 1.0])
FAR = transform(np.eye(3), (0.0, 0.0, 1.0))
SHELF = OrientedBox(np.array([0.3, 0.3, 0.1]), np.eye(3), np.full(3, 0.1))


def _features(x: float) -> RegionFeatures:
    center = np.array([x, 0.0, 0.05])
    return RegionFeatures(
        {"center": center, "top": center + 0.05 * UP},
        {"up": UP},
        OrientedBox(center, np.eye(3), np.full(3, 0.03)),
    )


@pytest.fixture
def memory() -> SceneMemory:
    features = {"handle": _features(0.5), "mug": _features(0.5), "plate": _features(0.7)}
    things = {"handle": "mug", "mug": "mug", "plate": "plate"}
    return SceneMemory(TaskScene(features, things, {}, (SHELF,), np.array([0.0, 0.0, 1.0, 0.0])))


def _shift(x: float, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    return transform(np.eye(3), (x, y, z))


def _motion(memory: SceneMemory, query: str, T: np.ndarray = FAR) -> np.ndarray:
    return memory.state_at(0.05, {})(T).motion[query]


def test_what_is_held_moves_with_the_gripper_and_stays_where_it_is_released(memory: SceneMemory) -> None:
    memory.hold("handle", FAR)
    assert memory.held == {"handle", "mug"}
    lifted = FAR @ _shift(0.0, 0.0, 0.2)
    np.testing.assert_allclose(_motion(memory, "mug", lifted), _shift(0.0, 0.0, 0.2), atol=1e-12)
    memory.release(lifted)
    assert not memory.held
    np.testing.assert_allclose(_motion(memory, "mug", FAR), _shift(0.0, 0.0, 0.2), atol=1e-12)


def test_a_small_motion_is_taken_over_and_a_jump_needs_two_images(memory: SceneMemory) -> None:
    memory.see({"plate": Observation(False, _shift(0.02))}, FAR)
    np.testing.assert_array_equal(_motion(memory, "plate"), _shift(0.02))
    memory.see({"plate": Observation(False, _shift(0.2))}, FAR)
    np.testing.assert_array_equal(_motion(memory, "plate"), _shift(0.02))
    memory.see({"plate": Observation(False, _shift(0.21))}, FAR)
    np.testing.assert_array_equal(_motion(memory, "plate"), _shift(0.21))


def test_images_of_what_the_gripper_hides_or_holds_do_not_count(memory: SceneMemory) -> None:
    at_plate = transform(np.eye(3), (0.7, 0.0, 0.1))
    memory.see({"plate": Observation(False, _shift(0.02))}, at_plate)
    memory.hold("mug", FAR)
    memory.see({"mug": Observation(False, _shift(0.02))}, FAR)
    for query in ("plate", "mug"):
        np.testing.assert_allclose(_motion(memory, query), np.eye(4), atol=1e-12)


def test_lost_things_keep_their_last_place(memory: SceneMemory) -> None:
    memory.see({"mug": Observation(True, None), "plate": Observation(False, None)}, FAR)
    assert memory.lost == {"mug"}
    np.testing.assert_array_equal(_motion(memory, "mug"), np.eye(4))


def test_obstacles_leave_out_what_is_held_or_touched(memory: SceneMemory) -> None:
    def places(*touched: str) -> list[float]:
        return [float(box.center[0]) for box in memory.obstacles(frozenset(touched))]

    assert places() == [0.5, 0.5, 0.7, 0.3]
    assert places("handle") == [0.7, 0.3]
    memory.hold("mug", FAR)
    assert places("plate") == [0.3]


def test_scenery_is_what_no_query_is_about() -> None:
    rng = np.random.default_rng(0)
    ours, other = (rng.uniform(-0.02, 0.02, (300, 3)) + np.array([x, 0.0, 0.05]) for x in (0.5, 0.7))
    table = np.concatenate([rng.uniform(-0.5, 0.5, (500, 2)), np.zeros((500, 1))], axis=1)
    plane = np.array([0.0, 0.0, 1.0, 0.0])
    boxes = find_scenery(np.concatenate([ours, other, table]), plane, {"mug": ours[:50]})
    assert len(boxes) == 1
    np.testing.assert_allclose(boxes[0].center, [0.7, 0.0, 0.05], atol=0.005)


def test_a_table_with_nothing_on_it_has_no_scenery() -> None:
    assert find_scenery(np.zeros((50, 3)), np.array([0.0, 0.0, 1.0, 0.0]), {"mug": np.zeros((1, 3))}) == ()


def test_images_are_used_after_their_latency_on_a_clock_that_stands_still() -> None:
    view = View("camera", Camera(1.0, 1.0, 1.0, 1.0, 2, 2), np.eye(4), np.zeros((2, 2, 3), np.uint8))
    beside = BesideControl(Unchanging(("mug",)), period=0.2, latency=0.15, real_time=False)
    assert beside.wants_image(0.0)
    beside.submit(0.0, view)
    assert not beside.wants_image(0.1)
    assert beside.poll(0.1) is None
    assert beside.seen_at == -np.inf
    found = beside.poll(0.15)
    assert found is not None
    assert not found["mug"].lost
    assert beside.seen_at == 0.0
    assert not beside.wants_image(0.19)
    assert beside.wants_image(0.2)
    beside.close()
