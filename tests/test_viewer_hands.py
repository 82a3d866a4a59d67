"""The page with a hand, without a browser: it is planned for, drawn, moved and exported like a gripper."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import SmallRun
from test_viewer import CAMERA, browser_at, interactive_of, messages_of, shown

import point2act
from point2act.cli.view import RobotOptions
from point2act.core.errors import GripperError, HandError
from point2act.core.types import Grasp, HandJoints, NoAnswer, ProgressCallback, Region
from point2act.data.points import read_points
from point2act.grasping.grasps_json import read_grasps, write_grasps
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.load import load_hand
from point2act.pipeline.interactive import InteractiveSession
from point2act.pipeline.interactive_state import State
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.session import Session
from point2act.visualization.viewer import Viewer
from point2act.visualization.viewer.export import grasps_json
from point2act.visualization.viewer.panel import AT_GRASP

STEPS = 5
"""Steps of the planning for a hand."""


def from_above(region: Region, hand: Hand, number: int) -> Grasp:
    """A grasp from above the action point whose fingers bend by a tenth of a radian."""
    T = np.diag([1.0, -1.0, -1.0, 1.0])
    T[:3, 3] = region.action_point + np.array([-hand.grasp_center[0], 0.01 * number, hand.grasp_center[2]])
    contacts = region.action_point + np.array([[0.0, -0.02, 0.0], [0.0, 0.02, 0.0]])
    joints, open_hand = hand.joints, hand.joints.pregrasp
    touching = hand.clipped(open_hand + 0.1)
    found = HandJoints(joints.names, open_hand, touching, touching, contacts, (hand.links[-1], hand.links[1]))
    return Grasp(T, 0.04, 0.9 - 0.1 * number, 0.8, 0.9, contacts, 0.01, terms={"hold": 0.5}, joints=found)


def plan_quickly(
    volume: Any, region: Region, hand: Hand, *, progress: ProgressCallback, **options: Any
) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """Take the place of the planner, which takes seconds."""
    for step in range(STEPS):
        progress(step + 1, STEPS)
    return tuple(from_above(region, hand, number) for number in range(3)), None


PLANNER = "point2act.pipeline.hand_planning.plan_hand_grasps"
CONFIG = AnswerConfig(hand="allegro")


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PLANNER, plan_quickly)
        yield


@pytest.fixture(scope="module")
def session(small_run: SmallRun) -> Session:
    return point2act.open_run(small_run.output)


@pytest.fixture(scope="module")
def known(session: Session, tmp_path_factory: pytest.TempPathFactory, quick: None) -> State:
    """All that the capture's points lead to."""
    points = read_points(session.capture.folder / "points.json", session.capture)
    keep = tmp_path_factory.mktemp("known") / "points.json"
    interactive = InteractiveSession(session, points, keep=keep, config=CONFIG)
    interactive.localize()
    for name in interactive.unplanned():
        interactive.plan(name)
    return interactive.state


@pytest.fixture
def viewer(session: Session, known: State, tmp_path: Path) -> Iterator[Viewer]:
    viewer = shown(session, known, tmp_path / "points.json", CONFIG)
    yield viewer
    viewer.stop()


def test_a_hand_has_grasps_a_drawing_and_forks(viewer: Viewer):
    page, now = viewer.page, interactive_of(viewer).state
    assert isinstance(now.gripper, Hand)
    assert page.panel.gripper.value == "allegro"
    assert len(page.panel.grasp.options) == len(page.nodes.grasps._forks.nodes) == 3
    assert "Grasp 1 of 3" in page.panel.numbers.content
    assert "2 contacts" in page.panel.numbers.content
    assert "thumb and opposite finger 40 mm apart" in page.panel.numbers.content
    assert "whether an arm reaches it" in page.panel.numbers.content
    # There is no plane in which all fingers close.
    assert set(page.nodes.grasps._gripper.nodes) == {"fingers", "palm", "approach"}
    joints = now.results["red"].grasps[0].joints
    assert joints is not None
    np.testing.assert_array_equal(page.nodes.grasps._posture, joints.grasp)


def test_forks_of_a_hand_are_where_it_touches(viewer: Viewer):
    page = viewer.page
    for grasp, node in zip(
        page.result.grasps if page.result else (), page.nodes.grasps._forks.nodes.values(), strict=True
    ):
        np.testing.assert_allclose(node.position, page.nodes.unit * grasp.contacts.mean(axis=0), rtol=1e-6)


def test_the_slider_moves_a_hand_from_approach_to_lift(viewer: Viewer):
    page = viewer.page
    up, heights, postures = page.nodes.initial_camera.up, [], []
    assert page.panel.motion.value == pytest.approx(2 * AT_GRASP, abs=0.011), "it touches"
    for share, phase in ((0.0, "Approach"), (0.3, "Approach"), (0.5, "Closing"), (1.0, "Lift")):
        page.panel.motion.value = share
        viewer.scrub()
        assert viewer.settle()
        assert phase in page.panel.phase.content
        heights.append(page.nodes.grasps._gripper.nodes["fingers"].position @ up)
        postures.append(page.nodes.grasps._posture)
        assert set(page.nodes._lifted.nodes) == ({"object"} if phase == "Lift" else set())
    assert heights[0] > heights[1] > heights[2] < heights[3]
    np.testing.assert_array_equal(postures[0], postures[1])
    moved = [np.abs(later - postures[0]).max() for later in postures[2:]]
    assert 0 < moved[0] < moved[1] == pytest.approx(0.1)


def test_a_gripper_after_a_hand_has_its_closing_axis_again(viewer: Viewer):
    viewer.set_gripper("panda")
    assert viewer.settle()
    page = viewer.page
    assert set(page.nodes.grasps._gripper.nodes) == {"fingers", "palm", "approach", "closing"}
    assert page.panel.motion.value == AT_GRASP
    assert "width" in page.panel.numbers.content


def test_grasps_of_a_hand_are_saved(viewer: Viewer, tmp_path: Path):
    path = tmp_path / "grasps.json"
    path.write_bytes(grasps_json(interactive_of(viewer)))
    document = read_grasps(path)
    assert document["gripper"]["name"] == "allegro"
    result = document["results"][0]
    for row, grasp in zip(result["grasps"], interactive_of(viewer).state.results["red"].grasps, strict=True):
        np.testing.assert_allclose(row["joints"]["grasp"], grasp.joints.grasp if grasp.joints else [])


def test_a_line_restores_a_hand(viewer: Viewer):
    page, client = viewer.page, browser_at(CAMERA)
    viewer.choose_grasp(1)
    viewer.keep(client)
    assert viewer.settle()
    text = page.panel.line.value
    assert "gripper=allegro" in text
    viewer.set_gripper("panda")
    assert viewer.settle()
    viewer.restore(client, text)
    assert viewer.settle()
    assert (page.grasp, interactive_of(viewer).config.hand) == (1, "allegro")
    viewer.keep(client)
    assert viewer.settle()
    assert page.panel.line.value == text


def test_a_hand_that_there_is_not_leaves_the_grasps(viewer: Viewer):
    messages = messages_of(viewer)
    viewer.set_gripper("tentacle")
    assert viewer.settle()
    (message,) = messages
    assert "tentacle" in message
    assert viewer.page.panel.gripper.value == "allegro"
    assert "Grasp 1 of 3" in viewer.page.panel.numbers.content


def test_the_surface_is_shown_without_a_miss(viewer: Viewer):
    viewer.page.panel.shown["geometry"].value = True
    viewer.show("geometry", True)
    assert viewer.settle()
    assert set(viewer.page.nodes.geometry._layer.nodes) == {"surface", "unseen"}


def test_where_a_hand_has_no_grasp_the_reason_is_shown(viewer: Viewer, monkeypatch: pytest.MonkeyPatch):
    why = NoAnswer("all_collide", "the open hand cannot approach")
    monkeypatch.setattr(PLANNER, lambda *task, **options: ((), why))
    viewer.set_gripper("leap")
    assert viewer.settle()
    assert "the open hand cannot approach" in viewer.page.panel.numbers.content
    assert not viewer.page.nodes.grasps._gripper.nodes
    viewer.play()
    viewer.show("geometry", True)
    assert viewer.settle()


# ── planning that takes its time ───────────────────────────────────────────────────────────────
def test_progress_is_shown_and_planning_ends_for_another_gripper(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
):
    """The grasps of a hand that is no longer wanted delay nothing."""
    started, go_on, ended = threading.Event(), threading.Event(), []

    def plan_slowly(*task: Any, progress: ProgressCallback, **options: Any) -> Any:
        started.set()
        try:
            progress(1, 4)
            go_on.wait(20)
            progress(2, 4)
        except BaseException as err:
            ended.append(type(err).__name__)
            raise
        return plan_quickly(*task, progress=progress, **options)

    monkeypatch.setattr(PLANNER, plan_slowly)
    viewer.set_gripper("leap")
    assert started.wait(20)
    assert viewer._draw.settle(20.0)
    assert "Planning" in viewer.page.panel.busy.content
    assert viewer.page.panel.progress.value == pytest.approx(100 / 4 / 2, abs=1)
    viewer.set_gripper("panda")
    go_on.set()
    assert viewer.settle()
    assert ended == ["_GiveWayError"]
    assert interactive_of(viewer).config.end_effector == "panda"
    assert "Grasp 1 of" in viewer.page.panel.numbers.content
    assert "Ready" in viewer.page.panel.busy.content


def test_planning_goes_on_after_a_job_that_changes_nothing(viewer: Viewer, monkeypatch: pytest.MonkeyPatch):
    planner, started, go_on = viewer._planner, threading.Event(), threading.Event()
    assert planner is not None

    def plan_slowly(*task: Any, progress: ProgressCallback, **options: Any) -> Any:
        started.set()
        go_on.wait(20)
        return plan_quickly(*task, progress=progress, **options)

    monkeypatch.setattr(PLANNER, plan_slowly)
    viewer.set_gripper("leap")
    assert started.wait(20)
    sent: list[bytes] = []
    viewer.undo()
    viewer.export(grasps_json, sent.append)
    go_on.set()
    assert viewer.settle()
    assert json.loads(sent[0])["gripper"]["name"] == "leap"
    assert "Grasp 1 of 3" in viewer.page.panel.numbers.content


# ── what a page opens with ─────────────────────────────────────────────────────────────────────
def folder_with(folder: Path, session: Session, hand: Hand) -> Path:
    write_grasps(folder / "grasps.json", (), capture=session.capture, gripper=hand)
    return folder


def test_a_page_opens_with_the_hand_of_its_run(session: Session, tmp_path: Path):
    assert RobotOptions().end_effector(folder_with(tmp_path, session, load_hand("leap"))) == "leap"
    assert RobotOptions(gripper="wsg50").end_effector(tmp_path) == "wsg50"
    assert RobotOptions(hand="allegro").end_effector(tmp_path) == "allegro"


def test_a_page_opens_with_panda_where_the_run_names_nothing_that_ships(session: Session, tmp_path: Path):
    assert RobotOptions().end_effector(None) == RobotOptions().end_effector(tmp_path) == "panda"
    folder_with(tmp_path, session, replace(load_hand("leap"), name="my own"))
    assert RobotOptions().end_effector(tmp_path) == "panda"
    for text in ("", "{}", "[1]", '{"gripper": {"name": "leap"}}'):
        (tmp_path / "grasps.json").write_text(text)
        assert RobotOptions().end_effector(tmp_path) == "panda"


def test_wrong_names_are_refused_before_anything_is_read():
    with pytest.raises(HandError, match="no hand named 'panda'"):
        RobotOptions(hand="panda").end_effector(None)
    with pytest.raises(GripperError, match="no gripper named 'allegro'"):
        RobotOptions(gripper="allegro").end_effector(None)
