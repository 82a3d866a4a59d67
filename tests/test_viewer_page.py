"""The page in a real browser, as a person has it: ``point2act view``, everything on it, and downloads.

Its pictures are kept in the folder that POINT2ACT_PICTURES names, if it is set; they may be of another run,
which POINT2ACT_PICTURED names, than the small one that is made here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import (
    ConsoleLine,
    Window,
    changed_share,
    complaints,
    findings_in_viser,
    noise,
    open_browser,
    serious_findings,
    viewed,
)
from small_run import RED, write_capture
from test_viewer import BLUE, FEW, large

import point2act
from point2act.core.geometry import project
from point2act.core.types import Answer, PointSet, Query
from point2act.data.capture import read_capture
from point2act.data.points import PERSON, read_points, write_points
from point2act.data.scene_ply import read_splat_ply
from point2act.grasping.grasps_json import read_grasps
from point2act.visualization.initial_camera import InitialCamera, find_initial_camera
from point2act.visualization.viewer import Viewer, ViewerConfig, request_filter
from point2act.visualization.viewer.photos import FOV, camera_facing, place_photo
from point2act.visualization.viewer.state_text import from_text
from point2act.visualization.viewer.viewpoints import from_base

BASE = np.array([-0.5, 0.1, 0.0])
"""Position of the robot's base, world."""
HOSTILE = "{document.title = 'owned'} <b>the box</b> | `x"
"""Words that Markdown, HTML and MDX would rather do than show."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Path:
    """A finished run beside a robot; without a browser none is made."""
    folder = tmp_path_factory.mktemp("viewed")
    capture = write_capture(folder / "capture")
    document = json.loads((capture / "transforms.json").read_text())
    T_base_world = np.eye(4)
    T_base_world[:3, 3] = -BASE
    document["T_base_world"] = T_base_world.tolist()
    (capture / "transforms.json").write_text(json.dumps(document))
    known = read_points(capture / "points.json")
    hostile = Query("hostile", HOSTILE)
    write_points(capture / "points.json", PointSet((*known.queries, hostile), known.answers))
    point2act.run(capture, folder / "out", config=FEW)
    return folder / "out"


@pytest.fixture(scope="module")
def known_noise(browser: Any) -> set[ConsoleLine]:
    return noise(browser)


@pytest.fixture(scope="module")
def page(run: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with viewed(run) as address:
        yield address


@pytest.fixture(scope="module")
def window(browser: Any, page: tuple[str, Any]) -> Iterator[Window]:
    window = Window(browser, page[0])
    window.wait_for_words("10 of 10 views agree")
    window.wait_for_words("Ready")
    yield window
    window.close()


@pytest.fixture(autouse=True)
def picture(request: pytest.FixtureRequest, window: Window) -> Iterator[None]:
    """Keep a picture of the page after each test, for people."""
    yield
    if "POINT2ACT_PICTURES" in os.environ:
        folder = Path(os.environ["POINT2ACT_PICTURES"])
        folder.mkdir(parents=True, exist_ok=True)
        window.page.screenshot(path=folder / f"{request.node.name}.png")


def test_gaussians_appear(window: Window):
    window.open_tab("Find")
    window.tick("Gaussians", False)
    gone = window.wait_until_still()
    window.tick("Gaussians")
    covered = changed_share(gone, window.wait_until_changed(gone, share=0.1))
    window.tick("Gaussians", False)
    # Not exactly as before: viser draws coarser when it is slow.
    window.wait_for(lambda: changed_share(gone, window.canvas()) < covered / 2, "the Gaussians to be gone")
    window.tick("Gaussians")


def test_relevancy_is_blended(window: Window):
    window.open_tab("Find")
    before = window.wait_until_still()
    window.slide("Blend", 0.1)
    window.wait_for(lambda: float(window.value("Blend")) < 0.3, "the slider to move")
    window.wait_until_changed(before, share=0.003)
    # Not what was drawn on the way: nothing, or the first of the new Gaussians.
    dim = window.wait_until_still()
    window.slide("Blend", 0.9)
    window.wait_until_changed(dim, share=0.003)


@pytest.mark.full
def test_gaussians_are_drawn_without_the_servers_help(browser: Any, monkeypatch: pytest.MonkeyPatch):
    """A script that viser's page asks for at every change and did not get left the scene empty for good."""
    viewer = Viewer(large(1500), (), title="large", grippers=("panda",), config=ViewerConfig(port=8650))
    window = Window(browser, viewer.url)
    window.wait_for_words("large")
    before = window.wait_until_still()
    refused: list[str] = []
    monkeypatch.setattr(
        request_filter, "refusal", lambda path, *_: (refused.append(path), (HTTPStatus.NOT_FOUND, ""))[1]
    )
    for blend in np.tile([0.1, 0.9], 10):
        viewer.page.nodes.gaussians.paint(np.linspace(0, 1, 1500), blend=float(blend), threshold=0.0)
        window.page.wait_for_timeout(50)
    window.wait_until_changed(before, share=0.05)
    after = window.wait_until_still()
    window.wait_for(lambda: (window.canvas().max(axis=-1) > 60).mean() > 0.3, "the Gaussians to be drawn")
    assert changed_share(before, after) > 0.05
    assert not refused
    window.close()
    viewer.stop()


def test_a_query_is_chosen(window: Window):
    window.open_tab("Find")
    assert "the unicorn" in window.choices("Query")
    window.choose("Query", "the unicorn")
    window.wait_for_words("No view has a point for this query")
    window.choose("Query", "the red box")
    window.wait_for_words("10 of 10 views agree")


def test_nothing_vanishes_while_the_query_changes(window: Window, known_noise: set[ConsoleLine]):
    window.open_tab("Find")
    window.tick("Gaussians", False)
    window.wait_until_still()
    window.watch()
    empty = window.frames()[-1]
    window.tick("Gaussians")
    window.wait_until_still()
    window.watch()
    covered = changed_share(empty, window.frames()[-1])
    assert covered > 0.2
    del window.console[:]
    window.watch()
    window.choose("Query", "the unicorn")
    window.wait_for_words("No view has a point for this query")
    # Of the splats, the earlier ones are removed after browsers have the new ones. viser 1.x does not say so.
    if version("viser").startswith("0."):
        window.wait_for(lambda: removals(window, "/scene/splats"), "the earlier Gaussians to be removed")
    window.wait_until_still()
    frames = window.frames()
    assert min(changed_share(empty, frame) for frame in frames) > 0.8 * covered
    assert complaints(window.console) <= known_noise
    window.choose("Query", "the red box")
    window.wait_for_words("10 of 10 views agree")


def removals(window: Window, name: str) -> int:
    """How many nodes whose name starts so viser has removed."""
    return sum(f"Removing scene node: {name}" in line.text for line in window.console)


def test_what_others_wrote_is_only_shown(window: Window):
    window.open_tab("Find")
    window.choose("Query", HOSTILE)
    window.wait_for_words(HOSTILE)
    window.choose("Query", "the red box")
    assert "owned" not in window.page.title()


def test_a_click_in_a_photograph_lifts_again(window: Window, run: Path):
    capture = read_capture(run.parent / "capture")
    frame = capture.frames[3]
    pixel = project(frame.camera, frame.T_world_cam, BLUE[None])[0][0]
    window.open_tab("Photographs")
    window.choose("Image", frame.name)
    window.press("Open it")
    window.wait_for_words("Back to the scene")
    window.wait_for_words("Supports the region that was found")
    window.wait_until_still()
    window.click_canvas(*on_canvas(window, frame, pixel))
    window.wait_for_words("You: 1 point")
    window.wait_for_words("Ready")
    kept = read_points(run / "points.json", capture)
    (answer,) = [answer for answer in kept.answers if answer.model == PERSON]
    assert answer.image == frame.name
    np.testing.assert_allclose(answer.points[0], pixel, atol=2)
    assert len(read_points(capture.folder / "points.json").answers) == 20, "the capture's own are untouched"
    window.press("Remove my answer")
    window.wait_for(lambda: "You: 1 point" not in window.words(), "the answer to be gone")
    window.press("Back to the scene")
    window.wait_for(lambda: "Back to the scene" not in window.words(), "the photograph to be gone")


def test_a_click_in_the_scene_is_an_answer_and_is_taken_back(window: Window, run: Path):
    """The page was just opened or has gone back to where it was: its first camera is known."""
    capture = read_capture(run.parent / "capture")
    before = len(read_points(run / "points.json", capture).answers)
    window.open_tab("Find")
    window.press("Click on it in the scene")
    window.page.wait_for_timeout(300)
    window.click_canvas(*in_scene(window, run, BLUE))
    window.wait_for(lambda: len(read_points(run / "points.json", capture).answers) > before, "the answers")
    window.wait_for_words("Ready")
    answers = [a for a in read_points(run / "points.json", capture).answers if a.model == PERSON]
    for answer in answers:
        frame = next(frame for frame in capture.frames if frame.name == answer.image)
        pixel = project(frame.camera, frame.T_world_cam, BLUE[None])[0][0]
        assert np.linalg.norm(answer.points[0] - pixel) < 9
    window.press("Undo the last answer")
    window.wait_for(lambda: len(read_points(run / "points.json", capture).answers) == before, "the undoing")
    window.wait_for_words("10 of 10 views agree")


def test_a_grasp_is_chosen_and_played(window: Window, run: Path):
    window.open_tab("Grasps")
    # Their number: while the taken-back answer is planned for, the grasps of the answer may still be listed.
    count = len(read_grasps(run / "grasps.json")["results"][0]["grasps"])
    window.wait_for_words(f"Grasp 1 of {count} ")
    labels = window.choices("Grasp")
    window.choose("Grasp", labels[1])
    window.wait_for_words("Grasp 2 of")
    window.press("Previous grasp")
    window.wait_for_words("Grasp 1 of")
    before = window.wait_until_still()
    window.press("Play the motion")
    window.wait_until_changed(before, share=0.002)


def test_a_fork_is_clicked_in_the_scene(window: Window, run: Path):
    """From the first camera, at the fork that is farthest from all others."""
    window.open_tab("Grasps")
    window.press("Start")
    window.wait_for_words("Grasp 1 of")
    results = read_grasps(run / "grasps.json")["results"]
    poses = np.array([grasp["T_world_gripper"] for grasp in results[0]["grasps"]])
    forks = poses[:, :3, 3] - 0.03 * poses[:, :3, 2]
    pixels = np.array([in_scene(window, run, place) for place in forks])
    apart = np.linalg.norm(pixels[:, None] - pixels, axis=2) + np.diag(np.full(len(pixels), np.inf))
    number = int(apart.min(axis=1)[1:].argmax()) + 1
    window.wait_until_still()
    window.click_canvas(*pixels[number])
    window.wait_for(lambda: "Grasp 1 of" not in window.words(), "another grasp to be chosen")


@pytest.fixture
def nothing_changes(window: Window) -> Iterator[None]:
    """Hide what may change by itself, so that views are recognised: Gaussians may be points as yet, and a
    motion may still be played."""
    window.open_tab("Find")
    for part in ("Gaussians", "Chosen grasp"):
        window.tick(part, False)
    yield
    window.open_tab("Find")
    for part in ("Gaussians", "Chosen grasp"):
        window.tick(part)


@pytest.mark.usefixtures("nothing_changes")
def test_buttons_of_views_work_again_and_again(window: Window):
    window.press("Start")
    start = window.wait_until_still()
    for _ in range(2):
        window.press("Top")
        top = window.wait_until_changed(start, share=0.1)
        window.press("Start")
        window.wait_until_like(start)
    assert changed_share(start, top) > 0.1


@pytest.mark.usefixtures("nothing_changes")
def test_the_robots_view_is_kept_in_a_line_and_restored(window: Window, run: Path):
    window.press("Start")
    start = window.wait_until_still()
    window.open_tab("Photographs")
    window.press("Look from the robot's base")
    window.wait_until_changed(start, share=0.1)
    robot = window.wait_until_still()
    window.open_tab("Export")
    window.press("Write a line for this view")
    window.wait_for(lambda: "&camera=" in window.value("Line"), "the line")
    line = window.value("Line")
    camera = from_text(line).camera
    assert camera is not None
    wanted = from_base(BASE, initial_camera(run))
    np.testing.assert_allclose(camera.position, wanted.position, atol=1e-3)
    np.testing.assert_allclose(camera.look_at, wanted.look_at, atol=1e-3)
    window.press("Start")
    window.wait_until_like(start)
    window.type("Line", f" {line}")
    window.press("Show what the line says")
    window.wait_until_like(robot)
    window.press("Start")
    window.wait_until_like(start)


def test_a_photograph_is_opened_by_its_number(window: Window, run: Path):
    window.open_tab("Photographs")
    strip = window.picture("Photographs by verdict")
    green = (strip[..., 1] > 120) & (strip[..., 0] < 60)
    assert green.mean() > 0.05, "all views agree"
    for number in (4, 4):
        window.press(str(number))
        window.wait_for_words(read_capture(run.parent / "capture").frames[number - 1].name)
        window.press("Back to the scene")
        window.wait_for(lambda: "Back to the scene" not in window.words(), "the photograph to be gone")


def test_grasps_are_downloaded(window: Window, tmp_path: Path):
    window.open_tab("Export")
    name, content = window.download(lambda: window.press("Download grasps.json"))
    (tmp_path / name).write_bytes(content)
    results = read_grasps(tmp_path / name)["results"]
    assert [result["query"]["name"] for result in results] == ["red", "unicorn", "hostile"]
    assert np.linalg.norm(np.array(results[0]["action_point"]) - RED) < 0.02
    _, picture = window.download(lambda: window.press("Download a screenshot"))
    assert picture.startswith(b"\x89PNG")


@pytest.mark.full
def test_the_command_line_makes_the_same_grasps(window: Window, tmp_path: Path):
    window.open_tab("Export")
    (line,) = re.findall(r"point2act grasp .*", window.words())
    name, content = window.download(lambda: window.press("Download grasps.json"))
    words = line.replace("--output grasps.json", f"--output {tmp_path / name}").split()
    assert words[0] == "point2act"
    again = [sys.executable, "-m", "point2act.cli", *words[1:], "--no-report"]
    done = subprocess.run(again, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ours, theirs = json.loads(content)["results"], read_grasps(tmp_path / name)["results"]
    for one, other in zip(ours, theirs, strict=True):
        assert one["action_point"] == pytest.approx(other["action_point"])
        for a, b in zip(one["grasps"], other["grasps"], strict=True):
            np.testing.assert_allclose(a["T_world_gripper"], b["T_world_gripper"], atol=1e-9)


@pytest.mark.full
def test_two_people_see_the_same_and_have_their_own_photographs(
    window: Window, browser: Any, page: Any, known_noise: set[ConsoleLine]
):
    other = Window(browser, page[0])
    other.wait_for_words("10 of 10 views agree")
    other.open_tab("Photographs")
    other.press("Open it")
    other.wait_for_words("Back to the scene")
    assert "Back to the scene" not in window.words()
    window.open_tab("Find")
    window.choose("Query", "the unicorn")
    other.wait_for_words("not visible here")
    window.choose("Query", "the red box")
    other.close()
    assert complaints(other.console) <= known_noise


def test_the_page_complains_about_nothing_that_an_empty_one_does_not(
    window: Window, known_noise: set[ConsoleLine]
):
    assert complaints(window.console) <= known_noise


NEWCOMERS = {
    "What was asked, and how sure is the answer?": ("Find", ("the red box", "Confidence 100%", "10 of 10")),
    "How do I ask for something else, or correct it?": ("Find", ("New query", "Click on it in the scene")),
    "Which views were wrong?": ("Photographs", ("agrees 10",)),
    "Where does the gripper go, and how far open?": ("Grasps", (" · score", "width", "open to")),
    "Will it hold, and what was checked?": ("Grasps", ("Clearance of the approach", "friction")),
    "How do I get this again, and into my program?": ("Export", ("point2act grasp", "Download grasps.json")),
}
"""Questions of the table in docs/viewer.md, the tab that answers each, and words of its answer there."""


@pytest.mark.parametrize("question", NEWCOMERS)
def test_newcomers_find_answers_one_click_away(window: Window, question: str):
    tab, answers = NEWCOMERS[question]
    window.open_tab(tab)
    for words in answers:
        window.wait_for_words(words)


def test_newcomers_find_why_there_is_no_grasp_and_what_helps(window: Window):
    window.open_tab("Find")
    window.choose("Query", "the unicorn")
    window.wait_for_words("No view has a point for this query")
    window.wait_for_words("What helps: Ask in other words")
    window.choose("Query", "the red box")


def test_newcomers_find_answers_in_the_report(browser: Any, run: Path):
    page = browser.new_page()
    page.goto((run / "report.html").as_uri())

    def seen() -> str:
        return " ".join(page.locator("body").inner_text().split())

    for words in (
        "1 of 3 things can be grasped",
        "No view has a point for this query",
        "10 of 10 views agree",
    ):
        assert words in seen(), words
    assert "T_world_gripper" not in seen()
    for section in ("Model answers", "Grasps", "Facts"):
        page.locator("nav a", has_text=section).click()
    # By key: the page still scrolls smoothly to the last section, and a click may miss what moves.
    page.get_by_text("Pose of the best grasp, to copy").press("Enter")
    for words in ("T_world_gripper", "approach clearance", "Seed", "Command"):
        assert words.lower() in seen().lower(), words
    page.close()


def test_all_of_the_page_is_as_accessible_as_what_viser_draws(window: Window, browser: Any):
    known = findings_in_viser(browser)
    for tab in ("Photographs", "Grasps", "Export", "?", "Find"):
        window.open_tab(tab)
        assert serious_findings(window.page) <= known, tab


@pytest.mark.parametrize("width", [390, 1000, 1400])
def test_nothing_of_the_page_is_wider_than_the_screen(window: Window, width: int):
    page, usual = window.page, window.page.viewport_size
    page.set_viewport_size({"width": width, "height": 900})
    try:
        page.wait_for_timeout(500)  # viser lays its panel out anew
        beyond = page.evaluate(
            """() => [...document.querySelectorAll("body *")].filter((each) => {
              let clips = each.parentElement;  // what it clips is not seen
              while (clips && getComputedStyle(clips).overflowX === "visible") clips = clips.parentElement;
              const box = each.getBoundingClientRect();
              return !clips && box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
            }).map((each) => each.outerHTML.slice(0, 80))"""
        )
        assert beyond == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    finally:
        page.set_viewport_size(usual)
        page.wait_for_timeout(500)


def on_canvas(window: Window, frame: Any, pixel: np.ndarray) -> tuple[float, float]:
    """Where a pixel of the open photograph is on the canvas."""
    box = window.canvas().shape
    hanging = place_photo(frame.camera, frame.T_world_cam, 1.0)
    seen = camera_facing(hanging, box[1] / box[0])
    T = frame.T_world_cam
    ray = np.array(
        [(pixel[0] - frame.camera.cx) / frame.camera.fx, (pixel[1] - frame.camera.cy) / frame.camera.fy, 1]
    )
    place = T[:3, :3] @ ray + T[:3, 3]
    forward = (seen.look_at - seen.position) / np.linalg.norm(seen.look_at - seen.position)
    right, down = hanging.T_world_photo[:3, 0], hanging.T_world_photo[:3, 1]
    way = place - seen.position
    half = np.tan(seen.fov / 2)
    y = (way @ down) / (way @ forward) / half
    x = (way @ right) / (way @ forward) / half
    return box[1] / 2 + x * box[0] / 2, box[0] / 2 + y * box[0] / 2


def initial_camera(run: Path) -> InitialCamera:
    poses = [frame.T_world_cam for frame in read_capture(run.parent / "capture").frames]
    return find_initial_camera(read_splat_ply(run / "scene.ply"), poses)


def in_scene(window: Window, run: Path, place: np.ndarray) -> tuple[float, float]:
    """Where the initial camera of a page sees a place, on the canvas."""
    height, width = window.canvas().shape[:2]
    camera = initial_camera(run)
    forward = (camera.center - camera.eye) / np.linalg.norm(camera.center - camera.eye)
    right = np.cross(forward, camera.up)
    right /= np.linalg.norm(right)
    way = (place - camera.eye) / ((place - camera.eye) @ forward * np.tan(FOV / 2))
    return width / 2 + way @ right * height / 2, height / 2 + way @ np.cross(forward, right) * height / 2


@pytest.mark.full
def test_no_points_and_views_that_do_not_agree(
    browser: Any, run: Path, tmp_path: Path, known_noise: set[ConsoleLine]
):
    """The page says what to do, and why there is nothing."""
    capture = read_capture(run.parent / "capture")
    rng = np.random.default_rng(0)
    answers = tuple(
        Answer(frame.name, "odd", rng.uniform([0, 0], [frame.camera.width, frame.camera.height], (1, 2)))
        for frame in capture.frames
    )
    queries = (Query("new", "the new box"), Query("odd", "the odd one"))
    write_points(tmp_path / "points.json", PointSet(queries, answers))
    with viewed(run, "--points", tmp_path / "points.json") as (url, _):
        window = Window(browser, url)
        window.wait_for_words("No view has a point for this query")
        window.wait_for_words("Ready")
        window.choose("Query", "the odd one")
        window.wait_for_words("The views do not agree on one place")
        window.open_tab("Grasps")
        window.wait_for_words("The views do not agree on one place")
        assert complaints(window.console) <= known_noise
        window.close()


@pytest.mark.full
def test_a_hand_is_planned_for_while_the_page_shows_how_far(
    browser: Any, run: Path, known_noise: set[ConsoleLine]
):
    """Another gripper does not wait for it."""
    with viewed(run, "--hand", "allegro") as (url, _):
        window = Window(browser, url)
        window.open_tab("Grasps")
        bar = window.page.get_by_role("progressbar")
        window.wait_for(lambda: float(bar.get_attribute("aria-valuenow") or 0) > 1, "progress", 200)
        window.wait_for(lambda: "Grasp 1 of" in window.words(), "grasps", 300)
        assert "thumb and opposite finger" in window.words()
        before = window.wait_until_still()
        window.press("Play the motion")
        window.wait_until_changed(before, share=0.002)
        window.choose("Gripper", "leap")
        window.choose("Gripper", "panda")
        window.wait_for_words("open to")
        assert complaints(window.console) <= known_noise
        window.close()


def test_it_ends_with_ctrl_c_and_the_page_stays(window: Window, page: tuple[str, subprocess.Popen[str]]):
    """Last: what the others look at is gone then."""
    before = window.wait_until_still()
    process = page[1]
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    window.page.wait_for_timeout(1500)
    assert changed_share(before, window.canvas()) < 0.02
    assert not [line for line in window.console if line.kind == "uncaught"]
