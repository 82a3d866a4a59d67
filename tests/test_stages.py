"""The stages of a plan, and the poses of its grasps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from constraint_states import random_state, rigid
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("mujoco", reason="arms need mujoco: pip install point2act[arm]")

from point2act.acting.constraints.constraint_values import residual
from point2act.acting.control.gripper_constraints import GripperAt, GripperOnApproach, backed_off
from point2act.acting.execution.stages import (
    APPROACH,
    LIFT,
    Fingers,
    GraspChoice,
    GraspRequest,
    Motion,
    ReachedGrasp,
    carried_over,
    grasp_choices,
    grasp_stages,
    out_of_the_way,
    put_down,
    retreat,
    stages_of,
)
from point2act.core.constraints import (
    UP,
    ArcPath,
    Axis,
    AxisName,
    AxisToAxis,
    Constraint,
    GripperWidth,
    KeepGrasp,
    KeepUpright,
    LinePath,
    Point,
    PointToPoint,
    When,
)
from point2act.core.geometry import transform, transform_points
from point2act.core.types import Grasp, Plan, Query, Step, Target
from point2act.grasping.grippers import load_gripper

MAX_WIDTH = 0.08
SEEDS = st.integers(0, 1_000_000)
CUP, TRAY = Point("cup", "bottom"), Point("tray", "top")
ON_TRAY = PointToPoint(CUP, TRAY)
OPEN = GripperWidth(1.0)


def step(*constraints: Constraint, grasp: str | None = None, action: str = "move") -> Step:
    targets = () if grasp is None else (Target(Query(grasp, grasp), grasp, None, ""),)
    return Step(action, targets, constraints)


def stages(*steps: Step) -> tuple:
    return stages_of(Plan("", steps), MAX_WIDTH)


def names(*steps: Step) -> list[str]:
    return [f"grasp {one.query}" if isinstance(one, GraspRequest) else one.name for one in stages(*steps)]


GRASP = step(grasp="cup", action="grasp the cup")
PLACE = step(ON_TRAY, KeepGrasp("cup"), OPEN, action="put it on the tray")


# ── which stages there are ──────────────────────────────────────────────────────────────────────
def test_a_thing_is_grasped_set_down_released_and_left():
    assert names(GRASP, PLACE) == ["grasp cup", "put it on the tray", "release", "retreat"]


def test_stages_have_the_numbers_of_their_steps():
    assert [one.step for one in stages(GRASP, PLACE)] == [0, 1, 1, 1]


def test_a_plan_without_steps_has_no_stages():
    assert stages() == ()


def test_a_grasp_is_lifted():
    assert stages(GRASP, PLACE)[0] == GraspRequest("cup", 0, lifts=True)


@pytest.mark.parametrize("path", [LinePath(CUP, TRAY), ArcPath(CUP, TRAY, UP)])
def test_what_moves_along_a_path_is_not_lifted_before(path: Constraint):
    assert stages(GRASP, step(path, ON_TRAY))[0] == GraspRequest("cup", 0, lifts=False)
    assert stages(step(path, ON_TRAY, grasp="cup"))[0] == GraspRequest("cup", 0, lifts=False)


def test_only_the_next_step_decides_about_the_lift():
    request, *_ = stages(GRASP, PLACE, step(LinePath(CUP, TRAY), ON_TRAY))
    assert request.lifts


def test_only_targets_to_grasp_are_grasped():
    place = Target(Query("tray", "tray", "place"), "tray", None, "")
    assert stages(Step("look", (place,), ())) == ()


def test_a_motion_has_the_constraints_of_its_step():
    upright = KeepUpright(UP, when="path")
    before = KeepUpright(UP, when="precondition")
    checked, motion = stages(step(ON_TRAY, KeepGrasp("cup"), upright, before))
    assert checked.conditions == (before,)
    assert motion.goals(random_state(np.random.default_rng(0))) == (ON_TRAY,)
    assert set(motion.paths) == {KeepGrasp("cup"), upright}
    assert motion.touches == {"cup", "tray"}
    assert not motion.sets_down


def test_a_step_without_goals_moves_nothing():
    assert names(step(KeepGrasp("cup"))) == []


def test_pressing_closes_the_fingers_first():
    fingers, motion = stages(
        step(GripperWidth(0.0, when="path"), PointToPoint(Point("gripper", "center"), TRAY))
    )
    assert isinstance(fingers, Fingers)
    assert (fingers.width, fingers.query) == (0.0, None)
    assert isinstance(motion, Motion)
    assert motion.paths == ()
    assert motion.speed < 1.0


def test_things_are_set_down_slowly_and_gently():
    carried, set_down = stages(step(ON_TRAY), step(ON_TRAY, OPEN))[:2]
    assert set_down.sets_down
    assert set_down.speed < carried.speed
    assert set_down.max_force < carried.max_force


@pytest.mark.parametrize(
    ("angle", "axis", "slow"), [(2.1, "cup", True), (0.0, "cup", False), (2.1, "gripper", False)]
)
def test_what_is_tipped_is_tipped_slowly(angle: float, axis: str, slow: bool):
    """What is in it would be flung beside where it is poured."""
    name: AxisName = "approach" if axis == "gripper" else "up"
    (motion,) = stages(step(AxisToAxis(Axis(axis, name), angle=angle)))
    assert isinstance(motion, Motion)
    assert (motion.speed < 0.5) == slow


def test_what_is_moved_along_a_line_to_its_release_may_press():
    guided, free = (stages(step(ON_TRAY, OPEN, *paths))[0] for paths in ([LinePath(CUP, TRAY)], []))
    assert guided.max_force > free.max_force


def test_closing_at_the_end_is_followed_by_no_retreat():
    assert names(step(ON_TRAY, GripperWidth(0.0))) == ["move", "close"]


@given(st.floats(0.0, 1.0), st.sampled_from(["path", "goal"]))
def test_fingers_open_no_further_than_they_can(width: float, when: When):
    found = next(one for one in stages(step(GripperWidth(width, when=when))) if isinstance(one, Fingers))
    assert found.width == min(width, MAX_WIDTH)


# ── a grasp ─────────────────────────────────────────────────────────────────────────────────────
def chosen(seed: int) -> GraspChoice:
    return GraspChoice("cup", rigid(np.random.default_rng(seed)), 0.04, 0.07)


def reached(choice: GraspChoice) -> ReachedGrasp:
    return ReachedGrasp(choice, np.full(7, 0.1), np.full(7, 0.2))


@pytest.mark.parametrize("lifts", [True, False])
def test_a_grasp_opens_approaches_closes_and_lifts(lifts: bool):
    found = grasp_stages(GraspRequest("cup", 3, lifts), reached(chosen(0)))
    wanted = ["open", "move to the cup", "approach the cup", "close on the cup", "lift the cup"]
    assert [one.name for one in found] == wanted[: 4 + lifts]
    assert {one.step for one in found} == {3}
    opened, closed = found[0], found[3]
    assert isinstance(opened, Fingers)
    assert isinstance(closed, Fingers)
    assert (opened.width, opened.query) == (0.07, None)
    assert (closed.width, closed.query) == (0.0, "cup")


@given(SEEDS)
def test_the_approach_is_straight_to_the_grasp_where_the_thing_is_now(seed: int):
    """Its goals hold before the grasp and at it, its path between them, wherever the thing has moved."""
    state, choice = random_state(np.random.default_rng(seed)), chosen(seed + 1)
    _, before, approach, *_ = grasp_stages(GraspRequest("cup", 0, True), reached(choice))
    assert isinstance(before, Motion)
    assert isinstance(approach, Motion)
    grasp = state.motion["cup"] @ choice.T_world_gripper
    for distance in (0.0, APPROACH / 2, APPROACH):
        here = replace(state, T_world_gripper=backed_off(grasp, distance))
        (goal,), (ready,), (path,) = approach.goals(here), before.goals(here), approach.paths
        assert residual(goal, here).value == pytest.approx(distance, abs=1e-9)
        assert residual(ready, here).value == pytest.approx(APPROACH - distance, abs=1e-9)
        assert residual(path, here).value == pytest.approx(0.0, abs=1e-9)
    aside = replace(state, T_world_gripper=grasp @ transform(np.eye(3), (0.003, 0.004, 0.0)))
    assert residual(path, aside).value == pytest.approx(0.005)


def test_only_the_thing_may_be_touched_on_the_approach():
    _, before, approach, *_ = grasp_stages(GraspRequest("cup", 0, True), reached(chosen(0)))
    assert isinstance(before, Motion)
    assert isinstance(approach, Motion)
    assert (before.touches, approach.touches) == (frozenset(), {"cup"})


@given(SEEDS)
def test_the_lift_is_up_and_keeps_the_thing(seed: int):
    state = random_state(np.random.default_rng(seed))
    lift = grasp_stages(GraspRequest("cup", 0, True), reached(chosen(0)))[-1]
    assert isinstance(lift, Motion)
    (goal,) = lift.goals(state)
    assert isinstance(goal, GripperAt)
    np.testing.assert_allclose(goal.pose(state)[:3, 3] - state.T_world_gripper[:3, 3], LIFT * state.up)
    np.testing.assert_array_equal(goal.pose(state)[:3, :3], state.T_world_gripper[:3, :3])
    assert [type(one) for one in lift.paths] == [KeepGrasp]


@given(SEEDS)
def test_the_retreat_is_back_along_the_approach(seed: int):
    state = random_state(np.random.default_rng(seed))
    motion = retreat(2, frozenset({"cup"}))
    (goal,) = motion.goals(state)
    assert isinstance(goal, GripperAt)
    np.testing.assert_allclose(goal.pose(state), backed_off(state.T_world_gripper, APPROACH))
    assert (motion.step, motion.touches) == (2, {"cup"})


def test_where_the_arm_cannot_retreat_far_it_retreats_less():
    state, distances = random_state(np.random.default_rng(1)), []
    motion: Motion | None = retreat(2, frozenset({"cup"}))
    while motion is not None:
        (goal,) = motion.goals(state)
        assert isinstance(goal, GripperAt)
        way = float(np.linalg.norm(goal.pose(state)[:3, 3] - state.T_world_gripper[:3, 3]))
        assert goal.tolerance < way, "it does not stay where it is"
        distances.append(way)
        motion = motion.instead
    np.testing.assert_allclose(distances, [0.1, 0.05, 0.025])


@given(SEEDS, st.floats(0.0, 0.3))
def test_what_is_held_is_put_down_to_the_height_at_which_it_was_found(seed: int, lifted: float):
    state = random_state(np.random.default_rng(seed))
    up = transform(np.eye(3), lifted * state.up)
    state = replace(state, held=frozenset({"cup"}), motion={**state.motion, "cup": up})
    motion = put_down(1, frozenset({"cup", "tray"}))
    (goal,) = motion.goals(state)
    assert isinstance(goal, GripperAt)
    moved = goal.pose(state)[:3, 3] - state.T_world_gripper[:3, 3]
    np.testing.assert_allclose(moved, -lifted * state.up, atol=1e-9)
    assert motion.sets_down
    assert motion.touches == {"cup", "tray"}


@pytest.mark.parametrize("path", [LinePath(CUP, TRAY), ArcPath(CUP, TRAY, UP), KeepUpright(UP, when="path")])
def test_the_arm_gives_way_on_a_line_or_an_arc(path: Constraint):
    (motion,) = (one for one in stages(step(ON_TRAY, path)) if isinstance(one, Motion))
    assert motion.guided == isinstance(path, (LinePath, ArcPath))


def test_the_way_to_a_grasp_knows_its_plan():
    _, before, approach, _, lift = grasp_stages(GraspRequest("cup", 0, True), reached(choice := chosen(0)))
    assert [one.choice for one in (before, approach, lift)] == [choice, choice, None]
    np.testing.assert_array_equal([before.near, approach.near], [np.full(7, 0.1), np.full(7, 0.2)])
    assert lift.near is None


# ── carrying ────────────────────────────────────────────────────────────────────────────────────
CARRY = Motion("carry", 0, lambda _: (ON_TRAY,), touches=frozenset(("tray",)), sets_down=True, carries=True)


@given(SEEDS, st.floats(0.11, 0.5), st.floats(-0.5, 0.5))
def test_things_are_carried_up_and_across_and_set_down_from_above(seed: int, across: float, rise: float):
    """The way is never lower than its start, and ends above the goal with the goal's orientation."""
    state = random_state(np.random.default_rng(seed))
    start, end = state.T_world_gripper, rigid(np.random.default_rng(seed + 1))
    up = state.up
    side = np.cross(up, [0.3, 0.5, 0.9])
    end[:3, 3] = start[:3, 3] + rise * up + across * side / np.linalg.norm(side)
    motions = carried_over(CARRY, start, end, np.zeros(3), up)
    assert all(not (one.carries or one.sets_down or one.touches or one.may_turn) for one in motions)
    (over,) = motions[-1].goals(state)
    assert isinstance(over, GripperAt)
    pose = over.pose(state)
    np.testing.assert_array_equal(pose[:3, :3], end[:3, :3])
    height = float((pose[:3, 3] - end[:3, 3]) @ up)
    assert height == pytest.approx(max(LIFT, -rise))
    np.testing.assert_allclose(pose[:3, 3] - end[:3, 3], height * up, atol=1e-9)
    (above,) = motions[-1].paths
    between = pose.copy()
    between[:3, 3] = (start[:3, 3] + max(rise + LIFT, 0.0) * up + pose[:3, 3]) / 2
    lower = between.copy()
    lower[:3, 3] -= 0.07 * up
    assert residual(above, replace(state, T_world_gripper=between)).value == 0
    assert residual(above, replace(state, T_world_gripper=lower)).value == pytest.approx(0.05)
    for one in motions[:-1]:
        assert one.paths == ()
        (raised,) = one.goals(state)
        assert isinstance(raised, GripperAt)
        way = raised.pose(state)[:3, 3] - start[:3, 3]
        np.testing.assert_allclose(way, (rise + LIFT) * up, atol=1e-9)


def test_where_the_arm_cannot_go_high_things_are_carried_lower():
    start, end, up = np.eye(4), transform(np.eye(3), (0.2, 0.0, 0.0)), np.array([0.0, 0.0, 1.0])
    state = random_state(np.random.default_rng(0))
    *_, across = carried_over(CARRY, start, end, np.zeros(3), up)
    assert across.instead is not None
    assert across.instead.instead is None
    heights = [float(one.goals(state)[0].pose(state)[2, 3]) for one in (across, across.instead)]
    assert heights == pytest.approx([LIFT, LIFT / 2])


def test_what_stays_beside_is_not_carried():
    start, end = np.eye(4), transform(np.eye(3), (0.03, 0.03, -0.2))
    assert carried_over(CARRY, start, end, np.zeros(3), np.array([0.0, 0.0, 1.0])) == ()


def test_what_is_tipped_is_not_carried():
    """The gripper moves by 21 cm about the middle of what it holds."""
    start, held = np.eye(4), np.array([0.0, 0.0, 0.15])
    turn = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    end = transform(turn, held - turn @ held)
    assert carried_over(CARRY, start, end, held, np.array([0.0, 0.0, 1.0])) == ()
    assert carried_over(CARRY, start, end, np.zeros(3), np.array([0.0, 0.0, 1.0]))


def test_what_is_pressed_or_guided_is_not_carried():
    pressed = stages(step(GripperWidth(0.0, when="path"), ON_TRAY))
    guided = stages(step(LinePath(CUP, TRAY, 0.1), ON_TRAY))
    carried = stages(step(ON_TRAY, OPEN))
    found = [next(one for one in all_ if isinstance(one, Motion)) for all_ in (pressed, guided, carried)]
    assert [one.carries for one in found] == [False, False, True]


# ── poses ───────────────────────────────────────────────────────────────────────────────────────
@given(SEEDS, st.floats(-0.5, 0.5))
def test_backed_off_is_along_the_approach(seed: int, distance: float):
    T = rigid(np.random.default_rng(seed))
    given = T.copy()
    back = backed_off(T, distance)
    np.testing.assert_array_equal(T, given)
    np.testing.assert_array_equal(back[:3, :3], T[:3, :3])
    np.testing.assert_allclose(back[:3, 3], T[:3, 3] - distance * T[:3, 2], atol=1e-12)
    np.testing.assert_allclose(backed_off(back, -distance), T, atol=1e-12)


@given(SEEDS)
def test_a_pose_without_a_query_stays(seed: int):
    rng = np.random.default_rng(seed)
    state, T = random_state(rng), rigid(rng)
    np.testing.assert_array_equal(GripperAt(T).pose(state), T)
    np.testing.assert_allclose(GripperOnApproach(T, "pot").pose(state), state.motion["pot"] @ T)
    assert (GripperAt(T).when, GripperOnApproach(T).when) == ("goal", "path")


def a_grasp(rng: np.random.Generator, approach_width: float | None) -> Grasp:
    T = rigid(rng)
    pads = transform_points(T, np.array([[0.0, -0.02, 0.0], [0.0, 0.02, 0.0]]))
    return Grasp(
        T, 0.04, approach_width=approach_width, score=1.0, relevancy=1.0, quality=1.0, contacts=pads,
        approach_clearance=0.01,
    )  # fmt: skip


@given(SEEDS)
def test_each_grasp_is_in_the_base_frame_and_then_with_exchanged_fingers(seed: int):
    rng = np.random.default_rng(seed)
    grasps, T_base_world = [a_grasp(rng, None), a_grasp(rng, None)], rigid(rng)
    choices = grasp_choices("cup", grasps, T_base_world, load_gripper("panda"))
    assert len(choices) == 4
    for grasp, first, other in zip(grasps, choices[::2], choices[1::2], strict=True):
        np.testing.assert_allclose(first.T_world_gripper, T_base_world @ grasp.T_world_gripper)
        pads = transform_points(T_base_world, grasp.contacts)
        for choice, places in ((first, pads), (other, pads[::-1])):
            assert (choice.query, choice.width) == ("cup", grasp.width)
            offsets = np.array([[0.0, -0.02, 0.0], [0.0, 0.02, 0.0]])
            np.testing.assert_allclose(transform_points(choice.T_world_gripper, offsets), places, atol=1e-12)
            assert np.linalg.det(choice.T_world_gripper[:3, :3]) == pytest.approx(1.0)
        np.testing.assert_allclose(other.T_world_gripper[:3, 2], first.T_world_gripper[:3, 2])


@pytest.mark.parametrize(("checked", "opened"), [(None, 0.07), (0.05, 0.05), (0.2, MAX_WIDTH)])
def test_fingers_open_as_checked_or_with_clearance_on_both_sides(checked: float | None, opened: float):
    grasp = a_grasp(np.random.default_rng(0), checked)
    choice, _ = grasp_choices("cup", [grasp], np.eye(4), load_gripper("panda"))
    assert choice.open_width == pytest.approx(opened)


@given(SEEDS)
def test_out_of_the_way_is_where_it_is_given(seed: int):
    rng = np.random.default_rng(seed)
    T = rigid(rng)
    motion = out_of_the_way(1, T)
    (goal,) = motion.goals(random_state(rng))
    assert isinstance(goal, GripperAt)
    np.testing.assert_array_equal(goal.T_world_gripper, T)
    assert (motion.step, motion.touches) == (1, frozenset())
