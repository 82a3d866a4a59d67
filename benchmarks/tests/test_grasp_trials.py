"""The grasp trials: tables follow their rules, cases repeat, outcomes have names, bad planners fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the simulator needs mujoco")

from benchmarks.common import tables as scenes
from benchmarks.common.piles import PileConfig, drop, neighbours, put_apart
from benchmarks.grasps import cases
from benchmarks.grasps import suite as grasps
from benchmarks.grasps.baselines import random, straight_down
from benchmarks.grasps.cases import CONDITIONS, EASY, SEEDS, Case, case, case_path, for_trial
from benchmarks.grasps.catalogue import SHAPES, catalogue, held_at_one_end, named
from benchmarks.grasps.clouds import hits, lowest, measured, open_gripper, table_height
from benchmarks.grasps.records import Record, summarise, table, verdict, wilson
from benchmarks.grasps.tables import QUERY, Setting, draw, rebuilt, table_rng
from benchmarks.grasps.trials import Task, executed, run_task, tasks
from point2act.core.errors import SimulationError
from point2act.core.geometry import invert, transform_points
from point2act.core.mujoco_import import mujoco
from point2act.core.types import Query
from point2act.grasping.grippers import load_gripper
from point2act.physics.layout import Jitter, QueryTarget, SceneLayout, Shape, Table, read_layout
from point2act.simulation import Scene, Trial, TrialConfig, load_scene, try_grasp
from point2act.simulation.true_region import nearest_in

PANDA = load_gripper("panda")
SMALL = Setting("small", count=(2, 2))
"""Quick to draw and to execute."""


def layout_of(*kinds: str) -> SceneLayout:
    things = tuple(named(kind).thing for kind in kinds)
    target = QueryTarget(Query(QUERY, "it"), things[0].name, "")
    return SceneLayout("test", "", Table(size=(1.2, 1.1)), Jitter(), things, (target,))


PILED = (
    "shapes-padlock",
    "toolbox-hammer",
    "shapes-trowel",
    "tabletop-box",
    "shapes-hair_brush",
    "cleaning-sponge",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the cases of these tests in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(scenes.CACHE, str(tmp_path_factory.mktemp("cases")))
        scenes.folder.cache_clear()
        yield scenes.folder()
    scenes.folder.cache_clear()


@pytest.fixture(scope="module")
def known(cache: Path) -> Case:
    """Two objects on a table, captured."""
    try:
        return case(SMALL, 0)
    except SimulationError as err:
        if "OpenGL" in str(err) or "MUJOCO_GL" in str(err):
            pytest.skip(str(err))
        raise


# ── the catalogue ────────────────────────────────────────────────────────────────────────────────
def test_there_are_enough_own_shapes_and_every_one_stands() -> None:
    layout = read_layout(SHAPES)
    assert len(layout.things) >= 12
    for seed in range(3):
        scene = load_scene(SHAPES, seed)  # raises if one does not settle
        upright = [T[2, 2] for T in scene.T_world_thing.values()]
        assert min(upright) > 0.9  # cos 25 degrees: a spatula leans, nothing falls over


def test_own_shapes_are_real_things() -> None:
    for thing in read_layout(SHAPES).things:
        assert 0.02 <= thing.mass <= 1.0
        assert 0.5 <= thing.friction <= 0.8


def test_all_asked_for_exists_once() -> None:
    names = [kind.name for kind in catalogue()]
    assert len(set(names)) == len(names)
    shapes = [id(kind.thing.parts[0].shapes) for kind in catalogue()]
    assert len(set(shapes)) == len(shapes)
    for kind in catalogue():
        assert {part for part, _ in kind.asked} <= {"", *(part.name for part in kind.thing.parts)}
    assert not named("workbench-clamp").asked
    assert {part for part, _ in named("shapes-wine_glass").asked} == {"stem", "bowl"}


@pytest.mark.parametrize(
    ("kind", "part", "at_end"),
    [
        ("shapes-ruler", "red_end", True),
        ("shapes-frying_pan", "handle", True),
        ("shapes-wine_bottle", "neck", False),  # over the centre of mass
        ("shapes-padlock", "shackle", False),  # short
        ("shapes-banana", "middle", False),
    ],
)
def test_long_objects_held_at_one_end(kind: str, part: str, at_end: bool) -> None:
    assert held_at_one_end(named(kind), part) == at_end


# ── drawn tables ─────────────────────────────────────────────────────────────────────────────────
def samples(scene: Scene, name: str, rng: np.random.Generator) -> np.ndarray:
    """Return world points inside the solids of an object."""
    thing = next(thing for thing in scene.layout.things if thing.name == name)
    shapes = [shape for part in thing.parts for shape in part.shapes]
    local = [
        nearest_in(shape, shape.center + point) for shape in shapes for point in rng.uniform(-1, 1, (60, 3))
    ]
    return transform_points(scene.T_world_thing[name], np.array(local))


@pytest.mark.parametrize("seed", range(3))
def test_objects_put_apart_are_apart_from_above(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = put_apart(layout_of(*PILED[:4]), seed, rng)
    clouds = {thing.name: samples(scene, thing.name, rng)[:, :2] for thing in scene.layout.things}
    for name, points in clouds.items():
        others = np.concatenate([cloud for other, cloud in clouds.items() if other != name])
        away = np.linalg.norm(points[:, None] - others[None], axis=2).min()
        assert away > PileConfig().gap - 0.002  # settling moves them a little
        assert not neighbours(scene, name, 0.9 * PileConfig().gap)


def test_a_table_too_small_for_its_objects_is_refused() -> None:
    with pytest.raises(SimulationError, match="cannot be placed"):
        put_apart(layout_of(*PILED), 0, np.random.default_rng(0), PileConfig(radius=0.03))


@pytest.mark.parametrize("seed", [0, 1])
def test_dropped_objects_rest_on_one_another(seed: int) -> None:
    try:
        scene = drop(layout_of(*PILED), seed, np.random.default_rng(seed))
    except SimulationError as err:
        pytest.fail(str(err))
    names = [thing.name for thing in scene.layout.things]
    assert len(names) >= 4
    assert any(neighbours(scene, name, 0.003) for name in names)
    data = scene.start(scene.model)
    for _ in range(500):
        mujoco.mj_step(scene.model, data)
    for name in names:
        assert np.linalg.norm(data.body(name).xpos - scene.T_world_thing[name][:3, 3]) < 0.005
        assert np.hypot(*scene.T_world_thing[name][:2, 3]) <= PileConfig().reach + 0.005


def test_neighbours_are_those_within_the_distance() -> None:
    scene = put_apart(layout_of("shapes-padlock", "tabletop-box"), 0, np.random.default_rng(5))
    name, other = (thing.name for thing in scene.layout.things)
    assert neighbours(scene, name, 1.0) == {other}
    assert neighbours(scene, other, 0.005) == set()


def test_the_target_of_a_heap_touches_something() -> None:
    setting = replace(CONDITIONS["clutter"].setting, count=(6, 7))
    drawn = draw(setting, 1, table_rng(setting, 1))
    assert len(drawn.scene.layout.things) >= 6
    assert neighbours(drawn.scene, drawn.scene.target(QUERY).thing, 0.004)


def test_a_table_is_rebuilt_from_its_document() -> None:
    drawn = draw(SMALL, 3, table_rng(SMALL, 3))
    again = rebuilt(json.loads(json.dumps(drawn.document)), SMALL, 3)
    assert again.T_world_thing.keys() == drawn.scene.T_world_thing.keys()
    for name, T in again.T_world_thing.items():
        np.testing.assert_array_equal(T, drawn.scene.T_world_thing[name])
    np.testing.assert_array_equal(again.model.geom_size, drawn.scene.model.geom_size)
    np.testing.assert_array_equal(again.model.body_mass, drawn.scene.model.body_mass)


def test_heavy_tables_weigh_twice() -> None:
    kind = named("shapes-ruler")
    document = {
        "things": [{"kind": kind.name, "scale": 1.0, "T_world_thing": np.eye(4).tolist()}],
        "target": {"kind": kind.name, "part": "red_end", "text": "the red end"},
    }
    masses = [
        rebuilt(document, setting, 0).model.body(kind.name).mass[0]
        for setting in (EASY, CONDITIONS["heavy"].setting)
    ]
    assert masses[1] == pytest.approx(2 * masses[0])


# ── cases ────────────────────────────────────────────────────────────────────────────────────────
def test_a_case_is_the_same_every_time(known: Case, tmp_path: Path) -> None:
    cases._make(SMALL, 0, tmp_path / "again.npz")
    with np.load(case_path(SMALL, 0)) as first, np.load(tmp_path / "again.npz") as second:
        assert first.files == second.files
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name])
    opened = case(SMALL, 0)
    np.testing.assert_array_equal(opened.oracle.T_world_gripper, known.oracle.T_world_gripper)
    np.testing.assert_array_equal(opened.depths[3], known.depths[3])


def test_the_action_point_lies_in_the_part(known: Case) -> None:
    box, point = known.region.box, known.region.action_point
    assert (np.abs(box.axes @ (point - box.center)) <= box.half_extents + 1e-9).all()


def test_the_measured_depth_shows_the_part(known: Case) -> None:
    points, normals = measured(known, 0.15)
    box = known.region.box
    assert (np.abs((points - box.center) @ box.axes.T) < box.half_extents + 0.002).all(axis=1).sum() > 50
    assert table_height(points) == pytest.approx(known.scene.layout.table.height, abs=0.002)
    flat = abs(points[:, 2] - known.scene.layout.table.height) < 0.001
    assert np.median(normals[flat, 2]) > 0.95


def test_nearest_point_of_a_solid() -> None:
    rng = np.random.default_rng(0)
    half = np.array([0.02, 0.02, 0.05])
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    for kind in ("box", "cylinder", "capsule", "ellipsoid"):
        shape = Shape(kind, half, np.array([0.1, 0.0, 0.2]), turn * np.sign(np.linalg.det(turn)))
        within = [nearest_in(shape, shape.center + p) for p in rng.uniform(-0.1, 0.1, (400, 3))]
        for goal in shape.center + rng.uniform(-0.08, 0.08, (20, 3)):
            found = nearest_in(shape, goal)
            np.testing.assert_allclose(nearest_in(shape, found), found, atol=1e-9)  # it is in the solid
            if kind != "ellipsoid":
                best = np.linalg.norm(np.array(within) - goal, axis=1).min()
                assert np.linalg.norm(found - goal) <= best + 1e-9


# ── trials ───────────────────────────────────────────────────────────────────────────────────────
def test_the_gripper_is_exactly_so_far_off() -> None:
    T = np.eye(4)
    T[:3, 3] = 0.1, 0.2, 0.5
    moved = [executed(T, seed) for seed in range(20)]
    np.testing.assert_allclose([np.linalg.norm((M - T)[:3, 3]) for M in moved], 0.003)
    cosines = [(np.trace(M[:3, :3]) - 1) / 2 for M in moved]
    np.testing.assert_allclose(np.rad2deg(np.arccos(cosines)), 3.0, atol=1e-6)
    np.testing.assert_array_equal(executed(T, 4), moved[4])
    assert np.linalg.norm(np.mean([M[:3, 3] for M in moved], axis=0) - T[:3, 3]) < 0.002


def test_slippery_is_slippery_and_nothing_else(known: Case) -> None:
    assert for_trial(known, CONDITIONS["easy"]) is known.scene
    slippery = for_trial(known, CONDITIONS["slippery"])
    on_objects = slippery.model.geom_bodyid > 1
    assert set(slippery.model.geom_friction[on_objects, 0]) == {0.3}
    np.testing.assert_array_equal(slippery.model.geom_size, known.scene.model.geom_size)


def test_the_oracle_holds_and_chance_does_not(known: Case) -> None:
    config = TrialConfig(pictures=False)
    assert try_grasp(known.scene, QUERY, known.oracle, PANDA, config).by_part
    drawn = [random(known, PANDA, np.random.default_rng(seed))[0][0] for seed in range(6)]
    lifted = [try_grasp(known.scene, QUERY, grasp, PANDA, config).success for grasp in drawn]
    assert sum(lifted) <= 2


def test_straight_down_comes_from_above_and_stays_over_the_table(known: Case) -> None:
    (grasp,), _ = straight_down(known, PANDA, np.random.default_rng(0))
    np.testing.assert_allclose(grasp.T_world_gripper[:3, 2], [0, 0, -1], atol=1e-12)
    away = grasp.T_world_gripper[:2, 3] - known.region.action_point[:2]
    assert np.linalg.norm(away) < PANDA.max_width / 2
    assert lowest(grasp.T_world_gripper, open_gripper(PANDA, grasp.width)) > known.scene.layout.table.height


def test_points_that_a_gripper_hits() -> None:
    rng = np.random.default_rng(0)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = np.diag([1.0, -1.0, -1.0]), [0.1, 0.0, 0.5]
    points = rng.uniform([0.0, -0.15, 0.45], [0.2, 0.15, 0.75], (4000, 3))
    boxes = open_gripper(PANDA, 0.05)
    met = hits(points, T, boxes)
    for point, found in zip(transform_points(invert(T), points[:150]), met[:150], strict=True):
        # Independent and slow: the open gripper at fifty positions along its approach.
        way = point + np.linspace(0, 0.1, 51)[:, None] * [0.0, 0.0, 1.0]
        expected = any((abs(way - center) < half).all(axis=1).any() for center, half in boxes)
        assert found == expected
    assert lowest(T, boxes) == pytest.approx(0.5 - 0.0089)
    assert hits(points, T, boxes, margin=0.01).sum() > met.sum()
    assert boxes.low[0, 1] - boxes.high[4, 1] == pytest.approx(0.05 + 0.012)


def test_tasks_share_the_cases_of_a_setting() -> None:
    todo = tasks(["easy", "clutter", "slippery"], [5, 6], ["oracle"])
    assert [(task.conditions, task.seed) for task in todo] == [
        (("easy", "slippery"), 5),
        (("clutter",), 5),
        (("easy", "slippery"), 6),
        (("clutter",), 6),
    ]


def test_a_task_gives_a_record_for_every_row_and_head(known: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    conditions = {
        "plain": replace(CONDITIONS["easy"], setting=SMALL),
        "slippery": replace(CONDITIONS["slippery"], setting=SMALL),
    }
    monkeypatch.setattr("benchmarks.grasps.trials.CONDITIONS", conditions)
    found = run_task(Task(("plain", "slippery"), 0, ("oracle", "random")))
    assert [(record.condition, record.planner) for record in found] == [
        ("easy", "oracle"),
        ("easy", "random"),
        ("slippery", "oracle"),
        ("slippery", "random"),
    ]
    assert found[0].outcome == "success"
    assert {record.object for record in found} == {known.target.thing}


# ── measures ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    # Worked out with the formula of Wilson 1927 at z = 1.96; 0 of 10 is also in Brown, Cai and DasGupta 2001.
    [
        (0, 10, 0.0, 0.2775),
        (8, 10, 0.4902, 0.9433),
        (50, 100, 0.4038, 0.5962),
        (60, 60, 0.9398, 1.0),
        (0, 0, 0, 1),
    ],
)
def test_wilson_interval(successes: int, count: int, low: float, high: float) -> None:
    assert wilson(successes, count) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("success", "outcome", "by_part", "aimed", "name"),
    [
        (True, "success", True, True, "success"),
        (True, "success", False, True, "localisation"),
        (False, "wrong_object", False, True, "localisation"),
        (False, "collision", False, True, "collision"),
        (False, "missed", False, True, "geometry"),
        (False, "missed", False, False, "localisation"),
        (False, "slip", False, True, "slip"),
        (False, "no_grasp", False, True, "not_found"),
    ],
)
def test_outcomes_have_the_names_of_the_field(success, outcome, by_part, aimed, name) -> None:
    trial = Trial("target", success, outcome, by_part, "", 0.0, ())
    assert verdict(trial, aimed=aimed) == name


def records() -> list[Record]:
    good = Record("easy", 0, "ours", "success", True, True, "mug", "handle", 3, 0.5, "")
    other = replace(good, seed=1, outcome="localisation", by_part=False)
    none = replace(good, seed=2, outcome="not_found", lifted=False, by_part=False, n_grasps=0, seconds=1.5)
    return [good, other, none, replace(none, seed=3, outcome="slip")]


def test_shares_add_up() -> None:
    summary = summarise(records())
    assert summary.count == 4
    assert (summary.lifted, summary.by_part) == (0.5, 0.25)
    assert sum(summary.shares.values()) == pytest.approx(1)
    assert summary.between == wilson(2, 4)
    assert summary.seconds[0] == pytest.approx(1.0)


def test_the_table_has_a_line_for_each_row_and_head() -> None:
    lines = table([*records(), replace(records()[0], condition="clutter")]).splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["condition", "planner", "n"],
        ["easy", "ours", "4"],
        ["clutter", "ours", "1"],
    ]
    assert len({len(line) for line in lines}) == 1


def test_seeds_of_different_uses_never_meet() -> None:
    used = [set(range(first, first + grasps.COUNT)) for first in SEEDS.values()]
    assert len(set.union(*used)) == sum(map(len, used))


def test_records_are_on_disk_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "records.json"

    def interrupted(task: Task) -> list[Record]:
        if task.seed == SEEDS["tune"] + 1:
            raise KeyboardInterrupt
        return records()[:1]

    monkeypatch.setattr(grasps, "run_task", interrupted)
    arguments = ["--conditions", "easy", "--planners", "ours", "--count", "2", "--json", str(path)]
    with pytest.raises(KeyboardInterrupt):
        grasps.main(arguments)
    (written,) = json.loads(path.read_text())
    assert (written["condition"], written["seed"], written["outcome"], written["seconds"]) == (
        "easy",
        0,
        "success",
        0.5,
    )
