"""What users do with the page, without a browser: every one of its callbacks, and what it shows then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import synthetic
from small_run import RED, SmallRun
from test_pointing import Scripted

import point2act
from point2act.core.errors import Point2ActError
from point2act.core.geometry import project
from point2act.core.types import GaussianScene, PointSet, Query, SurfaceCut
from point2act.data.crops import Crop
from point2act.data.points import PERSON, read_points
from point2act.data.scene_ply import read_splat_ply
from point2act.grasping.grasps_json import read_grasps
from point2act.pipeline.interactive import InteractiveSession
from point2act.pipeline.interactive_state import State
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.run_config import RunConfig
from point2act.pipeline.session import Session
from point2act.splatting.fit import FitConfig
from point2act.splatting.initialization import StartConfig
from point2act.splatting.reconstruct import ReconstructionConfig
from point2act.visualization.splats import Splats
from point2act.visualization.viewer import Viewer, ViewerConfig
from point2act.visualization.viewer.clients import Client
from point2act.visualization.viewer.export import grasps_json, points_json, splat_ply
from point2act.visualization.viewer.markdown import NO_MODEL
from point2act.visualization.viewer.page import Page
from point2act.visualization.viewer.panel import AT_GRASP, NOTHING, enable
from point2act.visualization.viewer.photos import FOV, BrowserCamera
from point2act.vlm.pointing.ask import Questions
from point2act.vlm.pointing.point import PointerReply

FEW = RunConfig(
    build=ReconstructionConfig(
        fit=FitConfig(iterations=20), start=StartConfig(target_count=1500), refine_poses=False
    )
)
BLUE = np.array([-0.10, -0.08, 0.04])
"""The middle of the top of the blue box."""
GRIPPERS = ("panda", "robotiq_2f85", "allegro", "leap")


@pytest.fixture(scope="module")
def run(small_run: SmallRun) -> Path:
    return small_run.output


@pytest.fixture(scope="module")
def session(run: Path) -> Session:
    return point2act.open_run(run)


@pytest.fixture(scope="module")
def known(session: Session, tmp_path_factory: pytest.TempPathFactory) -> State:
    """All that the capture's points lead to."""
    points = read_points(session.capture.folder / "points.json", session.capture)
    interactive = InteractiveSession(session, points, keep=tmp_path_factory.mktemp("known") / "points.json")
    interactive.localize()
    for name in interactive.unplanned():
        interactive.plan(name)
    return interactive.state


def shown(
    session: Session, now: State | PointSet, keep: Path, config: AnswerConfig = AnswerConfig()
) -> Viewer:
    """A page of a session that starts from a state or from points."""
    viewer = Viewer(
        session.scene,
        session.capture.frames,
        title="boxes",
        grippers=GRIPPERS,
        config=ViewerConfig(port=8500),
    )
    points = now if isinstance(now, PointSet) else now.points
    interactive = InteractiveSession(session, points, keep=keep, config=config)
    if isinstance(now, State):
        interactive.state = now
    viewer.start(interactive, command=lambda: f"point2act grasp --gripper {interactive.config.gripper}")
    assert viewer.settle()
    return viewer


@pytest.fixture
def viewer(session: Session, known: State, tmp_path: Path) -> Iterator[Viewer]:
    viewer = shown(session, known, tmp_path / "points.json")
    yield viewer
    viewer.stop()


@pytest.fixture
def empty(session: Session, tmp_path: Path) -> Iterator[Viewer]:
    """A page without queries."""
    viewer = shown(session, PointSet((), ()), tmp_path / "points.json")
    yield viewer
    viewer.stop()


def pixel_of(session: Session, number: int, place: np.ndarray) -> np.ndarray:
    """Where a place is in an image; sizes on disk and in the session are the same here."""
    view = session.views[number]
    return project(view.camera, view.T_world_cam, place[None])[0][0]


def interactive_of(viewer: Viewer) -> InteractiveSession:
    assert viewer.page.interactive is not None
    return viewer.page.interactive


def painted(page: Page) -> list[Splats]:
    """The Gaussians that are sent from now on, in turn."""
    seen: list[Splats] = []
    draw = page.nodes.gaussians.change
    page.nodes.gaussians.change = lambda splats: (seen.append(splats), draw(splats))[1]  # type: ignore[method-assign]
    return seen


# ── a sketch before all of it ───────────────────────────────────────────────────────────────────
def large(count: int) -> GaussianScene:
    rng = np.random.default_rng(0)
    quats = rng.normal(size=(count, 4))
    return GaussianScene(
        means=rng.uniform(-0.3, 0.3, (count, 3)),
        quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
        scales=np.full((count, 3), 0.01),
        opacities=np.full(count, 0.9),
        sh=np.zeros((count, 1, 3)),
    )


def test_a_large_scene_is_sketched_first_and_sent_once(session: Session):
    scene = large(9000)
    viewer = Viewer(
        scene, session.capture.frames, title="large", grippers=GRIPPERS, config=ViewerConfig(port=8500)
    )
    sent = painted(viewer.page)
    start = time.monotonic()
    viewer.wait_for_browser(timeout=0.1, drawing=60.0)  # no browser connects
    assert time.monotonic() - start < 5.0
    assert viewer.settle()
    viewer.page.nodes.gaussians.draw_all()
    assert [len(splats) for splats in sent] == [9000]
    viewer.stop()


def test_relevancy_comes_on_all_gaussians(session: Session):
    viewer = Viewer(large(9000), session.capture.frames, title="large", grippers=GRIPPERS)
    sent = painted(viewer.page)
    viewer.page.nodes.gaussians.paint(np.linspace(0, 1, 9000), blend=1.0, threshold=0.0)
    viewer.page.nodes.gaussians.draw_all()
    assert [len(splats) for splats in sent] == [9000]
    viewer.stop()


# ── what is there at first ─────────────────────────────────────────────────────────────────────
def test_the_first_query_is_shown(viewer: Viewer):
    panel = viewer.page.panel
    assert panel.query.options == ("the red box", "the unicorn")
    assert panel.query.value == "the red box"
    assert "10 of 10 views agree" in panel.result.content
    assert panel.grasp.options[0].startswith("1: score")
    assert "Grasp 1 of" in panel.numbers.content
    assert panel.command.content == "Command:\n\n`point2act grasp --gripper panda`"
    assert panel.busy.content.startswith("Ready")


def test_a_scene_is_shown_before_anything_is_known(session: Session):
    viewer = Viewer(session.scene, session.capture.frames, title="boxes", grippers=GRIPPERS)
    assert f"{len(session.scene):,}".replace(",", "\u202f") in viewer.page.panel.status.content
    assert viewer.page.panel.query.disabled
    viewer.point("images/0000.png", None)
    viewer.set_gripper("wsg50")
    assert viewer.settle(10.0)
    viewer.stop()


# ── queries ────────────────────────────────────────────────────────────────────────────────────
def test_a_query_without_an_answer_says_why(viewer: Viewer):
    viewer.choose("unicorn")
    assert viewer.settle()
    panel = viewer.page.panel
    assert panel.query.value == "the unicorn"
    assert "No view has a point for this query" in panel.result.content
    assert panel.grasp.options == (NOTHING,)
    assert "No view has a point for this query" in panel.numbers.content


def test_sliders_colour_the_gaussians(viewer: Viewer):
    seen, panel = painted(viewer.page), viewer.page.panel
    for blend, threshold in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)):
        panel.blend.value, panel.threshold.value = blend, threshold
        viewer.repaint()
        assert viewer.settle()
    plain, all_of_it, peak = (splats.colors for splats in seen)
    np.testing.assert_array_equal(plain, viewer.page.nodes.gaussians.splats.colors)

    def tinted(colors: np.ndarray) -> int:
        return int((np.abs(colors - plain).max(axis=1) > 0.05).sum())

    assert tinted(peak) < tinted(all_of_it) < len(plain)


def test_many_moves_of_a_slider_draw_the_last_one(viewer: Viewer):
    seen, panel = painted(viewer.page), viewer.page.panel
    held = threading.Event()
    viewer._draw.do(lambda: bool(held.wait(10)) and None)
    for blend in np.linspace(0, 1, 50):
        panel.blend.value = float(blend)
        viewer.repaint()
    held.set()
    assert viewer.settle()
    assert len(seen) == 1


def test_something_new_is_pointed_at(viewer: Viewer, session: Session, tmp_path: Path):
    viewer.add("the blue box", "grasp", ask=False)
    assert viewer.settle()
    assert viewer.page.panel.query.value == "the blue box"
    assert "No view has a point for this query" in viewer.page.panel.result.content
    viewer.point("images/0000.png", pixel_of(session, 0, BLUE))
    assert viewer.settle()
    result = viewer.page.result
    assert result is not None
    assert result.region is not None
    assert np.linalg.norm(result.region.action_point - BLUE) < 0.06
    kept = read_points(tmp_path / "points.json", session.capture)
    assert [(a.image, a.model) for a in kept.answers if a.query == result.query.name] == [
        ("images/0000.png", PERSON)
    ]


def test_a_model_is_asked_where_there_is_one(viewer: Viewer, session: Session):
    """The new field is there in the end, and how far the asking is was shown meanwhile."""
    numbers = {view.name: number for number, view in enumerate(session.views)}

    def at_blue(query: Query, image: str, crop: Crop) -> PointerReply:
        return PointerReply(crop.from_disk(pixel_of(session, numbers[image], BLUE)[None]))

    interactive = interactive_of(viewer)
    interactive.make_questions = lambda queries: Questions(tuple(queries), Scripted(at_blue, delay=0.2), 1280)
    shown: list[tuple[str | None, float]] = []
    show = viewer._busy
    viewer._planner._notify = replace(  # type: ignore[union-attr]
        viewer._planner._notify,  # type: ignore[union-attr]
        busy=lambda what, share: (shown.append((what, share)), show(what, share))[1],
    )
    viewer.add("the blue box", "grasp", ask=True)
    assert viewer.settle()
    result = viewer.page.result
    assert result is not None
    assert result.query.text == "the blue box"
    assert result.region is not None
    assert np.linalg.norm(result.region.action_point - BLUE) < 0.03
    assert result.region.support.agree == len(session.views)
    assert max(share for what, share in shown if what == "Asking the model …") > 0


def test_an_empty_text_is_reported(viewer: Viewer):
    messages = messages_of(viewer)
    viewer.add("  ", "grasp", ask=False)
    assert viewer.settle()
    assert any("empty" in text for text in messages)
    assert viewer.page.panel.busy.content.startswith("Ready")


def test_without_a_model_the_page_says_how_to_get_one(viewer: Viewer):
    assert viewer.page.panel.ask.disabled
    assert "start with `point2act view" in NO_MODEL
    asking = Viewer(viewer.scene, (), title="asks", grippers=GRIPPERS, asks=True)
    enable(asking.page.panel, True)
    assert not asking.page.panel.ask.disabled
    asking.stop()


def test_the_first_view_says_what_to_do(viewer: Viewer, session: Session):
    assert "Click a camera" in viewer.page.panel.busy.content
    assert not viewer.page.panel.status.visible
    assert viewer.page.panel.base.visible == (session.capture.base is not None)
    assert f"{len(session.views)} views" in viewer.page.panel.about.content


# ── photographs ────────────────────────────────────────────────────────────────────────────────
def test_the_strip_has_the_verdicts_and_a_button_for_each_photograph(viewer: Viewer, session: Session):
    panel, count = viewer.page.panel, len(session.views)
    assert panel.photos.content == f"green: agrees **{count}**"
    before = panel.strip.content
    viewer.point("images/0003.png", None)
    assert viewer.settle()
    assert panel.strip.content != before
    assert "grey" not in panel.photos.content
    viewer.choose("unicorn")
    assert viewer.settle()
    assert panel.photos.content.endswith(f"**{count}**")


def test_many_photographs_are_shown_page_by_page(session: Session, known: State, tmp_path: Path):
    frames = session.capture.frames
    many = [replace(frames[number % len(frames)], name=f"{number}.png") for number in range(30)]
    viewer = Viewer(session.scene, many, title="many", grippers=GRIPPERS)
    interactive = InteractiveSession(session, known.points, keep=tmp_path / "points.json")
    interactive.state = known
    viewer.start(interactive, command=lambda: "")
    rows = viewer.page.panel.rows
    for offset, visible in ((0, [0, 1, 2, 3]), (1, [4, 5, 6, 7]), (5, [8, 9]), (-9, [0, 1, 2, 3])):
        viewer.turn_photographs(offset)
        assert viewer.settle()
        assert [number for number, row in enumerate(rows) if row.visible] == visible
    viewer.stop()


# ── pointing ───────────────────────────────────────────────────────────────────────────────────
def test_a_click_lifts_again_at_once(viewer: Viewer, session: Session):
    """Answers of models are overruled; the field is there before the grasps are."""
    before = interactive_of(viewer).state
    seen = painted(viewer.page)
    start = time.perf_counter()
    viewer.point("images/0003.png", pixel_of(session, 3, BLUE))
    while not seen:
        assert time.perf_counter() - start < 5
        time.sleep(0.005)
    # 0.2 s where nothing else runs.
    assert time.perf_counter() - start < 3
    assert viewer.settle()
    result = viewer.page.result
    assert result is not None
    assert result.region is not None
    assert np.linalg.norm(result.region.action_point - BLUE) < 0.06
    now = interactive_of(viewer).state
    assert not np.array_equal(before.localized["red"].relevancy, now.localized["red"].relevancy)
    assert "does not count **9**" in viewer.page.panel.photos.content
    viewer.retract("images/0003.png")
    assert viewer.settle()
    assert np.linalg.norm(viewer.page.result.region.action_point - RED) < 0.02  # type: ignore[union-attr]


def test_a_click_in_the_scene_lifts_again_and_is_taken_back(viewer: Viewer, session: Session):
    before = interactive_of(viewer).state.points
    eye = session.views[3].T_world_cam[:3, 3]
    viewer.point_in_scene(eye, np.array([*synthetic.TABLETOP[1].center[:2], 0.06]) - eye)
    assert viewer.settle()
    clicked = interactive_of(viewer).state
    assert len(clicked.points.answers) > len(before.answers)
    found = clicked.result("red")
    assert found is not None
    assert found.region is not None
    assert np.linalg.norm(found.region.action_point[:2] - synthetic.TABLETOP[1].center[:2]) < 0.03
    viewer.undo()
    assert viewer.settle()
    assert interactive_of(viewer).state.points.answers == before.answers
    viewer.point_in_scene(eye, np.array([0.0, 0.0, 1.0]))
    assert viewer.settle()
    assert interactive_of(viewer).state.points.answers == before.answers, "a click into the sky"


def test_it_is_not_visible_there(viewer: Viewer, session: Session):
    viewer.point("images/0002.png", None)
    assert viewer.settle()
    assert viewer.page.result is not None
    assert viewer.page.result.region is not None
    assert "images/0002.png" in viewer.page.result.region.support.rejected_images


def test_points_that_cannot_be_kept_are_reported_and_change_nothing(
    session: Session, known: State, tmp_path: Path
):
    (tmp_path / "points.json").mkdir()
    viewer = shown(session, known, tmp_path / "points.json")
    messages, before = messages_of(viewer), interactive_of(viewer).state
    viewer.point("images/0000.png", np.array([3.0, 4.0]))
    assert viewer.settle()
    viewer.stop()
    assert any("points.json" in text for text in messages)
    assert interactive_of(viewer).state is before


def test_a_click_while_nothing_is_asked_for(empty: Viewer):
    messages = messages_of(empty)
    empty.point("images/0000.png", np.array([3.0, 4.0]))
    assert empty.settle()
    assert any("Add a query first" in text for text in messages)


# ── grasps ─────────────────────────────────────────────────────────────────────────────────────
def test_grasps_are_stepped_through_as_far_as_they_go(viewer: Viewer):
    count = len(viewer.page.panel.grasp.options)
    for number, expected in ((1, 1), (count + 5, count - 1), (-3, 0)):
        viewer.choose_grasp(number)
        assert viewer.settle()
        assert viewer.page.grasp == expected
        assert viewer.page.panel.grasp.value == viewer.page.panel.grasp.options[expected]
        assert f"Grasp {expected + 1} of {count}" in viewer.page.panel.numbers.content


def test_another_gripper_has_other_grasps(viewer: Viewer):
    before = interactive_of(viewer).state.results["red"].grasps
    viewer.set_gripper("robotiq_2f85")
    assert viewer.settle()
    now = interactive_of(viewer).state
    assert now.gripper.name == "robotiq_2f85"
    assert [g.width for g in now.results["red"].grasps] != [g.width for g in before]
    assert viewer.page.panel.gripper.value == "robotiq_2f85"
    assert "--gripper robotiq_2f85" in viewer.page.panel.command.content


def test_grasps_of_the_earlier_gripper_are_not_shown_while_another_is_waited_for(viewer: Viewer):
    page, planner = viewer.page, viewer._planner
    assert planner is not None
    held = threading.Event()
    planner.worker.do(lambda: held.wait(20))
    viewer.set_gripper("robotiq_2f85")
    assert viewer._draw.settle(10.0)
    assert interactive_of(viewer).config.gripper == "panda", "the planner is still busy"
    assert page.panel.gripper.value == "robotiq_2f85"
    assert page.panel.grasp.options == (NOTHING,)
    assert "Planning for robotiq" in page.panel.numbers.content
    assert not page.nodes.grasps._forks.nodes
    assert not page.nodes.grasps._gripper.nodes
    held.set()
    assert viewer.settle()
    assert "Grasp 1 of" in page.panel.numbers.content
    assert page.nodes.grasps._gripper.nodes


def test_a_gripper_that_cannot_be_used_leaves_the_grasps(viewer: Viewer):
    messages = messages_of(viewer)
    viewer.set_gripper("no such gripper")
    assert viewer.settle()
    assert messages
    assert viewer.page.panel.gripper.value == "panda"
    assert "Grasp 1 of" in viewer.page.panel.numbers.content


def test_a_fork_that_is_clicked_is_the_chosen_grasp(viewer: Viewer):
    nodes = viewer.page.nodes.grasps
    assert len(nodes._forks.nodes) == len(viewer.page.panel.grasp.options)
    nodes._click(2, None)
    assert viewer.settle()
    assert viewer.page.grasp == 2
    assert [not fork.visible for fork in nodes._forks.nodes.values()].index(True) == 2


def test_the_slider_moves_the_gripper_from_approach_to_lift(viewer: Viewer):
    page = viewer.page
    up, heights = page.nodes.initial_camera.up, []
    for share, phase in ((0.0, "Approach"), (0.5, "Closing"), (1.0, "Lift")):
        page.panel.motion.value = share
        viewer.scrub()
        assert viewer.settle()
        assert phase in page.panel.phase.content
        heights.append(page.nodes.grasps._gripper.nodes["fingers"].position @ up)
        lifted = page.nodes._lifted.nodes
        assert set(lifted) == ({"object"} if phase == "Lift" else set())
    assert heights[0] > heights[1] < heights[2]
    assert lifted["object"].position @ up == pytest.approx(heights[2] - heights[1])
    viewer.choose_grasp(0)
    assert viewer.settle()
    assert page.panel.motion.value == AT_GRASP
    assert not page.nodes._lifted.nodes


def test_the_surface_is_drawn_only_when_it_is_wanted(viewer: Viewer):
    page = viewer.page
    assert not page.nodes.geometry._layer.nodes
    page.panel.shown["geometry"].value = True
    viewer.show("geometry", True)
    assert viewer.settle()
    assert list(page.nodes.geometry._layer.nodes) == ["surface", "unseen"]
    viewer.choose("unicorn")
    assert viewer.settle()
    assert not page.nodes.geometry._layer.nodes


def test_what_blocks_the_nearest_miss_is_drawn(viewer: Viewer):
    state = interactive_of(viewer).state
    empty, hits = np.zeros((2, 2), dtype=bool), np.array([[0.0, 0.0, 0.05]])
    blocked = SurfaceCut(empty, empty, 0.001, np.eye(4), 0.08, hits)
    geometry = viewer.page.nodes.geometry
    geometry.draw(None, blocked, state.gripper)
    assert set(geometry._layer.nodes) == {"blocks", "miss"}
    geometry.draw(None, None, state.gripper)
    assert not geometry._layer.nodes


def test_the_motion_is_played_and_ends_when_something_else_is_done(viewer: Viewer):
    start = time.perf_counter()
    viewer.play()
    time.sleep(0.3)
    viewer.choose_grasp(0)
    assert viewer.settle()
    assert time.perf_counter() - start < 2, "34 moments at 14 a second would take longer"


# ── the line that stands for what is shown ──────────────────────────────────────────────────────
CAMERA = BrowserCamera(np.array([0.5, -0.25, 1.0]), np.zeros(3), np.array([0.0, 0.0, 1.0]), FOV)


def browser_at(camera: BrowserCamera) -> Client:
    client = Mock(spec=Client)
    client.camera.return_value = camera
    return client


def test_a_line_restores_query_gripper_grasp_and_camera(viewer: Viewer):
    page, client = viewer.page, browser_at(CAMERA)
    viewer.set_gripper("robotiq_2f85")
    viewer.choose_grasp(0)
    assert viewer.settle()
    viewer.choose_grasp(2)
    assert viewer.settle()
    assert page.grasp == 2
    viewer.keep(client)
    assert viewer.settle()
    text = page.panel.line.value
    viewer.choose("unicorn")
    viewer.set_gripper("panda")
    assert viewer.settle()
    viewer.restore(client, text)
    assert viewer.settle()
    assert (page.query, page.grasp, interactive_of(viewer).config.gripper) == ("red", 2, "robotiq_2f85")
    (looked,) = client.look.call_args.args
    np.testing.assert_allclose(looked.position, CAMERA.position)
    np.testing.assert_allclose(looked.up, CAMERA.up)
    viewer.keep(browser_at(looked))
    assert viewer.settle()
    assert page.panel.line.value == text


def test_a_line_of_another_scene_is_reported(viewer: Viewer):
    messages = messages_of(viewer)
    for text in ("nonsense", "query=dragon&gripper=panda&grasp=1"):
        viewer.restore(browser_at(CAMERA), text)
        assert viewer.settle()
    assert "no state of a page" in messages[0]
    assert "dragon" in messages[1]
    assert viewer.page.query == "red"


# ── export ─────────────────────────────────────────────────────────────────────────────────────
def test_exported_files_can_be_read(viewer: Viewer, session: Session, tmp_path: Path):
    interactive = interactive_of(viewer)
    for name, content in {
        "grasps.json": grasps_json(interactive),
        "points.json": points_json(interactive),
        "scene.ply": splat_ply(session.scene),
    }.items():
        (tmp_path / name).write_bytes(content)
    document = read_grasps(tmp_path / "grasps.json")
    assert [result["query"]["name"] for result in document["results"]] == ["red", "unicorn"]
    assert len(document["results"][0]["grasps"]) == len(interactive.state.results["red"].grasps)
    assert len(read_points(tmp_path / "points.json", session.capture).answers) == 20
    assert len(read_splat_ply(tmp_path / "scene.ply")) == len(session.scene)


def test_an_empty_export_is_reported(empty: Viewer):
    for make in (grasps_json, points_json):
        with pytest.raises(Point2ActError, match="add a query first"):
            make(interactive_of(empty))


# ── nothing to see ─────────────────────────────────────────────────────────────────────────────
def test_a_page_without_queries_says_what_to_do(empty: Viewer):
    assert "No query yet" in empty.page.panel.result.content
    assert empty.page.panel.query.options == (NOTHING,)
    empty.play()
    empty.choose_grasp(3)
    empty.repaint()
    assert empty.settle()


def test_a_page_without_gaussians_and_cameras():
    nothing = np.zeros((0, 3))
    scene = GaussianScene(nothing, np.zeros((0, 4)), nothing, np.zeros(0), np.zeros((0, 1, 3)))
    viewer = Viewer(scene, (), title="nothing", grippers=GRIPPERS)
    viewer.repaint()
    assert viewer.settle()
    viewer.stop()


def test_an_internal_error_is_reported_and_the_page_goes_on(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    messages = messages_of(viewer)
    monkeypatch.setattr(interactive_of(viewer), "localize", lambda *names: 1 / 0)
    viewer.point("images/0000.png", None)
    assert viewer.settle()
    assert any("Internal error of point2act" in text for text in messages)
    assert "ZeroDivisionError" in capsys.readouterr().err
    viewer.choose("unicorn")
    assert viewer.settle()
    assert viewer.page.query == "unicorn"


def test_an_address_that_is_none_of_ours():
    nothing = np.zeros((0, 3))
    scene = GaussianScene(nothing, np.zeros((0, 4)), nothing, np.zeros(0), np.zeros((0, 1, 3)))
    with pytest.raises(Point2ActError, match=r"192\.0\.2\.1.*--host"):
        Viewer(scene, (), title="nowhere", grippers=GRIPPERS, config=ViewerConfig(host="192.0.2.1"))


def messages_of(viewer: Viewer) -> list[str]:
    """What is messages to people from now on."""
    messages: list[str] = []
    viewer.notify = messages.append  # type: ignore[method-assign]
    return messages


def test_queries_with_the_same_text_have_different_labels(session: Session, tmp_path: Path):
    twins = PointSet((Query("a", "the box"), Query("b", "the box")), ())
    viewer = shown(session, twins, tmp_path / "points.json")
    assert viewer.page.panel.query.options == ("the box (a)", "the box (b)")
    viewer.stop()
