"""A finished run, asked again and again."""

import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest
import synthetic
from small_run import QUICK, RED, write_answers
from test_poses import spoilt

import point2act
from point2act.core.errors import PointsError, RunError, SceneError
from point2act.core.geometry import project
from point2act.core.types import Answer, PointSet, Query, View
from point2act.data.capture import load_views, read_capture
from point2act.data.points import PERSON, read_points, write_points
from point2act.data.run_manifest import NAME, RunManifest, read_run, with_poses, write_run
from point2act.grasping.grasps_json import read_grasps
from point2act.localization.heatmaps import HeatmapConfig
from point2act.pipeline.outputs import RunSummary, publish_report
from point2act.pipeline.query import confirmed_depths
from point2act.pipeline.run_config import RunConfig


@pytest.fixture(scope="module")
def capture(small_run):
    return small_run.capture


@pytest.fixture(scope="module")
def output(small_run):
    return small_run.output


@pytest.fixture(scope="module")
def session(output):
    return point2act.open_run(output, device="cpu")


def results_of(path) -> list:
    return read_grasps(path)["results"]


def test_the_same_points_give_the_same_grasps_again(session, capture, output):
    """geometry.ply holds all that counts."""
    again = session.ask(capture / "points.json").results
    for one, other in zip(results_of(output / "grasps.json"), again, strict=True):
        assert one["reason"] == other.reason
        assert len(one["grasps"]) == len(other.grasps)
        for a, b in zip(one["grasps"], other.grasps, strict=True):
            np.testing.assert_array_equal(a["T_world_gripper"], b.T_world_gripper)
            assert a["score"] == b.score
    red = again[0]
    np.testing.assert_array_equal(
        results_of(output / "grasps.json")[0]["action_point"], red.region.action_point
    )


def test_asking_leaves_no_trace(session, capture):
    points = read_points(capture / "points.json", session.capture)
    first = session.ask(points)
    session.ask(dataclasses.replace(points, queries=points.queries[1:], answers=points.answers[10:]))
    second = session.ask(points)
    np.testing.assert_array_equal(first.relevancy.values, second.relevancy.values)
    np.testing.assert_array_equal(
        first.results[0].grasps[0].T_world_gripper, second.results[0].grasps[0].T_world_gripper
    )


def test_a_view_is_rendered_by_name_or_from_anywhere(session, capture):
    view = session.views[2]
    rendered = session.render(view.name)
    assert rendered.rgb.shape == (*view.depth.shape, 3)
    assert np.median(np.abs(rendered.depth - view.depth)[view.depth > 0]) < 0.01
    np.testing.assert_array_equal(session.render(view).rgb, rendered.rgb)
    elsewhere = session.render(dataclasses.replace(view, T_world_cam=session.views[3].T_world_cam))
    np.testing.assert_array_equal(elsewhere.rgb, session.render(session.views[3].name).rgb)
    with pytest.raises(SceneError, match="nowhere"):
        session.render("nowhere")


def test_the_relevancy_of_a_query_is_a_number_per_gaussian(session, capture):
    answered = session.ask(capture / "points.json")
    for asked in ("red", "the red box", answered.results[0].query):
        np.testing.assert_array_equal(session.relevancy(asked), answered.relevancy.values[:, 0])
    assert len(session.relevancy("red")) == len(session.scene)
    with pytest.raises(PointsError, match="not localized"):
        session.relevancy("the blue box")


def test_what_is_relevant_is_what_is_acted_on(session, capture):
    answered = session.ask(capture / "points.json")
    solid = session.scene.opacities > 0.1
    for result, values in zip(answered.results, answered.relevancy.values.T, strict=True):
        if result.region is None:
            continue
        away = np.linalg.norm(session.scene.means - result.region.action_point, axis=1)
        assert values[solid][away[solid].argmin()] > 0.5 * values.max()
        assert values.max() <= 1
        assert values[away > 0.1].mean() < 0.02


def test_what_views_see_is_worked_out_once(session):
    assert session.projections is session.projections
    assert session.surfaces is session.surfaces
    assert len(session.projections) == len(session.views) == 10


def test_something_new_is_found(session, tmp_path):
    top = np.array([*synthetic.TABLETOP[1].center[:2], 0.06])
    answers = [Answer(v.name, "green", project(v.camera, v.T_world_cam, top[None])[0]) for v in session.views]
    write_points(tmp_path / "new.json", PointSet((Query("green", "the green box"),), tuple(answers)))
    (green,) = session.ask(tmp_path / "new.json").results
    assert np.linalg.norm(green.region.action_point - top) < 0.02
    assert np.linalg.norm(green.region.action_point - RED) > 0.08


def test_what_grasps_are_planned_on_is_worked_out_once(session):
    config = point2act.AnswerConfig()
    kept = session.depths(config.depth_agreement)
    assert session.depths(config.depth_agreement) is kept
    assert session.depths(0.5 * config.depth_agreement) is not kept
    fresh = confirmed_depths(session.views, session.surfaces, agreement=config.depth_agreement)
    np.testing.assert_array_equal(kept, fresh)


GREEN = np.array([*synthetic.TABLETOP[1].center[:2], 0.06])


def clicked_on(place, view) -> Answer:
    return Answer(view.name, "red", project(view.camera, view.T_world_cam, place[None])[0], model=PERSON)


def test_one_click_overrules_all_models_and_leads_to_grasps(session, capture, tmp_path):
    points = read_points(capture / "points.json", session.capture)
    clicked = dataclasses.replace(points, answers=(*points.answers, clicked_on(GREEN, session.views[3])))
    write_points(tmp_path / "clicked.json", clicked)
    assert len(read_points(tmp_path / "clicked.json").answers) == len(points.answers) + 1
    answered = session.ask(tmp_path / "clicked.json")
    red, unicorn = answered.results
    assert np.linalg.norm(red.region.action_point - GREEN) < 0.02
    assert red.region.support.agree == 1
    assert red.grasps
    assert unicorn.reason == "no_points"
    assert [pixels is not None for pixels in answered.pixels[0]] == [v == 3 for v in range(10)]


def test_where_a_person_sees_nothing_the_models_count_in_the_other_images(session, capture):
    points = read_points(capture / "points.json", session.capture)
    hidden = Answer(session.views[3].name, "red", np.zeros((0, 2)), visible=False, model=PERSON)
    answered = session.ask(dataclasses.replace(points, answers=(*points.answers, hidden)))
    assert np.linalg.norm(answered.results[0].region.action_point - RED) < 0.02
    assert [len(pixels) for pixels in answered.pixels[0]] == [int(v != 3) for v in range(10)]


def test_points_of_another_capture_are_refused(session, tmp_path):
    stranger = Answer("images/9999.png", "red", np.array([[1.0, 2.0]]))
    write_points(tmp_path / "other.json", PointSet((Query("red", "the red box"),), (stranger,)))
    with pytest.raises(PointsError, match="9999"):
        session.ask(tmp_path / "other.json")


def test_the_report_draws_the_heatmaps_that_were_asked_with(session, capture, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("point2act.pipeline.outputs.write_report", lambda path, report: drawn.append(report))
    for heatmap in (HeatmapConfig(), HeatmapConfig(sigma=0.01)):
        answered = session.ask(capture / "points.json", config=point2act.AnswerConfig(heatmap=heatmap))
        publish_report(tmp_path / "report.html", RunSummary(session, answered, {}))
    wide, sharp = (report.views[0].heatmaps["red"] for report in drawn)
    assert sharp.sum() < 0.1 * wide.sum()
    assert len(drawn[0].views) == 6


def test_a_fitted_session_keeps_what_is_known_and_renders_the_scene(session):
    whiter = dataclasses.replace(session.scene, sh=session.scene.sh + 0.5)
    fitted = session.fitted(whiter)
    assert fitted.surfaces is session.surfaces
    assert fitted.geometry is session.geometry
    name = session.views[0].name
    assert fitted.render(name).rgb.mean() > session.render(name).rgb.mean()
    # The session itself does not change.
    assert session.scene is not whiter


# ── run.json ───────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def saved(tmp_path) -> RunManifest:
    (tmp_path / "capture").mkdir()
    (tmp_path / "scene.ply").write_bytes(b"")
    timings = {"fit the Gaussians": 1.25}
    return RunManifest(tmp_path / "capture", tmp_path / "scene.ply", 320, True, 31.5, timings)


@pytest.mark.parametrize("poses", [None, {f"{k}.png": T for k, T in enumerate(synthetic.orbit(3))}])
def test_a_run_is_saved_and_read_back(saved, tmp_path, poses):
    saved = dataclasses.replace(saved, poses=poses)
    write_run(tmp_path, saved)
    assert ("T_world_cam" in json.loads((tmp_path / NAME).read_text())) == (poses is not None)
    for path in (tmp_path, tmp_path / NAME):
        np.testing.assert_equal(vars(read_run(path)), vars(saved))


def test_a_view_without_a_pose_of_the_run_keeps_its_own():
    views = synthetic.views(3)
    T = np.eye(4)
    first, second, third = with_poses(views, {views[1].name: T, "gone.png": T})
    assert first.T_world_cam is views[0].T_world_cam
    assert second.T_world_cam is T
    assert third.T_world_cam is views[2].T_world_cam


def test_a_run_is_found_from_anywhere(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path, dataclasses.replace(saved, capture=saved.capture.relative_to(tmp_path)))
    monkeypatch.chdir("/")
    assert read_run(tmp_path).capture == saved.capture


def change(**fields):
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | fields))


BAD = {
    "missing": (lambda path: path.unlink(), "does not exist"),
    "truncated": (lambda path: path.write_text(path.read_text()[:40]), "not valid JSON"),
    "a list": (lambda path: path.write_text("[]"), "is not a run.json"),
    "newer": (change(version=2, extra=1), "needs a newer release"),
    "no number": (change(max_side="large"), "max_side"),
    "a scene elsewhere": (change(scene="../scene.ply"), "scene"),
    "half a pose": (change(T_world_cam={"0.png": [[1.0, 0.0, 0.0, 0.0]]}), "T_world_cam"),
    "no scene": (change(scene="gone.ply"), "gone.ply is missing"),
    "moved capture": (change(capture="/gone"), "no longer at /gone"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_run_that_cannot_be_used_says_why(name, saved, tmp_path):
    spoil, says = BAD[name]
    write_run(tmp_path, saved)
    spoil(tmp_path / NAME)
    with pytest.raises(RunError, match=says) as caught:
        read_run(tmp_path / NAME)
    assert str(tmp_path) in str(caught.value)


# ── the command ────────────────────────────────────────────────────────────────────────────────
def test_the_command_asks_a_saved_run_without_nerfstudio(output, tmp_path, monkeypatch, capsys):
    from point2act.cli.main import main

    monkeypatch.setitem(__import__("sys").modules, "point2act.plugin.run", None)
    command = ["grasp", "--load-config", str(output / NAME), "--output", str(tmp_path / "g.json")]
    main([*command, "--no-report"])
    assert {path.name for path in tmp_path.iterdir()} == {"g.json"}
    main(command)
    assert (tmp_path / "report.html").is_file()
    (first, _), (expected, _) = (results_of(path) for path in (tmp_path / "g.json", output / "grasps.json"))
    assert len(first["grasps"]) == len(expected["grasps"])
    assert "the red box" in capsys.readouterr().out


# ── poses that are a little off ────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def strewn() -> tuple[View, ...]:
    """Ten views, 15 degrees apart, of the boxes on a table with something for features to hold on to."""
    dice = np.random.default_rng(0)
    low, high = np.array([-0.2, -0.2, 0.004, 0.004, 0, 0, 0]), np.array([0.2, 0.2, 0.012, 0.012, 1, 1, 1])
    tiles = [
        synthetic.Block((x, y, 0.0005), (a, b, 0.0005), tuple(color))
        for x, y, a, b, *color in dice.uniform(low, high, (150, 7))
    ]
    camera, found = synthetic.pinhole(96, 128), []
    for k, T in enumerate(synthetic.orbit(24)[:10]):
        picture = synthetic.render(T, synthetic.rays(camera), (*synthetic.TABLETOP, *tiles))
        found.append(View(f"images/{k:04d}.png", camera, T, picture.rgb, picture.depth))
    return tuple(found)


@pytest.fixture(scope="module")
def perturbed(strewn, tmp_path_factory):
    """Its capture with poses that are 5 mm and 0.7 degrees off."""
    folder = tmp_path_factory.mktemp("perturbed")
    synthetic.write_capture_files(folder, spoilt(strewn))
    write_answers(folder, strewn, RED)
    return folder


@pytest.fixture(scope="module")
def refined(perturbed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refined")
    return folder, point2act.run(perturbed, folder, config=QUICK)


def off(views, truth) -> float:
    """Metres by which the step from one camera to the next is wrong; median. The frame does not matter."""

    def steps(some):
        return [np.linalg.inv(a.T_world_cam) @ b.T_world_cam for a, b in pairwise(some)]

    wrong = [np.linalg.inv(a) @ b for a, b in zip(steps(views), steps(truth), strict=True)]
    return float(np.median([np.linalg.norm(T[:3, 3]) for T in wrong]))


def test_a_run_and_what_opens_it_have_the_better_poses(perturbed, refined, strewn):
    folder, _ = refined
    given = load_views(read_capture(perturbed))
    found = point2act.open_run(folder).views
    assert off(given, strewn) > 0.005
    assert off(found, strewn) < 0.0005
    written = json.loads((folder / NAME).read_text())["T_world_cam"]
    np.testing.assert_array_equal([view.T_world_cam for view in found], [*written.values()])
    assert "poses moved by" in (folder / "report.html").read_text()
    # They stay in the capture's frame: all have not moved together.
    moved = np.mean(
        [a.T_world_cam[:3, 3] - b.T_world_cam[:3, 3] for a, b in zip(found, given, strict=True)], 0
    )
    assert np.linalg.norm(moved) < 0.001


def test_the_command_asks_with_the_better_poses(refined, tmp_path):
    from point2act.cli.main import main

    folder, result = refined
    command = ["grasp", "--load-config", str(folder), "--output", str(tmp_path / "g.json"), "--no-report"]
    main(command)
    first = results_of(tmp_path / "g.json")[0]
    np.testing.assert_allclose(first["action_point"], result.results[0].region.action_point, atol=1e-6)


def test_poses_can_be_left_alone(perturbed, refined, tmp_path):
    config = RunConfig(build=dataclasses.replace(QUICK.build, refine_poses=False))
    result = point2act.run(perturbed, tmp_path, config=config)
    assert "refine the poses" not in result.timings
    assert read_run(tmp_path).poses is None
    given = load_views(read_capture(perturbed))
    for view, own in zip(point2act.open_run(tmp_path).views, given, strict=True):
        np.testing.assert_array_equal(view.T_world_cam, own.T_world_cam)
    assert refined[1].psnr > result.psnr + 1
