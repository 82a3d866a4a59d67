"""Where things are while a plan runs: by images, by the gripper, and by neither."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest
from constraint_states import rigid
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

pytest.importorskip("mink", reason="control needs mink: pip install point2act[act]")

from point2act.acting.constraints.region_features import RegionFeatures
from point2act.acting.execution.perception import Observation
from point2act.acting.execution.scene_memory import SceneMemory, TaskScene
from point2act.acting.execution.scenery import Scenery
from point2act.acting.execution.stages import GraspChoice
from point2act.core.constraints import Point
from point2act.core.geometry import transform, transform_points
from point2act.core.types import OrientedBox

SEEDS = st.integers(0, 1_000_000)
THINGS = {"cup": "mug", "handle": "mug", "tray": "tray"}
FAR = transform(np.eye(3), (0.0, 0.0, 1.0))
"""A gripper that hides nothing."""
SCENERY = OrientedBox(np.array([0.8, 0.0, 0.1]), np.eye(3), np.array([0.1, 0.1, 0.1]))
REST = OrientedBox(np.array([0.4, -0.2, 0.15]), np.eye(3), np.array([0.01, 0.01, 0.1]))
"""A post on the tray."""
MUG, TRAY = np.array([0.5, 0.1, 0.05]), np.array([0.4, -0.2, 0.02])


def beside_mug(*way: float) -> np.ndarray:
    return MUG + np.array(way)


def features(center: np.ndarray) -> RegionFeatures:
    box = OrientedBox(center, np.eye(3), np.array([0.03, 0.03, 0.04]))
    bottom = center * [1, 1, 0]
    return RegionFeatures({"center": center, "bottom": bottom}, {"up": np.array([0.0, 0.0, 1.0])}, box)


def memory(
    table: np.ndarray | None = None, rests: Mapping[str, tuple[OrientedBox, ...]] = MappingProxyType({})
) -> SceneMemory:
    found = {"cup": features(MUG), "handle": features(beside_mug(0.04, 0.0, 0.0)), "tray": features(TRAY)}
    return SceneMemory(TaskScene(found, THINGS, {}, Scenery((SCENERY,), rests), table))


def shift(*way: float) -> np.ndarray:
    return transform(np.eye(3), np.array(way))


def motions(one: SceneMemory, T_base_gripper: np.ndarray = FAR) -> Mapping[str, np.ndarray]:
    return one.state_at(0.0, {})(T_base_gripper).motion


def seen(T: np.ndarray | None, *, lost: bool = False) -> dict[str, Observation]:
    return {"mug": Observation(lost, T)}


# ── by images ───────────────────────────────────────────────────────────────────────────────────
def test_everything_is_first_where_it_was_found():
    assert all((np.eye(4) == T).all() for T in motions(memory()).values())


def test_regions_of_one_thing_move_together_and_others_stay():
    one = memory()
    one.see(seen(shift(0.02, 0.0, 0.0)), FAR)
    found = motions(one)
    for query in ("cup", "handle"):
        np.testing.assert_array_equal(found[query], shift(0.02, 0.0, 0.0))
    np.testing.assert_array_equal(found["tray"], np.eye(4))


def test_a_thing_that_is_not_seen_stays_where_it_was():
    one = memory()
    one.see(seen(shift(0.02, 0.0, 0.0)), FAR)
    one.see(seen(None), FAR)
    one.see({}, FAR)
    np.testing.assert_array_equal(motions(one)["cup"], shift(0.02, 0.0, 0.0))


def test_small_motions_add_up():
    one = memory()
    for number in range(1, 11):
        one.see(seen(shift(0.02 * number, 0.0, 0.0)), FAR)
        np.testing.assert_array_equal(motions(one)["cup"], shift(0.02 * number, 0.0, 0.0))


def test_a_jump_needs_two_images():
    one, there = memory(), shift(0.2, 0.0, 0.0)
    one.see(seen(there), FAR)
    np.testing.assert_array_equal(motions(one)["cup"], np.eye(4))
    one.see(seen(there), FAR)
    np.testing.assert_array_equal(motions(one)["cup"], there)


@pytest.mark.parametrize(("way", "expected"), [(-0.04, None), (-0.02, 0.0), (0.02, 0.02)])
def test_a_thing_does_not_sink_into_the_table(way: float, expected: float | None):
    """A tracker slides along the smooth side of a mug: it stays on the table, or where it was."""
    one = memory(np.array([0.0, 0.0, 1.0, 0.0]))
    for _ in range(3):
        one.see(seen(shift(0.0, 0.01, way)), FAR)
    there = np.eye(4) if expected is None else shift(0.0, 0.01, expected)
    np.testing.assert_allclose(motions(one)["cup"], there, atol=1e-12)


def tilt(angle: float, *, turn: float = 0.0) -> np.ndarray:
    """A motion about the middle of the mug's body, degrees."""
    rotation = Rotation.from_euler("zx", [turn, angle], degrees=True).as_matrix()
    return transform(rotation, MUG - rotation @ MUG)


@pytest.mark.parametrize(("angle", "expected"), [(20.0, 0.0), (40.0, 0.0), (50.0, 50.0)])
def test_what_stands_is_upright_unless_it_has_fallen_over(angle: float, expected: float):
    """The tracker's tilt of a round mug; the fall of another, which is not on a table in this test."""
    one = memory(np.array([0.0, 0.0, 1.0, 1.0]))
    one.see(seen(tilt(angle)), FAR)
    np.testing.assert_allclose(motions(one)["cup"], tilt(expected), atol=1e-9)


def test_what_stands_turns_about_the_vertical():
    one = memory(np.array([0.0, 0.0, 1.0, 1.0]))
    one.see(seen(tilt(10.0, turn=15.0)), FAR)
    found = motions(one)["cup"][:3, :3]
    np.testing.assert_allclose(found[2], [0, 0, 1], atol=1e-9)
    assert np.rad2deg(np.arctan2(found[1, 0], found[0, 0])) == pytest.approx(15, abs=0.5)


def test_what_the_gripper_has_set_down_may_lean():
    one = memory(np.array([0.0, 0.0, 1.0, 1.0]))
    one.hold("cup", np.eye(4))
    one.release(np.eye(4))
    leaning = shift(0.0, 0.0, 0.01) @ tilt(20.0)
    one.see(seen(leaning), FAR)
    np.testing.assert_allclose(motions(one)["cup"], leaning, atol=1e-9)


@pytest.mark.parametrize("beside", [False, True])
def test_what_was_pulled_from_the_gripper_lies_flat_unless_something_is_beside_it(beside: bool):
    """A tracker does not see by how much a knife is turned about its length."""
    one = memory(np.array([0.0, 0.0, 1.0, 0.0]))
    one.hold("cup", np.eye(4))
    place = TRAY + np.array([0.065, 0.0, 0.04]) if beside else beside_mug(0.1, 0.1, 0.01)
    T = transform(np.eye(3), place - MUG)
    one.release(T)
    leaning = T @ tilt(20.0)
    for _ in range(2):
        one.see(seen(leaning), FAR)
    up = motions(one)["cup"][:3, 2]
    assert np.rad2deg(np.arccos(up[2])) == pytest.approx(20.0 if beside else 0.0, abs=1e-4)


def test_what_is_as_high_as_it_was_found_lies_flat():
    one = memory(np.array([0.0, 0.0, 1.0, 0.0]))
    one.hold("cup", np.eye(4))
    T = transform(np.eye(3), TRAY + np.array([0.065, 0.0, 0.03]) - MUG)
    one.release(T)
    one.see(seen(T @ tilt(20.0)), FAR)
    assert motions(one)["cup"][2, 2] == pytest.approx(1.0)


def test_without_a_table_things_may_be_anywhere():
    one = memory()
    one.see(seen(shift(0.0, 0.0, -0.02)), FAR)
    np.testing.assert_array_equal(motions(one)["cup"], shift(0.0, 0.0, -0.02))


def test_jumps_to_different_places_are_not_believed():
    one = memory()
    for way in (0.2, -0.2, 0.1, -0.1):
        one.see(seen(shift(way, 0.0, 0.0)), FAR)
        np.testing.assert_array_equal(motions(one)["cup"], np.eye(4))


def test_a_jump_is_forgotten_when_the_thing_is_seen_where_it_was():
    one = memory()
    for way in (0.2, 0.0, 0.2):
        one.see(seen(shift(way, 0.0, 0.0)), FAR)
        np.testing.assert_array_equal(motions(one)["cup"], np.eye(4))


def test_a_thing_moves_on_after_a_jump():
    one = memory()
    for way in (0.2, 0.215, 0.23):
        one.see(seen(shift(way, 0.0, 0.0)), FAR)
    np.testing.assert_array_equal(motions(one)["cup"], shift(0.23, 0.0, 0.0))


def test_what_moves_by_more_than_2_cm_is_noted_once():
    one = memory()
    ways = (0.01, 0.019, 0.025, 0.03, 0.05)
    noted = [one.see(seen(shift(way, 0.0, 0.0)), FAR) for way in ways]
    assert [list(each) for each in noted] == [[], [], ["mug"], [], ["mug"]]
    assert noted[2]["mug"] == pytest.approx(0.025)
    assert noted[4]["mug"] == pytest.approx(0.025)


def test_what_the_gripper_has_moved_is_not_noted():
    one = memory()
    one.hold("cup", np.eye(4))
    one.release(shift(0.2, 0.0, 0.0))
    assert one.see(seen(shift(0.2, 0.0, 0.0)), FAR) == {}


@pytest.mark.parametrize(("beside", "used"), [(0.025, False), (0.035, True)])
def test_images_are_ignored_near_the_gripper(beside: float, used: bool):
    """3 cm from the box of any of the thing's regions."""
    one = memory()
    gripper = shift(*beside_mug(0.0, 0.03 + beside, 0.0))
    one.see(seen(shift(0.0, 0.0, 0.01), lost=True), gripper)
    assert one.lost == ({"mug"} if used else set())
    np.testing.assert_array_equal(motions(one)["cup"], shift(0.0, 0.0, 0.01) if used else np.eye(4))


def test_the_gripper_hides_a_thing_where_it_is_now():
    one = memory()
    one.see(seen(shift(0.0, 0.02, 0.0)), FAR)
    one.see(seen(shift(0.0, 0.0, 0.0)), shift(*beside_mug(0.0, 0.07, 0.0)))
    np.testing.assert_array_equal(motions(one)["cup"], shift(0.0, 0.02, 0.0))


def test_a_thing_is_lost_until_it_is_seen_again():
    one = memory()
    one.see(seen(None, lost=True), FAR)
    assert one.lost == {"mug"}
    one.see(seen(np.eye(4)), FAR)
    assert one.lost == set()


# ── by the gripper ──────────────────────────────────────────────────────────────────────────────
@given(SEEDS)
def test_what_is_held_moves_with_the_gripper_and_stays_where_it_is_released(seed: int):
    rng = np.random.default_rng(seed)
    one, taken, moved, later = memory(), rigid(rng), rigid(rng), rigid(rng)
    one.hold("handle", taken)
    assert one.held == {"cup", "handle"}
    np.testing.assert_allclose(motions(one, taken)["cup"], np.eye(4), atol=1e-12)
    in_gripper = transform_points(np.linalg.inv(taken), MUG)
    state = one.state_at(0.0, {})(moved)
    assert state.held == one.held
    np.testing.assert_allclose(
        transform_points(state.motion["cup"], MUG), transform_points(moved, in_gripper), atol=1e-12
    )
    one.release(moved)
    assert one.held == frozenset()
    for query in THINGS:
        np.testing.assert_array_equal(motions(one, later)[query], motions(one, moved)[query])
        np.testing.assert_allclose(motions(one, later)[query], state.motion[query], atol=1e-12)


def test_images_do_not_move_what_is_held():
    one = memory()
    one.hold("cup", FAR)
    one.see(seen(shift(0.02, 0.0, 0.0), lost=True), FAR)
    np.testing.assert_allclose(motions(one)["cup"], np.eye(4), atol=1e-12)
    assert one.lost == set()


@given(SEEDS, st.sampled_from(["tray", "handle"]))
def test_what_was_held_stays_where_it_is_when_something_is_held_next(seed: int, query: str):
    rng = np.random.default_rng(seed)
    one, taken, moved = memory(), rigid(rng), rigid(rng)
    one.hold("cup", taken)
    before = motions(one, moved)
    one.hold(query, moved)
    assert query in one.held
    for name in THINGS:
        np.testing.assert_allclose(motions(one, moved)[name], before[name], atol=1e-12)


def test_releasing_nothing_changes_nothing():
    one = memory()
    one.release(shift(0.3, 0.0, 0.0))
    assert all((np.eye(4) == T).all() for T in motions(one).values())


def test_a_state_is_not_changed_by_what_is_seen_later():
    one = memory()
    state_at = one.state_at(0.03, {})
    one.see(seen(shift(0.02, 0.0, 0.0)), FAR)
    one.hold("tray", FAR)
    state = state_at(FAR)
    assert (state.held, state.width) == (frozenset(), 0.03)
    np.testing.assert_array_equal(state.motion["cup"], np.eye(4))


@given(SEEDS)
def test_the_start_of_a_point_is_kept(seed: int):
    place = np.random.default_rng(seed).uniform(-1.0, 1.0, 3)
    state = memory().state_at(0.0, {Point("cup", "center"): place})(FAR)
    np.testing.assert_array_equal(state.start(Point("cup", "center")), place)
    np.testing.assert_array_equal(state.start(Point("tray", "center")), TRAY)


# ── grasps ──────────────────────────────────────────────────────────────────────────────────────
@given(SEEDS)
def test_a_grasp_moves_with_its_thing(seed: int):
    rng = np.random.default_rng(seed)
    one, motion = memory(), shift(*rng.uniform(-0.01, 0.01, 3))
    choice = GraspChoice("handle", rigid(rng), 0.04, 0.07)
    np.testing.assert_array_equal(one.pose_of(choice), choice.T_world_gripper)
    one.see(seen(motion), FAR)
    np.testing.assert_allclose(one.pose_of(choice), motion @ choice.T_world_gripper)


@given(SEEDS)
def test_if_a_grasp_held_the_thing_would_move_with_the_gripper(seed: int):
    rng = np.random.default_rng(seed)
    one, T = memory(), rigid(rng)
    choice = GraspChoice("handle", rigid(rng), 0.04, 0.07)
    state = one.if_held(choice, 0.04, {})(T @ one.pose_of(choice))
    assert (state.held, state.width) == ({"cup", "handle"}, 0.04)
    np.testing.assert_allclose(state.motion["cup"], T, atol=1e-12)
    np.testing.assert_array_equal(state.motion["tray"], np.eye(4))
    assert one.held == frozenset()


# ── obstacles and axes ──────────────────────────────────────────────────────────────────────────
def centers(boxes: list[OrientedBox]) -> set[tuple[float, ...]]:
    return {tuple(np.round(box.center, 9).tolist()) for box in boxes}


def test_obstacles_leave_out_what_is_touched_with_all_its_regions():
    touched = centers(memory().obstacles(frozenset({"cup"})))
    assert touched == {tuple(TRAY), tuple(SCENERY.center)}
    assert len(memory().obstacles(frozenset())) == 4


def test_obstacles_leave_out_what_is_held():
    one = memory()
    one.hold("tray", FAR)
    assert tuple(TRAY) not in centers(one.obstacles(frozenset()))
    one.release(FAR)
    assert tuple(TRAY) in centers(one.obstacles(frozenset()))


def test_a_query_that_is_located_anew_stands_where_it_was_found():
    """Whatever the thing that was meant before has done; everything else stays as it is."""
    one, elsewhere = memory(), np.array([0.3, 0.3, 0.05])
    one.see(seen(shift(0.02, 0.0, 0.0)), FAR)
    one.see({"tray": Observation(False, shift(0.0, 0.02, 0.0))}, FAR)
    found = {"cup": features(elsewhere), "handle": features(elsewhere), "tray": features(elsewhere)}
    assert one.relocate("cup", TaskScene(found, THINGS, {})) == "mug"
    np.testing.assert_array_equal(motions(one)["cup"], np.eye(4))
    np.testing.assert_array_equal(motions(one)["tray"], shift(0.0, 0.02, 0.0))
    assert tuple(elsewhere) in centers(one.obstacles(frozenset()))


def test_obstacles_are_where_things_are_now():
    one = memory()
    one.see(seen(shift(0.01, 0.02, 0.0)), FAR)
    assert tuple(np.round(beside_mug(0.01, 0.02, 0.0), 9)) in centers(one.obstacles(frozenset()))


def test_the_scenery_is_always_an_obstacle():
    assert memory().obstacles(frozenset(THINGS)) == [SCENERY]


def test_what_a_thing_is_beyond_its_regions_is_an_obstacle_that_moves_with_it():
    """Where the thing is touched too, unless it is held."""
    one = memory(rests={"tray": (REST,)})
    one.see({"tray": Observation(False, shift(0.01, 0.0, 0.0))}, FAR)
    post = tuple(np.round(REST.center + np.array([0.01, 0.0, 0.0]), 9))
    assert post in centers(one.obstacles(frozenset({"cup"})))
    assert post not in centers(one.obstacles(frozenset({"tray"})))
    assert centers(one.rests(frozenset({"tray", "cup"}))) == {post}
    one.hold("tray", FAR)
    assert one.rests(frozenset({"tray", "cup"})) == []


@pytest.mark.parametrize(("beside", "kept"), [(0.035, False), (0.045, True)])
def test_boxes_at_the_fingertips_of_a_planned_grasp_are_no_obstacles(beside: float, kept: bool):
    planned = shift(0.0, 0.0, 0.04 + beside) @ shift(*TRAY)
    found = centers(memory().obstacles(frozenset({"cup"}), GraspChoice("cup", planned, 0.04, 0.07)))
    assert found == {tuple(SCENERY.center)} | ({tuple(TRAY)} if kept else set())


@pytest.mark.parametrize(("moved", "kept"), [(0.015, False), (0.029, True)])
def test_a_grasp_is_planned_only_as_long_as_its_surroundings_have_not_moved(moved: float, kept: bool):
    one = memory()
    one.see(seen(shift(moved, 0.0, 0.0)), FAR)
    planned = GraspChoice("cup", shift(0.0, 0.0, 0.075) @ shift(*TRAY), 0.04, 0.07)
    assert (tuple(TRAY) in centers(one.obstacles(frozenset({"cup"}), planned))) == kept


@given(SEEDS)
def test_up_is_across_the_table(seed: int):
    up = np.array([0.0, 0.0, 1.0]) + np.random.default_rng(seed).uniform(-0.3, 0.3, 3)
    up /= np.linalg.norm(up)
    state = memory(np.append(up, 0.0)).state_at(0.0, {})(FAR)
    np.testing.assert_allclose(state.up, up)
    np.testing.assert_allclose(state.axes @ state.axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(state.axes) == pytest.approx(1.0)
    assert state.axes[0, 0] > 0.9
    assert state.axes[1, 0] == pytest.approx(0.0, abs=1e-12)


def test_axes_are_the_base_s_without_a_table():
    np.testing.assert_array_equal(memory().state_at(0.0, {})(FAR).axes, np.eye(3))
