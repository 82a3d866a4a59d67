"""Grasps of a hand on solids with known answers, their checks, reasons, files and drawings."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import synthetic
from analytic_volumes import FLOOR, box, cylinder, region_at, sphere, volume_of
from jsonschema import Draft202012Validator
from quick_hands import QUICK

from point2act.cli.main import main as cli
from point2act.core.errors import ArmError, GripperError, ResultsError
from point2act.core.geometry import project
from point2act.core.types import Camera, Capture, Grasp, NoAnswer, Query, QueryResult
from point2act.grasping.end_effector import (
    finger_boxes,
    load_end_effector,
    palm_boxes,
    radius,
    two_fingers,
)
from point2act.grasping.grasps_json import read_grasps, write_grasps
from point2act.grasping.grippers import Gripper, load_gripper
from point2act.grasping.hands.checks import Execution
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.load import load_hand
from point2act.grasping.hands.plan import plan_hand_grasps
from point2act.grasping.hands.task import HandConfig
from point2act.pipeline.grasp_image import ImageConfig, grasp_image
from point2act.pipeline.hand_planning import executor_of
from point2act.pipeline.planning import chosen_end_effector, find_robot
from point2act.pipeline.query import AnswerConfig
from point2act.visualization.drawing import draw_gripper
from point2act.visualization.drawing.hand_drawing import hand_sheet

SCHEMA = Path(__file__).resolve().parent.parent / "point2act" / "core" / "schemas" / "grasps.schema.json"
SOLIDS = {
    "sphere": (sphere(0.035, (0, 0, FLOOR + 0.035)), (0.0, 0.0, FLOOR + 0.06)),
    "box": (box((0.03, 0.025, 0.06), (0, 0, FLOOR + 0.06)), (0.0, 0.0, FLOOR + 0.105)),
    "cylinder": (cylinder(0.03, 0.07, (0, 0, FLOOR + 0.07)), (0.0, 0.0, FLOOR + 0.12)),
}


@cache
def planned(name: str, hand: str = "allegro") -> tuple[Grasp, ...]:
    solid, point = SOLIDS[name]
    region = region_at(point, (0.04, 0.04, 0.03))
    found, failure = plan_hand_grasps(volume_of(solid), region, load_hand(hand), config=QUICK)
    assert failure is None, failure
    return found


# ── known answers ──────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "name", [name if name == "cylinder" else pytest.param(name, marks=pytest.mark.full) for name in SOLIDS]
)
def test_contacts_lie_on_the_solid_and_oppose_each_other(name):
    solid, _ = SOLIDS[name]
    for grasp in planned(name):
        assert grasp.joints is not None
        assert np.abs(solid(grasp.joints.contacts)).max() < 0.004
        across = grasp.contacts[1] - grasp.contacts[0]
        assert grasp.width == pytest.approx(np.linalg.norm(across))
        assert grasp.width > 0.02
        assert "th_distal" in grasp.joints.links or "th_medial" in grasp.joints.links
        assert len({link[:2] for link in grasp.joints.links}) > 1


@pytest.mark.parametrize("name", SOLIDS)
def test_hand_is_neither_in_the_solid_nor_in_the_table(name):
    solid, _ = SOLIDS[name]
    hand = load_hand("allegro")
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.08, 0.08, (20_000, 3))
    inside = points[(solid(points) < -0.005) | (points[:, 2] < FLOOR - 0.001)]
    for grasp in planned(name):
        assert grasp.joints is not None
        local = (inside - grasp.T_world_gripper[:3, 3]) @ grasp.T_world_gripper[:3, :3]
        assert hand.depth_inside(local, grasp.joints.grasp).max() < 0.003
        # On the approach the palm is 5 cm further back, so that points lie further ahead of it.
        assert hand.depth_inside(local + np.array([0, 0, 0.05]), grasp.joints.pregrasp).max() < 0.003


def test_poses_are_rigid_scores_descend_and_joints_are_within_limits():
    hand, grasps = load_hand("allegro"), planned("cylinder")
    assert [grasp.score for grasp in grasps] == sorted((grasp.score for grasp in grasps), reverse=True)
    for grasp in grasps:
        R = grasp.T_world_gripper[:3, :3]
        np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-6)
        assert grasp.joints is not None
        for positions in (grasp.joints.pregrasp, grasp.joints.grasp, grasp.joints.squeeze):
            assert (positions >= hand.joints.low - 1e-6).all()
            assert (positions <= hand.joints.high + 1e-6).all()
        assert not np.allclose(grasp.joints.squeeze, grasp.joints.grasp)


def test_same_seed_gives_the_same_grasps():
    solid, point = SOLIDS["sphere"]
    region = region_at(point, (0.04, 0.04, 0.03))
    again, _ = plan_hand_grasps(volume_of(solid), region, load_hand("allegro"), config=QUICK)
    first = planned("sphere")
    assert len(again) == len(first)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.T_world_gripper, other.T_world_gripper)


def test_grasps_are_drawn_to_the_region():
    """Of a long bar, the end that is asked for."""
    bar = box((0.08, 0.015, 0.02), (0, 0, FLOOR + 0.03))
    region = region_at((0.06, 0.0, FLOOR + 0.045), (0.02, 0.02, 0.02))
    found, _ = plan_hand_grasps(volume_of(bar), region, load_hand("allegro"), config=QUICK)
    assert found
    assert found[0].contacts[:, 0].mean() > 0.035


@pytest.mark.full
def test_leap_grasps_the_box_too():
    assert planned("box", "leap")


# ── reasons ────────────────────────────────────────────────────────────────────────────────────
def no_grasp(volume, point=(0.0, 0.0, 0.0)) -> NoAnswer:
    found, failure = plan_hand_grasps(
        volume, region_at(point, (0.03,) * 3), load_hand("allegro"), config=QUICK
    )
    assert found == ()
    assert failure is not None
    return failure


def test_nothing_near_the_action_point_is_no_geometry():
    assert no_grasp(volume_of(sphere(0.01, (0.07, 0.07, 0.07)))).reason == "no_geometry"


def test_bare_table_is_no_contact_pair():
    failure = no_grasp(volume_of(lambda points: np.full(points.shape[:-1], 1.0)), (0.0, 0.0, FLOOR))
    assert failure.reason == "no_contact_pair"
    assert "stands out" in failure.detail


def test_an_object_in_a_narrow_pit_collides():
    walls = [box((0.09, 0.09, 0.09), (sign * 0.125, 0, 0)) for sign in (-1, 1)]
    walls += [box((0.09, 0.09, 0.09), (0, sign * 0.125, 0)) for sign in (-1, 1)]
    failure = no_grasp(volume_of(sphere(0.02, (0, 0, -0.05)), *walls), (0.0, 0.0, -0.03))
    assert failure.reason in ("all_collide", "no_contact_pair")
    assert failure.counts["hand_poses"] > 0
    assert sum(count for name, count in failure.counts.items() if name != "hand_poses") > 0


# ── files ──────────────────────────────────────────────────────────────────────────────────────
def written(path: Path, grasps: tuple[Grasp, ...], hand: Hand) -> dict:
    region = region_at((0, 0, 0), (0.02, 0.02, 0.02))
    result = QueryResult(Query("grasp", "the can"), region, grasps)
    capture = Capture(path.parent, (), 0.001, None, np.eye(4), metric=True)
    write_grasps(path, [result], capture=capture, gripper=hand)
    return read_grasps(path)


def test_joints_are_written_read_and_valid(tmp_path):
    grasps, hand = planned("cylinder"), load_hand("allegro")
    document = written(tmp_path / "grasps.json", grasps, hand)
    assert document["gripper"] == {"name": "allegro", "max_width": hand.max_width}
    (result,) = document["results"]
    first = result["grasps"][0]
    assert first["joints"]["names"] == list(hand.joints.names)
    np.testing.assert_allclose(first["joints"]["grasp"], grasps[0].joints.grasp)
    assert len(first["contacts"]) == 2
    assert len(first["joints"]["contacts"]) == len(first["joints"]["links"]) >= 2
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)


def test_grasps_of_a_gripper_have_no_joints(tmp_path):
    grasps = tuple(replace(grasp, joints=None) for grasp in planned("cylinder"))
    document = written(tmp_path / "grasps.json", grasps, load_hand("allegro"))
    assert "joints" not in document["results"][0]["grasps"][0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda joints: joints["grasp"].pop(), "16 names and another number of grasp"),
        (lambda joints: joints["links"].pop(), "contacts and"),
        (lambda joints: joints.update(squeeze="tight"), "squeeze"),
        (lambda joints: joints.pop("pregrasp"), "pregrasp"),
    ],
)
def test_wrong_joints_are_refused(tmp_path, change, words):
    path = tmp_path / "grasps.json"
    document = written(path, planned("cylinder"), load_hand("allegro"))
    change(document["results"][0]["grasps"][0]["joints"])
    path.write_text(json.dumps(document))
    with pytest.raises(ResultsError, match=words):
        read_grasps(path)


# ── by name, and drawn ─────────────────────────────────────────────────────────────────────────
def test_end_effectors_are_found_by_name_or_file(tmp_path):
    assert isinstance(load_end_effector("allegro"), Hand)
    assert isinstance(load_end_effector("panda"), Gripper)
    configs = Path(__file__).resolve().parent.parent / "configs"
    assert isinstance(load_end_effector(configs / "hands" / "leap.toml"), Hand)
    assert isinstance(load_end_effector(configs / "grippers" / "robotiq_2f85.toml"), Gripper)
    with pytest.raises(GripperError, match="tentacle"):
        load_end_effector("tentacle")


def test_the_hand_that_is_configured_wins_over_the_gripper():
    assert chosen_end_effector(AnswerConfig()).name == "panda"
    assert chosen_end_effector(AnswerConfig(hand="leap")).name == "leap"


def test_an_arm_does_not_carry_a_hand():
    capture = Capture(Path(), (), 0.001, None, np.eye(4), metric=True)
    with pytest.raises(ArmError, match="leave out the arm"):
        find_robot(capture, load_hand("allegro"), config=AnswerConfig(arm="panda", hand="allegro"))


def test_a_hand_is_drawn_where_it_grasps():
    hand, grasp = load_hand("allegro"), planned("cylinder")[0]
    camera = Camera(300.0, 300.0, 160.0, 120.0, 240, 320)
    T_world_cam = np.eye(4)
    T_world_cam[:3, :3] = np.array([[0, 0, -1.0], [1.0, 0, 0], [0, -1.0, 0]])
    T_world_cam[:3, 3] = [0.5, 0, 0.05]
    blank = np.zeros((240, 320, 3), np.uint8)
    drawn = draw_gripper(blank, camera, T_world_cam, grasp, hand, (255, 200, 0))
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert len(rows) > 1000
    assert abs(columns.mean() - 160) < 80
    boxes = (*palm_boxes(grasp, hand), *finger_boxes(grasp, hand))
    assert len(boxes) == len(hand.primitives)
    assert all(np.linalg.norm(box.center) < radius(hand) + 0.1 for box in boxes)


def test_boxes_of_a_gripper_are_those_of_its_opening():
    gripper, grasp = load_gripper("panda"), replace(planned("cylinder")[0], joints=None, approach_width=0.05)
    centers = [box.center for box in finger_boxes(grasp, gripper)]
    np.testing.assert_allclose(centers, gripper.fingers_at(0.05).center)
    assert radius(gripper) > 0.1
    assert len(palm_boxes(grasp, gripper)) == len(gripper.body)


def test_two_fingers_on_the_contacts_stand_for_a_hand():
    hand = load_hand("allegro")
    for grasp in planned("cylinder"):
        T, opening = two_fingers(grasp, hand)
        np.testing.assert_allclose(T[:3, :3].T @ T[:3, :3], np.eye(3), atol=1e-9)
        assert np.linalg.det(T[:3, :3]) == pytest.approx(1)
        tips = T[:3, 3] + np.outer([-opening / 2, opening / 2], T[:3, 1])
        np.testing.assert_allclose(tips, grasp.contacts, atol=1e-9)
        assert T[:3, 2] @ grasp.T_world_gripper[:3, 2] >= 0


def test_two_fingers_do_not_turn_to_contacts_along_the_approach():
    grasp = planned("cylinder")[0]
    for across in (grasp.T_world_gripper[:3, 2], np.zeros(3)):
        contacts = np.stack([np.zeros(3), 0.04 * across])
        T, _ = two_fingers(replace(grasp, contacts=contacts), load_hand("allegro"))
        np.testing.assert_array_equal(T[:3, :3], grasp.T_world_gripper[:3, :3])
        np.testing.assert_allclose(T[:3, 3], contacts.mean(axis=0))


def test_two_fingers_of_a_gripper_are_its_own():
    grasp = replace(planned("cylinder")[0], approach_width=0.05)
    T, opening = two_fingers(grasp, load_gripper("panda"))
    np.testing.assert_array_equal(T, grasp.T_world_gripper)
    assert opening == 0.05


@pytest.mark.parametrize("name", ["allegro", "leap"])
def test_sheet_shows_every_finger(name):
    sheet = hand_sheet(load_hand(name), size=200)
    assert sheet.shape == (200, 600, 3)
    for color in ((0x42, 0x80, 0xB6), (0xC2, 0x60, 0x3F)):
        assert (np.abs(sheet.astype(int) - color).max(axis=2) < 12).sum() > 100


# ── the commands ───────────────────────────────────────────────────────────────────────────────
def test_wrong_names_of_hands_are_one_sentence(tmp_path, capsys):
    image = tmp_path / "color.png"
    words = f"grasp-image {image} {image} --intrinsics 1,1,1,1 --point 1,1 --hand tentacle --output"
    with pytest.raises(SystemExit) as stop:
        cli([*words.split(), str(tmp_path / "grasps.json")])
    assert stop.value.code == 2
    assert "no hand named 'tentacle': use one of allegro, leap" in capsys.readouterr().err
    assert not (tmp_path / "grasps.json").exists()


def test_the_gripper_command_draws_hands(tmp_path, capsys):
    cli(["gripper", "leap", "--output", str(tmp_path / "leap.png")])
    assert "leap: 17 links, 16 joints" in capsys.readouterr().out
    assert (tmp_path / "leap.png").stat().st_size > 5000


WITHOUT_MUJOCO = """
import sys
sys.modules["mujoco"] = None
from point2act.cli.main import main
main(sys.argv[1:])
"""


def test_without_mujoco_a_hand_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "none.png").write_bytes(b"")
    words = [
        "grasp-image",
        "none.png",
        "none.png",
        "--intrinsics",
        "1,1,1,1",
        "--point",
        "1,1",
        "--hand",
        "allegro",
    ]
    tried = subprocess.run(
        [sys.executable, "-c", WITHOUT_MUJOCO, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 2, tried.stderr
    assert 'pip install "point2act[hands]"' in " ".join(tried.stderr.split())
    assert "Traceback" not in tried.stderr


@pytest.mark.parametrize("held", [True, False])
def test_executions_end_with_one_that_holds_and_report_their_progress(held: bool):
    """Otherwise all that is returned was executed, and the progress goes on to the last."""
    executed, steps = [], []

    def execute(grasp: Grasp) -> Execution:
        executed.append(grasp)
        return Execution(lifted=held, shaken=held, on_part=1.0 if held else None)

    solid, point = SOLIDS["cylinder"]
    found, failure = plan_hand_grasps(
        volume_of(solid),
        region_at(point, (0.04, 0.04, 0.03)),
        load_hand("allegro"),
        config=replace(QUICK, executions=2),
        executor=lambda task: execute,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert failure is None
    assert len(executed) == (1 if held else len(found)) > 0
    done = [one for one, _ in steps]
    assert done == sorted(done)
    assert done[-1] - QUICK.optimization.iterations == len(executed)
    assert all(one <= total for one, total in steps)


def test_nothing_is_executed_if_that_is_asked_for():
    assert executor_of(HandConfig(executions=0)) is None
    assert executor_of(HandConfig()) is not None


@pytest.mark.full
def test_one_image_with_depth_gives_grasps_of_a_hand():
    seen = synthetic.views(8, height=240, width=320)[1]
    assert seen.depth is not None
    (place,), _ = project(seen.camera, seen.T_world_cam, np.array([[0.0, 0.0, 0.1]]))
    K = seen.camera.K - [[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]]
    answer = AnswerConfig(hand="allegro", hands=replace(QUICK, num_starts=128))
    found = grasp_image(
        seen.rgb,
        np.round(seen.depth * 1000).astype(np.uint16),
        K,
        points={"the red box": (float(place[0]), float(place[1]))},
        config=ImageConfig(answer=answer),
    )
    (result,) = found.results
    assert result.reason is None, result.detail
    assert result.grasps[0].joints is not None
    assert result.cut is None
    assert (found.picture() != found.view.rgb).any(axis=2).sum() > 500
