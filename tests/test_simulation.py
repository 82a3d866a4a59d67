"""The simulator: true geometry behind every image, errors at their set rates, trials that can fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("mujoco", reason="the simulator needs mujoco")

from benchmarks.common.oracle import oracle_grasps
from point2act.core.config_files import available
from point2act.core.errors import SimulationError
from point2act.core.geometry import back_project, invert, pixel_centers, transform_points
from point2act.core.mujoco_import import mujoco, open_renderer
from point2act.core.types import Grasp, QueryResult, Region, Support
from point2act.data.capture import load_views, read_capture
from point2act.data.points import read_points
from point2act.grasping.grasps_json import write_grasps
from point2act.grasping.grippers import Boxes, Gripper
from point2act.physics.layout import read_layout
from point2act.physics.pictures import look_at, pinhole
from point2act.physics.scene import Scene, load_scene, part_box
from point2act.physics.trial import FILM_RATE, TrialConfig, try_grasp
from point2act.simulation.camera import (
    PoseErrorConfig,
    SimView,
    WristConfig,
    render_views,
    wrist_camera,
    wrist_poses,
)
from point2act.simulation.pointing import CLEAN, HARD, TYPICAL, PointingConfig, answer
from point2act.simulation.record import (
    CaptureConfig,
    capture_scene,
    captured_scene,
    grasp_from_json,
    true_poses,
    try_grasps_file,
)
from point2act.simulation.sensor import SensorConfig, measured_depth

GRIPPER = Gripper(
    name="test",
    max_width=0.08,
    pad_size=(0.018, 0.018),
    finger=Boxes.of(
        ((0.0, 0.007, 0.0), (0.009, 0.007, 0.009)), ((0.0, 0.018, -0.022), (0.010, 0.007, 0.015))
    ),
    body=Boxes.of(((0.0, 0.0, -0.08), (0.03, 0.10, 0.043))),
    max_force=70.0,
)
FAST = TrialConfig(pictures=False)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return load_scene("tabletop", 0)


@pytest.fixture(scope="module")
def drawing(scene: Scene) -> None:
    try:
        open_renderer(scene.model, 8, 8).close()
    except SimulationError as err:
        pytest.skip(str(err))


@pytest.fixture(scope="module")
def shots(scene: Scene, drawing: None) -> tuple[SimView, ...]:
    return render_views(scene, WristConfig(views=8), np.random.default_rng(1))


def grasp_at(T_world_gripper: np.ndarray, width: float) -> Grasp:
    contacts = transform_points(T_world_gripper, np.array([[0, width / 2, 0], [0, -width / 2, 0]]))
    return Grasp(T_world_gripper, width, 1.0, 1.0, 1.0, contacts, 0.0)


def oracle(scene: Scene, query: str) -> Grasp:
    return oracle_grasps(scene, query, GRIPPER, np.random.default_rng(0))[0]


# ── scenes ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", available("scenes"))
def test_objects_of_every_shipped_scene_stay_at_rest(name: str) -> None:
    still = load_scene(name, 3)
    data = still.start(still.model)
    for _ in range(250):
        mujoco.mj_step(still.model, data)
    for thing, T in still.T_world_thing.items():
        assert np.linalg.norm(data.body(thing).xpos - T[:3, 3]) < 0.0003
        assert np.linalg.norm(data.body(thing).xmat.reshape(3, 3) - T[:3, :3]) < 0.01


def test_a_seed_is_one_scene() -> None:
    first, again, other = load_scene("tabletop", 5), load_scene("tabletop", 5), load_scene("tabletop", 6)
    for thing, T in first.T_world_thing.items():
        np.testing.assert_array_equal(T, again.T_world_thing[thing])
        assert np.linalg.norm(T - other.T_world_thing[thing]) > 1e-3


def test_the_handle_of_the_mug_has_an_open_hole(scene: Scene) -> None:
    """A ray through the hole, across the handle, passes; a little farther out it hits the handle."""
    T = scene.T_world_thing["blue_mug"]
    data = scene.start(scene.model)

    def hit(x: float) -> str:
        start, direction = T @ [x, -0.03, 0.048, 1.0], T @ [0.0, 1.0, 0.0, 0.0]
        geom = np.zeros(1, dtype=np.int32)
        length = mujoco.mj_ray(scene.model, data, start[:3], direction[:3], None, 1, -1, geom)
        return scene.model.geom(geom[0]).name if 0 <= length < 0.06 else ""

    assert hit(0.055) == ""
    assert hit(0.068).startswith("blue_mug/handle")


@given(st.sampled_from(["tabletop", "kitchen", "workbench"]), st.integers(0, 10**6))
def test_reach_and_volume_are_those_of_the_solid(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    things = read_layout(name).things
    shapes = [shape for thing in things for part in thing.parts for shape in part.shapes]
    shape = shapes[rng.integers(len(shapes))]
    x, y, z = (local := rng.uniform(-1, 1, (20000, 3)) * shape.half_size).T
    a, b, c = shape.half_size
    round_ = np.hypot(x, y) <= a
    inside = {
        "box": np.ones(len(local), dtype=bool),
        "cylinder": round_,
        "ellipsoid": (x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 <= 1,
        "capsule": x**2 + y**2 + np.clip(np.abs(z) - (c - a), 0, None) ** 2 <= a**2,
    }[shape.kind]
    assert inside.mean() * 8 * a * b * c == pytest.approx(shape.volume, rel=0.05)
    directions = rng.standard_normal((5, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    reached = (local[inside] @ shape.rotation.T @ directions.T).max(axis=0)
    assert np.all(reached <= shape.reach(directions) + 1e-12)
    assert np.all(reached >= 0.85 * shape.reach(directions))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('object = "bottle"', 'object = "bottel"', "asks for 'bottel', but the objects are blue_mug"),
        ('part = "cap"', 'part = "lid"', "'bottle' has body, cap"),
        ('type = "capsule"', 'type = "sphere"', "a shape cannot be a 'sphere'"),
        ("mass = 0.45", "", "key 'mass' is missing"),
        ("mass = 0.45", "weight = 0.45", "object 'hammer' has no 'weight', only position, yaw"),
        (
            'object = "box"',
            'object = "box"\nrole = "hold"',
            "has the role 'hold': use one of grasp, place, avoid",
        ),
        ("position = 0.02", "position = 3.0", "does not stand still"),
        ("position = [0.13, 0.12]", "position = [0.03, -0.10]", "touch in all"),
        ('texture = "label"', 'texture = "marble"', "marble"),
        ("[jitter]", "[jitter", "cannot be read as TOML"),
    ],
)
def test_a_wrong_scene_file_is_explained(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    source = read_layout("tabletop").source
    assert old in source
    path = tmp_path / "own.toml"
    path.write_text(source.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SimulationError, match=complaint):
        load_scene(path, 0)


def test_unknown_names_list_the_known(scene: Scene) -> None:
    with pytest.raises(SimulationError, match="kitchen, shelf, tabletop"):
        load_scene("attic")
    with pytest.raises(SimulationError, match="queries are mug, hammer"):
        part_box(scene, "teapot")


@pytest.mark.parametrize(
    ("setting", "before", "says"),
    [
        (
            {"MUJOCO_GL": "egl"},
            "import sys; sys.modules['mujoco'] = None",
            'pip install "point2act\\[sim\\]"',
        ),
        ({"MUJOCO_GL": "nonsense"}, "", "libosmesa6"),
    ],
)
def test_a_machine_without_mujoco_or_graphics_is_reported(
    setting: dict[str, str], before: str, says: str
) -> None:
    code = (
        f"{before}\ntry: import point2act.simulation\nexcept Exception as err: print(type(err).__name__, err)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | setting, capture_output=True, text=True
    )
    assert run.stdout.startswith("SimulationError")
    assert says.replace("\\", "") in run.stdout


# ── camera ─────────────────────────────────────────────────────────────────────────────────────
def test_depth_of_the_table_is_a_plane_in_the_world(scene: Scene, shots: tuple[SimView, ...]) -> None:
    for shot in shots:
        pixels = pixel_centers(*shot.true_depth.shape).reshape(-1, 2)
        depth = shot.true_depth.reshape(-1).astype(float)
        height = back_project(shot.view.camera, shot.view.T_world_cam, pixels, depth)[:, 2]
        near = (shot.part_ids.reshape(-1) < 0) & (np.abs(height - scene.layout.table.height) < 0.005)
        assert near.sum() > 10000
        assert np.abs(height[near] - scene.layout.table.height).max() < 1e-5


def test_every_pixel_of_a_part_lies_in_its_true_box(scene: Scene, shots: tuple[SimView, ...]) -> None:
    """One law over segmentation, depth, poses and boxes: a slip in any of them breaks it."""
    seen = 0
    for query in scene.queries:
        box = part_box(scene, query.name)
        for shot in shots:
            rows, columns = np.nonzero(np.isin(shot.part_ids, scene.target_parts(query.name)))
            pixels = np.stack([columns, rows], axis=1) + 0.5
            depth = shot.true_depth[rows, columns].astype(float)
            points = back_project(shot.view.camera, shot.view.T_world_cam, pixels, depth)
            local = np.abs((points - box.center) @ box.axes.T)
            # Where the image is resolved from several samples, a pixel's depth may be its neighbour's.
            assert (
                np.mean(np.all(local <= box.half_extents + 0.0005, axis=1)) > 0.97 if len(rows) > 50 else True
            )
            seen += len(rows)
    assert seen > 10000


def test_poses_look_at_the_table_from_where_an_arm_could_hold_a_camera(scene: Scene) -> None:
    config = WristConfig()
    poses = wrist_poses(0.4, config, np.random.default_rng(0))
    assert len(poses) == config.views
    for T in poses:
        np.testing.assert_allclose(T @ invert(T), np.eye(4), atol=1e-12)
        assert np.linalg.det(T[:3, :3]) == pytest.approx(1.0)
        eye, z = T[:3, 3], T[:3, 2]
        landing = eye + z * (0.43 - eye[2]) / z[2]
        assert np.linalg.norm(landing[:2]) <= config.aim * np.sqrt(2) + 1e-9
        assert config.distance[0] - 1e-9 <= np.linalg.norm(landing - eye) <= config.distance[1] + 1e-9


def test_looking_at_a_point_puts_it_in_the_middle() -> None:
    target = np.array([0.1, -0.2, 0.3])
    T = look_at(np.array([1.0, 0.5, 0.9]), target)
    assert transform_points(invert(T), target[None])[0][:2] == pytest.approx([0.0, 0.0])
    assert T[2, 1] < 0, "the image's y points down"


# ── sensor ─────────────────────────────────────────────────────────────────────────────────────
QUIET = SensorConfig(
    depth_sigma=0.0, edge_dropout=0.0, grazing=0.0, thin_dropout=0.0, blob_share=0.0, farthest=10.0
)


@pytest.mark.parametrize("depth", [0.3, 0.5, 1.0])
def test_depth_noise_grows_with_the_square_of_the_depth(depth: float) -> None:
    wall = np.full((240, 320), depth, dtype=np.float32)
    nothing = np.full(wall.shape, -1)
    config = replace(QUIET, depth_sigma=0.002)
    noisy = measured_depth(wall, nothing, pinhole((240, 320), 300.0), config, np.random.default_rng(0))
    expected = np.hypot(0.002 * (depth / 0.5) ** 2, 0.001 / np.sqrt(12))  # with rounding to 1 mm
    assert np.std(noisy - wall) == pytest.approx(expected, rel=0.05)
    assert np.abs(noisy * 1000 - np.round(noisy * 1000)).max() < 1e-3


def test_a_sensor_without_faults_only_rounds(shots: tuple[SimView, ...]) -> None:
    shot = shots[0]
    depth = measured_depth(shot.true_depth, shot.part_ids, shot.view.camera, QUIET, np.random.default_rng(0))
    near = shot.true_depth < 9
    assert np.abs(depth - shot.true_depth)[near].max() <= 0.00051


def test_thin_parts_and_edges_lose_their_share(scene: Scene, shots: tuple[SimView, ...]) -> None:
    shaft = scene.parts.index(("screwdriver", "shaft"))
    config = replace(QUIET, thin_dropout=0.2)
    lost = []
    for shot in shots:
        depth = measured_depth(
            shot.true_depth, shot.part_ids, shot.view.camera, config, np.random.default_rng(2)
        )
        assert not np.any(depth[shot.part_ids < 0] == 0)
        lost.append(depth[shot.part_ids == shaft] == 0)
    assert np.mean(np.concatenate(lost)) == pytest.approx(0.2, abs=0.05)
    for shot in shots:
        depth = shot.view.depth
        assert depth is not None
        assert 0.02 < np.mean(depth[shot.true_depth < 1.5] == 0) < 0.2


# ── pointing ───────────────────────────────────────────────────────────────────────────────────
def rates(scene: Scene, shots: tuple[SimView, ...], config: PointingConfig) -> dict[str, float]:
    """Shares that really occurred, over many draws without jitter."""
    answers: list[tuple[bool, bool, str]] = []
    for seed in range(10):
        points = answer(scene, shots, replace(config, jitter=0.0), np.random.default_rng(seed))
        by_name = {shot.view.name: shot.part_ids for shot in shots}
        for reply in points.answers:
            ids, target = by_name[reply.image], scene.target_parts(reply.query)
            seen = np.isin(ids, target).sum() >= config.min_pixels
            kind = "none"
            if reply.visible:
                x, y = np.round(reply.points[0] - 0.5).astype(int)
                hit = ids[y, x]
                same = scene.parts[hit][0] == scene.parts[target[0]][0]
                kind = "right" if hit in target else "same" if same else "other"
            several = any(
                t[0] == scene.parts[target[0]][0] for i, t in enumerate(scene.parts) if i not in target
            )
            answers.append((bool(seen), several, kind))
    seen = [s for s in answers if s[0]]
    unseen = [s for s in answers if not s[0]]
    spoken = [s for s in seen if s[2] != "none"]
    wrong = [s for s in spoken if s[2] != "right" and s[1]]
    return {
        "missed": 1 - len(spoken) / len(seen),
        "wrong": np.mean([s[2] != "right" for s in spoken]),
        "same": np.mean([s[2] == "same" for s in wrong]) if wrong else 0.0,
        "hallucinated": np.mean([s[2] != "none" for s in unseen]) if unseen else np.nan,
    }


def test_errors_come_at_their_set_rates(scene: Scene, shots: tuple[SimView, ...]) -> None:
    typical = rates(scene, shots, TYPICAL)
    assert typical["missed"] == pytest.approx(TYPICAL.missed, abs=0.04)
    assert typical["wrong"] == pytest.approx(TYPICAL.wrong, abs=0.05)
    assert typical["same"] == pytest.approx(TYPICAL.other_part, abs=0.15)
    assert typical["hallucinated"] == pytest.approx(TYPICAL.hallucinated, abs=0.1)
    hard = rates(scene, shots, HARD)
    assert hard["wrong"] == pytest.approx(HARD.wrong, abs=0.05)
    clean = rates(scene, shots, CLEAN)
    assert clean["missed"] == clean["wrong"] == clean["hallucinated"] == 0.0


def test_hard_answers_agree_on_one_wrong_place(scene: Scene, shots: tuple[SimView, ...]) -> None:
    """For the mug's handle that is the other mug's handle: far more often than any other wrong part."""
    rival = scene.parts.index(("red_mug", "handle"))
    facing = tuple(shot for shot in shots if np.count_nonzero(shot.part_ids == rival) >= HARD.min_pixels)
    by_name = {shot.view.name: shot.part_ids for shot in facing}
    wrong: list[int] = []
    for seed in range(20):
        for reply in answer(scene, facing, replace(HARD, jitter=0.0), np.random.default_rng(seed)).answers:
            if reply.query == "mug" and reply.visible:
                x, y = np.round(reply.points[0] - 0.5).astype(int)
                part = int(by_name[reply.image][y, x])
                wrong += [part] if part not in scene.target_parts("mug") else []
    assert len(wrong) > 30
    assert np.mean([part == rival for part in wrong]) == pytest.approx(HARD.distractor, abs=0.12)


def test_points_stay_inside_the_image_and_repeat_with_the_seed(
    scene: Scene, shots: tuple[SimView, ...]
) -> None:
    wild = replace(TYPICAL, jitter=100.0)
    first, again = (answer(scene, shots, wild, np.random.default_rng(4)) for _ in range(2))
    assert len(first.answers) == len(scene.queries) * len(shots)
    for reply, same in zip(first.answers, again.answers, strict=True):
        np.testing.assert_array_equal(reply.points, same.points)
        assert reply.visible == (len(reply.points) == 1)
        assert np.all((reply.points > 0) & (reply.points < [320, 240]))
        assert reply.model == "simulated/typical"


# ── captures ───────────────────────────────────────────────────────────────────────────────────
def test_a_capture_reads_back_and_replays(scene: Scene, drawing: None, tmp_path: Path) -> None:
    config = CaptureConfig(wrist=WristConfig(views=2))
    for name in ("one", "two"):
        capture_scene(scene, tmp_path / name, config, np.random.default_rng(7))
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert len(files) == 2 * 2 + 4
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file

    capture = read_capture(tmp_path / "one")
    points = read_points(tmp_path / "one" / "points.json", capture)
    assert [query.name for query in points.queries] == ["mug", "hammer", "bottle", "screwdriver", "box"]
    assert capture.metric
    np.testing.assert_allclose(capture.T_base_world, scene.T_base_world)
    expected = render_views(scene, config.wrist, np.random.default_rng(7))
    for view, shot in zip(load_views(capture), expected, strict=True):
        np.testing.assert_array_equal(view.rgb, shot.view.rgb)
        np.testing.assert_allclose(view.depth, shot.view.depth, atol=1e-6)
        np.testing.assert_allclose(view.T_world_cam, shot.view.T_world_cam, atol=1e-9)

    replay = captured_scene(tmp_path / "one")
    assert (replay.name, replay.seed) == ("tabletop", 0)
    for query in scene.queries:
        was, now = part_box(scene, query.name), part_box(replay, query.name)
        np.testing.assert_allclose(now.center, was.center, atol=1e-9)
        np.testing.assert_allclose(now.half_extents, was.half_extents, atol=1e-12)


def test_a_capture_with_errors_knows_its_true_poses(scene: Scene, drawing: None, tmp_path: Path) -> None:
    error = PoseErrorConfig(hand_eye=0.01, drift=0.02)
    wrist = WristConfig(views=3, size=(60, 80), focal=75.0, depth_sensor="tof", pose_error=error)
    capture_scene(scene, tmp_path, CaptureConfig(wrist=wrist), np.random.default_rng(7))
    recorded = {frame.name: frame.T_world_cam for frame in read_capture(tmp_path).frames}
    truth = true_poses(tmp_path)
    assert truth.keys() == recorded.keys()
    away = [np.linalg.norm(truth[name][:3, 3] - T[:3, 3]) for name, T in sorted(recorded.items())]
    assert away[0] == pytest.approx(0.01, abs=1e-6)
    assert all(0.001 < distance <= 0.03 + 1e-6 for distance in away)
    document = json.loads((tmp_path / "scene.json").read_text())
    assert document["depth_sensor"] == "tof"
    assert document["pose_error"] == {"hand_eye": 0.01, "drift": 0.02}
    del document["T_world_cam"]
    (tmp_path / "scene.json").write_text(json.dumps(document))
    with pytest.raises(SimulationError, match="capture the scene again"):
        true_poses(tmp_path)


def test_an_unknown_sensor_lists_the_known() -> None:
    assert wrist_camera("ideal", WristConfig(views=5)) == WristConfig(views=5)
    assert wrist_camera("stereo", WristConfig(views=5)).views == 5
    with pytest.raises(SimulationError, match="ideal, stereo, structured_light, tof"):
        wrist_camera("lidar")


def test_a_capture_of_something_else_cannot_be_replayed(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match=r"scene\.json"):
        captured_scene(tmp_path)


# ── trials ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("query", ["mug", "hammer", "bottle"])
def test_grasps_from_the_true_shapes_lift_by_the_part(scene: Scene, query: str) -> None:
    trial = try_grasp(scene, query, oracle(scene, query), GRIPPER, FAST)
    assert (trial.outcome, trial.success, trial.by_part) == ("success", True, True)
    assert trial.lifted == scene.target(query).thing
    assert trial.rise > 0.08


def test_random_poses_mostly_fail(scene: Scene) -> None:
    rng = np.random.default_rng(0)
    lifted = 0
    for _ in range(8):
        query = scene.queries[rng.integers(len(scene.queries))].name
        T = np.eye(4)
        T[:3, :3] = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        T[:3, 2] *= np.linalg.det(T[:3, :3])
        box = part_box(scene, query)
        T[:3, 3] = box.center + (rng.uniform(-1, 1, 3) * box.half_extents) @ box.axes
        lifted += try_grasp(scene, query, grasp_at(T, 0.05), GRIPPER, FAST).success
    assert lifted <= 2


def test_the_gripper_opens_to_what_was_checked_and_no_further(scene: Scene) -> None:
    good = oracle(scene, "hammer")
    for opening, outcome in (
        (good.width + 2 * FAST.clearance, "success"),
        (good.width - 0.004, "collision"),
        (0.5, "success"),  # limited by the gripper
    ):
        held = replace(good, approach_width=opening)
        assert try_grasp(scene, "hammer", held, GRIPPER, FAST).outcome == outcome
    # The clearance of the trial is for grasps without a checked opening.
    assert try_grasp(scene, "hammer", good, GRIPPER, replace(FAST, clearance=-0.002)).outcome == "collision"
    narrow = replace(FAST, clearance=-0.002)
    held = replace(good, approach_width=good.width + 0.012)
    assert try_grasp(scene, "hammer", held, GRIPPER, narrow).outcome == "success"


def test_the_opening_is_read_from_files_and_missing_in_old_ones() -> None:
    entry = {
        "T_world_gripper": np.eye(4).tolist(),
        "width": 0.03,
        "approach_width": 0.042,
        "score": 0.9,
        "relevancy": 0.9,
        "quality": 0.9,
        "contacts": np.zeros((2, 3)).tolist(),
        "approach_clearance": 0.01,
    }
    assert grasp_from_json(entry).approach_width == 0.042
    del entry["approach_width"]
    assert grasp_from_json(entry).approach_width is None


def test_failures_have_their_names(scene: Scene) -> None:
    good = oracle(scene, "hammer")
    high, low = good.T_world_gripper.copy(), good.T_world_gripper.copy()
    high[2, 3] += 0.06
    low[2, 3] -= 0.02
    assert try_grasp(scene, "hammer", grasp_at(high, good.width), GRIPPER, FAST).outcome == "missed"
    assert try_grasp(scene, "hammer", grasp_at(low, good.width), GRIPPER, FAST).outcome == "collision"
    other = try_grasp(scene, "mug", good, GRIPPER, FAST)
    assert (other.outcome, other.lifted, other.by_part) == ("wrong_object", "hammer", False)
    feeble = try_grasp(scene, "hammer", good, GRIPPER, replace(FAST, force=0.5))
    assert feeble.outcome == "slip"


def test_the_friction_of_the_object_decides(tmp_path: Path) -> None:
    """MuJoCo takes the larger of two friction values; a slippery object must slip all the same."""
    path = tmp_path / "slippery.toml"
    path.write_text(
        read_layout("tabletop").source.replace("friction = 0.7", "friction = 0.03"), encoding="utf-8"
    )
    slippery = load_scene(path, 0)
    assert try_grasp(slippery, "mug", oracle(slippery, "mug"), GRIPPER, FAST).outcome == "slip"


def test_a_file_of_grasps_is_tried_against_its_capture(scene: Scene, drawing: None, tmp_path: Path) -> None:
    config = CaptureConfig(wrist=WristConfig(views=1))
    capture_scene(scene, tmp_path / "capture", config, np.random.default_rng(0))
    target = part_box(scene, "box")
    region = Region(target.center, 1.0, Support(1, 0, 0), target)
    results = [
        QueryResult(scene.queries[4], region, (oracle(scene, "box"),)),
        QueryResult(scene.queries[0], None, (), reason="no_points", detail="nothing"),
        QueryResult(replace(scene.queries[1], role="avoid"), None, (), reason="no_points", detail="nothing"),
    ]
    path = tmp_path / "grasps.json"
    write_grasps(path, results, capture=read_capture(tmp_path / "capture"), gripper=GRIPPER)
    box, mug = try_grasps_file(tmp_path / "capture", path, GRIPPER)
    assert (box.query, box.outcome, box.lifted) == ("box", "success", "box")
    assert box.moments == ("before", "at the grasp", "closed", "lifted", "shaken", "held")
    assert all(picture.shape == (360, 480, 3) and picture.std() > 20 for picture in box.pictures)
    assert np.abs(box.pictures[0].astype(float) - box.pictures[3]).mean() > 3
    # 1.5 s of approach, 0.8 of closing, 1.5 of lift, 1 of shaking, 1 of holding.
    assert len(box.film) == pytest.approx(5.8 * FILM_RATE, abs=1)
    assert all(picture.shape == (216, 288, 3) and picture.std() > 20 for picture in box.film)
    assert (mug.query, mug.outcome, mug.success) == ("mug", "no_grasp", False)


@pytest.mark.usefixtures("drawing")
def test_torch_can_be_used_after_the_simulator_has_drawn(tmp_path: Path) -> None:
    """Mesa's LLVM and triton's in one process: a crash when they meet in the wrong order."""
    code = f"""
import numpy as np
from point2act.simulation import CaptureConfig, WristConfig, capture_scene, load_scene
config = CaptureConfig(wrist=WristConfig(views=1))
capture_scene(load_scene("tabletop", 0), {str(tmp_path)!r}, config, np.random.default_rng(0))
import torch
torch.optim.Adam([torch.zeros(3, requires_grad=True)])
print("alive")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "alive", run.stderr[-500:]
