"""The measured surface in physics, on solids whose size is known, and grasps that are executed on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from analytic_volumes import FLOOR, box, region_at, sphere, volume_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from quick_hands import QUICK
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from point2act.core.geometry import transform, transform_points
from point2act.core.types import Grasp, NoAnswer, Region
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.hands.checks import Execution
from point2act.grasping.hands.execution import Execute
from point2act.grasping.hands.load import load_hand
from point2act.grasping.hands.plan import plan_hand_grasps
from point2act.grasping.hands.task import HandTask, hand_task
from point2act.physics.layout import Table
from point2act.physics.measured_scene import LEVELS, OBJECT, MeasuredConfig, measured_scene, spaced
from point2act.physics.measured_trial import execute_measured
from point2act.physics.scene import Scene, advance

HALF = (0.025, 0.03, 0.05)
BOX = box(HALF, (0, 0, FLOOR + HALF[2]))
REGION = region_at((0.0, 0.0, FLOOR + 0.1), (0.05, 0.05, 0.02))
CONFIG = MeasuredConfig()


def task_of(volume: LocalVolume, region: Region = REGION) -> HandTask:
    found = hand_task(volume, region, load_hand("allegro"))
    assert not isinstance(found, NoAnswer), found
    return found


def built(task: HandTask, config: MeasuredConfig = CONFIG) -> tuple[Scene, np.ndarray]:
    found = measured_scene(task, config)
    assert found is not None
    return found


def spheres(scene: Scene) -> np.ndarray:
    """Centres of the object's spheres in the scene's world."""
    (thing,) = scene.layout.things
    own = np.array([shape.center for part in thing.parts for shape in part.shapes])
    return transform_points(scene.T_world_thing[OBJECT], own)


@given(
    points=arrays(np.float64, st.tuples(st.integers(0, 40), st.just(3)), elements=st.floats(0, 0.05)),
    spacing=st.floats(0.001, 0.03),
)
def test_spaced_points_are_apart_and_near_every_other(points, spacing):
    kept = spaced(points, spacing)
    if len(points):
        distances = cdist(points[kept], points[kept]) + np.eye(int(kept.sum()))
        assert distances.min() > spacing - 1e-9
        assert cdist(points, points[kept]).min(axis=1).max() <= spacing + 1e-9


def test_spheres_touch_the_surface_from_inside_and_stand_on_the_table():
    ball = sphere(0.035, (0, 0, FLOOR + 0.035))
    region = region_at((0, 0, FLOOR + 0.06), (0.04, 0.04, 0.04))
    scene, T_scene_world = built(task_of(volume_of(ball), region))
    depth = -ball((spheres(scene) - T_scene_world[:3, 3]) @ T_scene_world[:3, :3])
    assert np.abs(depth - CONFIG.radius).max() < 0.0003
    lowest = spheres(built(task_of(volume_of(BOX)))[0])[:, 2].min()
    assert lowest == pytest.approx(Table().height + CONFIG.radius, abs=1e-9)


def test_mass_is_that_of_the_hull():
    scene, _ = built(task_of(volume_of(BOX)))
    expected = CONFIG.density * 8 * np.prod(HALF)
    assert scene.layout.things[0].mass == pytest.approx(expected, rel=0.06)
    assert built(task_of(volume_of(BOX)), replace(CONFIG, density=1.0))[0].layout.things[
        0
    ].mass == pytest.approx(CONFIG.min_mass)


def test_parts_are_the_levels_of_probability():
    task = task_of(volume_of(BOX))
    scene, T_scene_world = built(task)
    top = FLOOR + 2 * HALF[2]
    for part in scene.layout.things[0].parts:
        own = np.array([shape.center for shape in part.shapes]) + scene.T_world_thing[OBJECT][:3, 3]
        height = own[:, 2] - T_scene_world[2, 3]
        if int(part.name) == LEVELS - 1:
            assert height.min() > top - 0.03
        if int(part.name) == 0:
            assert height.max() < top - 0.02


def test_the_object_rests_where_it_was_measured():
    scene, _ = built(task_of(volume_of(BOX)))
    data = scene.start(scene.model)
    before = data.body(OBJECT).xpos.copy()
    for _ in range(500):
        advance(scene, scene.model, data)
    assert np.abs(data.body(OBJECT).xpos - before).max() < 0.001


def test_other_things_are_fixed_and_do_not_touch_the_object():
    beside = sphere(0.02, (0.06, 0.0, FLOOR + 0.02))
    scene, T_scene_world = built(task_of(volume_of(BOX, beside)))
    (fixture,) = scene.layout.fixtures
    own = np.array([shape.center for shape in fixture.parts[0].shapes])
    own[:, 2] += Table().height
    assert np.abs(beside((own - T_scene_world[:3, 3]) @ T_scene_world[:3, :3])).max() < 0.012
    assert cdist(own, spheres(scene)).min() > 2 * CONFIG.radius
    assert built(task_of(volume_of(BOX)))[0].layout.fixtures == ()


def test_without_a_table_it_stands_on_its_lowest_point():
    scene, _ = built(task_of(volume_of(BOX, floor=None)))
    assert spheres(scene)[:, 2].min() == pytest.approx(Table().height + CONFIG.radius, abs=0.001)


def test_a_heap_is_not_taken_for_one_object():
    beside = box((0.025, 0.03, 0.05), (0.05, 0.0, FLOOR + 0.05))
    heap = task_of(volume_of(BOX, beside))
    assert measured_scene(heap, replace(CONFIG, max_mass=0.3)) is None
    assert execute_measured(heap, replace(CONFIG, max_mass=0.3)) is None
    assert measured_scene(heap) is not None


# ── executions ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def planned():
    grasps, failure = plan_hand_grasps(volume_of(BOX), REGION, load_hand("allegro"), config=QUICK)
    assert failure is None, failure
    return grasps


def executor(task: HandTask) -> Execute:
    found = execute_measured(task)
    assert found is not None
    return found


def test_a_planned_grasp_holds_and_one_beside_the_object_does_not(planned):
    execute = executor(task_of(volume_of(BOX)))
    outcomes = [execute(grasp) for grasp in planned]
    assert any(outcome.shaken for outcome in outcomes)
    T = planned[0].T_world_gripper.copy()
    T[2, 3] += 0.2
    above = execute(replace(planned[0], T_world_gripper=T))
    assert (above.lifted, above.shaken, above.on_part) == (False, False, None)


def test_the_same_grasp_in_a_turned_world_ends_the_same(planned):
    T = transform(Rotation.from_rotvec([0.4, -0.9, 0.3]).as_matrix(), (0.5, -1.0, 2.0))
    still = volume_of(BOX)
    assert still.table is not None
    turned = replace(
        still,
        T_world_volume=T,
        table=still.table @ np.linalg.inv(T),
        towards_cameras=T[:3, :3] @ still.towards_cameras,
    )
    region = replace(
        REGION,
        action_point=transform_points(T, REGION.action_point[None])[0],
        box=replace(
            REGION.box,
            center=transform_points(T, REGION.box.center[None])[0],
            axes=REGION.box.axes @ T[:3, :3].T,
        ),
    )
    first, second = executor(task_of(still)), executor(task_of(turned, region))
    for grasp in planned[:2]:
        moved = replace(grasp, T_world_gripper=T @ grasp.T_world_gripper)
        one, other = first(grasp), second(moved)
        assert (one.lifted, one.shaken) == (other.lifted, other.shaken)
        assert one.on_part == pytest.approx(other.on_part, abs=0.05)


def test_executions_end_with_the_first_that_is_proven_and_it_becomes_the_best():
    executed: list[Grasp] = []

    def third_time_lucky(grasp: Grasp) -> Execution:
        executed.append(grasp)
        done = len(executed) == 3
        return Execution(lifted=done, shaken=done, on_part=1.0)

    grasps, _ = plan_hand_grasps(
        volume_of(BOX),
        REGION,
        load_hand("allegro"),
        config=replace(QUICK, executions=6),
        executor=lambda task: third_time_lucky,
    )
    assert len(executed) == 3
    assert np.array_equal(grasps[0].T_world_gripper, executed[2].T_world_gripper)
    assert [grasp.score for grasp in grasps] == sorted((grasp.score for grasp in grasps), reverse=True)
    assert sorted(one.terms["lifted_in_physics"] for one in grasps if "lifted_in_physics" in one.terms) == [
        0,
        0,
        1,
    ]


def test_what_touches_a_presumed_surface_is_not_executed():
    whole = volume_of(BOX)
    steps = (np.arange(whole.tsdf.shape[0]) - (whole.tsdf.shape[0] - 1) / 2) * whole.voxel
    x, y, z = steps[:, None, None], steps[None, :, None], steps[None, None, :]
    behind = (x > -0.02) & (x < HALF[0] + 0.01) & (np.abs(y) < HALF[1] + 0.006) & (z < FLOOR + 0.099)
    half = replace(whole, observed=whole.observed & ~behind)
    executed: list[Grasp] = []

    def never(grasp: Grasp) -> Execution:
        executed.append(grasp)
        return Execution(lifted=False, shaken=False, on_part=None)

    grasps, _ = plan_hand_grasps(
        half, REGION, load_hand("allegro"), config=QUICK, executor=lambda task: never
    )
    assert any(not all(grasp.contacts_seen) for grasp in grasps)
    assert all(all(grasp.contacts_seen) for grasp in executed)
    for grasp in grasps:
        assert all(grasp.contacts_seen) or "lifted_in_physics" not in grasp.terms


def test_where_nothing_is_proven_another_batch_follows():
    executed: list[Grasp] = []

    def never(grasp: Grasp) -> Execution:
        executed.append(grasp)
        return Execution(lifted=False, shaken=False, on_part=None)

    config = replace(QUICK, rounds=2, executions=1)
    grasps, _ = plan_hand_grasps(
        volume_of(BOX), REGION, load_hand("allegro"), config=config, executor=lambda task: never
    )
    # One of each batch, then the others that are returned.
    assert len(executed) >= len(grasps) > 2
    assert [one.terms["lifted_in_physics"] for one in grasps] == [0.0] * len(grasps)
    assert max(one.terms["held"] for one in grasps) < 0.5
