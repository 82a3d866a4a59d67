"""From a capture on disk to grasps on disk, in one process."""

import dataclasses
import json

import numpy as np
import pytest
import synthetic
import torch
from scipy.spatial.transform import Rotation
from small_run import QUICK, RED, write_capture

import point2act
from point2act.core.errors import PointsError
from point2act.core.geometry import project
from point2act.core.types import Grasp
from point2act.data.capture import load_views, read_capture
from point2act.data.points import read_points
from point2act.data.run_manifest import read_run
from point2act.data.scene_ply import read_splat_ply
from point2act.grasping.grasps_json import read_grasps
from point2act.pipeline.mark_selection import ask_with_marks
from point2act.pipeline.query import confirmed_depths
from point2act.pipeline.run_config import RunConfig
from point2act.splatting.fit import FitConfig
from point2act.splatting.gaussians import freeze
from point2act.splatting.reconstruct import split
from point2act.splatting.rendering import project_view, render_surface
from point2act.vlm.pointing.mark_selector import MarkChoice


@pytest.fixture(scope="module")
def capture(small_run):
    return small_run.capture


@pytest.fixture(scope="module")
def output(small_run):
    return small_run.output


@pytest.fixture(scope="module")
def result(small_run):
    return small_run.result()


def test_the_red_box_is_found_and_grasped(result):
    red = result.results[0]
    assert np.linalg.norm(red.region.action_point - RED) < 0.02
    assert red.region.support.agree == 10
    assert red.reason is None
    best = red.grasps[0]
    assert np.linalg.norm(best.T_world_gripper[:3, 3] - RED) < 0.05
    # Between the narrow faces, 6 cm apart, or the wide ones, 8 cm: too wide for a panda.
    assert 0.055 < best.width < 0.07
    assert abs(best.T_world_gripper[0, 1]) > 0.9
    assert best.T_world_gripper[2, 2] < 0


def test_what_is_nowhere_is_not_grasped(result):
    unicorn = result.results[1]
    assert unicorn.region is None
    assert unicorn.reason == "no_points"
    assert unicorn.grasps == ()


def test_everything_is_written(result, output):
    names = {path.name for path in output.iterdir()}
    asked = {"grasps.json", "relevancy.ply", "report.html"}
    assert names == asked | {"scene.ply", "geometry.ply", "timings.json", "run.json"}
    document = read_grasps(output / "grasps.json")
    assert document["results"][0]["action_point"] == pytest.approx(result.results[0].region.action_point)
    assert document["results"][1]["reason"] == "no_points"
    assert len(read_splat_ply(output / "scene.ply")) == len(result.scene)
    timings = json.loads((output / "timings.json").read_text())
    assert timings["total"] == pytest.approx(sum(timings["stages"].values()), abs=0.01)
    assert "the red box" in (output / "report.html").read_text()


def test_where_there_is_depth_grasps_come_before_the_fit(result, output):
    """Queries are localized on the Gaussians that are placed on measured surfaces."""
    stages = list(result.timings)
    assert stages.index("find the grasps") < stages.index("fit at half size")
    geometry, scene = (read_splat_ply(output / name) for name in ("geometry.ply", "scene.ply"))
    assert len(geometry) == len(scene) == len(result.relevancy.values)
    assert not np.array_equal(geometry.means, scene.means)
    written = {name: (output / name).stat().st_mtime for name in ("grasps.json", "scene.ply", "report.html")}
    assert written["grasps.json"] < written["scene.ply"] < written["report.html"]


def test_a_model_is_asked_before_the_fit_too(capture, output, tmp_path):
    """And the report of this run has no 3D view."""
    reds = []

    def red(image, text):
        rows, columns = np.nonzero((image[..., 0] > 120) & (image[..., 1] < 90))
        reds.append(text)
        return [(columns.mean() + 0.5, rows.mean() + 0.5)] if len(rows) else []

    config = dataclasses.replace(QUICK, scene_3d=False)
    result = point2act.run(
        capture,
        tmp_path,
        queries=["the red box"],
        pointer=red,
        adaptive=point2act.AdaptiveConfig(),
        config=config,
    )
    stages = list(result.timings)
    assert stages.index("ask until sure") < stages.index("find the grasps") < stages.index("fit at half size")
    assert 5 <= len(reds) < 10
    assert result.results[0].grasps
    assert len(read_points(tmp_path / "points.json").answers) == len(reds)
    assert '<section id="scene">' in (output / "report.html").read_text()
    assert '<section id="scene">' not in (tmp_path / "report.html").read_text()


def test_without_depth_queries_are_localized_on_the_fitted_scene(tmp_path):
    build = dataclasses.replace(QUICK.build, fit=FitConfig(iterations=10))
    result = point2act.run(
        write_capture(tmp_path / "capture", depth=False), tmp_path / "out", config=RunConfig(build=build)
    )
    stages = list(result.timings)
    assert stages.index("fit the Gaussians") < stages.index("localize the queries")
    assert not (tmp_path / "out" / "geometry.ply").exists()


def test_a_few_views_with_depth_are_answered_once(capture, tmp_path, monkeypatch):
    """They are not fitted: what was answered on their depth is the result."""
    asked = []

    def count(session, points, *rest, **options):
        asked.append(points)
        return ask_with_marks(session, points, *rest, **options)

    monkeypatch.setattr("point2act.pipeline.answering.ask_with_marks", count)
    result = point2act.run(capture, tmp_path, config=dataclasses.replace(QUICK, max_views=3))
    assert len(asked) == 1
    assert not (tmp_path / "geometry.ply").exists()
    again = point2act.open_run(tmp_path, device="cpu").ask(capture / "points.json").results[0]
    np.testing.assert_array_equal(result.results[0].region.action_point, again.region.action_point)


def test_the_quality_of_the_scene_is_reported(result):
    assert result.psnr > 20
    stages = {"read the capture", "refine the poses", "fit the Gaussians", "find the grasps"}
    assert stages <= set(result.timings)


def test_poses_that_nothing_speaks_against_stay(output):
    assert read_run(output).poses is None
    assert "poses kept:" in (output / "report.html").read_text()


def test_a_moved_capture_gives_moved_grasps(result, tmp_path):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("xyz", [0.3, -0.8, 2.2]).as_matrix()
    T[:3, 3] = [1.0, -2.0, 0.5]
    moved = point2act.run(write_capture(tmp_path, T=T), config=QUICK)
    here, there = result.results[0], moved.results[0]
    to_world = lambda p: T[:3, :3] @ p + T[:3, 3]  # noqa: E731
    # Not exact: voxels and Adam's steps follow the world's axes, and a pixel is 4 mm wide here.
    np.testing.assert_allclose(to_world(here.region.action_point), there.region.action_point, atol=0.008)
    best = T @ here.grasps[0].T_world_gripper
    distances = [np.linalg.norm(g.T_world_gripper[:3, 3] - best[:3, 3]) for g in there.grasps]
    assert min(distances) < 0.015


def test_the_same_seed_gives_the_same_file(capture, output, result, tmp_path):
    point2act.run(capture, tmp_path, config=QUICK)
    first, second = (read_grasps(folder / "grasps.json") for folder in (output, tmp_path))
    first.pop("created"), second.pop("created")
    assert first == second


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_finds_what_the_cpu_finds(capture, result, tmp_path):
    on_cuda = point2act.run(capture, tmp_path, config=dataclasses.replace(QUICK, device="cuda"))
    assert on_cuda.psnr == pytest.approx(result.psnr, abs=0.5)
    for one, other in zip(on_cuda.results, result.results, strict=True):
        assert one.reason == other.reason
        assert bool(one.grasps) == bool(other.grasps)
        if one.region.action_point is not None:
            np.testing.assert_allclose(one.region.action_point, other.region.action_point, atol=1e-3)
            assert one.region.confidence == pytest.approx(other.region.confidence, abs=0.01)


def test_without_points_there_is_a_scene(tmp_path):
    folder = write_capture(tmp_path / "capture", answers=False)
    result = point2act.run(folder, tmp_path / "out", config=QUICK)
    assert result.results == ()
    assert result.relevancy is None
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "scene.ply",
        "geometry.ply",
        "timings.json",
        "run.json",
    }


class Truthful:
    """Chooses the label nearest to the top of the red box."""

    name, concurrency = "truthful", 2

    def __init__(self, views):
        self.views, self.asked = {f"{view.name.removesuffix('.png')}.png": view for view in views}, []

    def select(self, question):
        view = self.views[question.image]
        top = project(view.camera, view.T_world_cam, RED[None])[0][0]
        away = {label: np.abs(np.median(p, axis=0) - top).max() for label, p in question.places.items()}
        self.asked.append(question)
        return MarkChoice(min(away, key=away.get), "")


def test_what_is_chosen_takes_the_place_of_what_was_pointed_at(capture, tmp_path):
    """The views that were asked have the mark_selector's points, which are kept beside the grasps."""
    views = synthetic.views(10, height=96, width=128)
    mark_selector = Truthful(views)
    point2act.run(capture, tmp_path, config=QUICK, mark_selector=mark_selector)
    assert mark_selector.asked
    points = read_points(tmp_path / "points.json")
    chosen = [answer for answer in points.answers if answer.model == "truthful"]
    assert chosen
    for answer in chosen:
        view = mark_selector.views[answer.image]
        top = project(view.camera, view.T_world_cam, RED[None])[0]
        assert np.abs(answer.points - top).max() < 25
    assert read_grasps(tmp_path / "grasps.json")["results"][0]["action_point"] is not None


def test_unknown_scale_is_reported_not_guessed(tmp_path):
    folder = write_capture(tmp_path, depth=False)
    build = dataclasses.replace(QUICK.build, fit=FitConfig(iterations=10))
    result = point2act.run(folder, config=RunConfig(build=build))
    assert "refine the poses" not in result.timings  # how far off they may be is in metres
    red = result.results[0]
    assert red.grasps == ()
    if red.region is not None:
        assert red.reason == "no_scale"
        assert "scale" in red.detail


def test_a_function_points_and_another_plans(capture):
    views = {view.name: view for view in synthetic.views(10, height=96, width=128)}
    images = {views[name].rgb.tobytes(): views[name] for name in views}
    planned = []

    def pointer(image, text):
        assert text == "the red box"
        view = images[image.tobytes()]
        return [tuple(project(view.camera, view.T_world_cam, RED[None])[0][0])]

    def planner(region, surface, gripper):
        planned.append((region, surface, gripper))
        T = np.eye(4)
        T[:3, 3] = region.action_point
        contacts = np.stack([region.action_point] * 2)
        return [Grasp(T, 0.03, 0.9, 1.0, 0.9, contacts, 0.01)]

    result = point2act.run(capture, queries=["the red box"], pointer=pointer, planner=planner, config=QUICK)
    (red,) = result.results
    assert result.points is not None
    assert len(result.points.answers) == 10
    assert np.linalg.norm(red.action_point - RED) < 0.02
    assert red.confidence == red.region.confidence > 0
    assert len(red.grasps) == 1
    np.testing.assert_array_equal(red.grasps[0].T_world_gripper[:3, 3], red.action_point)
    ((region, surface, gripper),) = planned
    assert region is red.region
    assert gripper.name == "panda"
    assert np.linalg.norm(surface.points - RED, axis=1).min() < 0.01
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1.0, atol=1e-6)
    on_top = np.linalg.norm(surface.points - RED, axis=1) < 0.015
    assert np.median(surface.normals[on_top, 2]) > 0.9


def test_queries_need_a_pointer(capture):
    for given in ({"queries": ["a mug"]}, {"pointer": lambda image, text: []}):
        with pytest.raises(PointsError, match="together"):
            point2act.run(capture, **given)


def test_every_eighth_view_is_held_out():
    views = synthetic.views(17, height=6, width=8)
    kept, held_out = split(views, 8)
    assert [v.name for v in held_out] == ["images/0004.png", "images/0012.png"]
    assert len(kept) == 15
    assert split(views[:8], 8) == (list(views[:8]), [])
    assert split(views, 0) == (list(views), [])


def test_depth_that_the_scene_contradicts_is_left_out(result, capture):
    """One view measures everything 5 cm too near: the Gaussians, a consensus of ten, do not confirm it."""
    source = read_capture(capture)
    views = list(load_views(source))
    views[3] = dataclasses.replace(views[3], depth=views[3].depth - np.float32(0.05))
    fixed = freeze(result.scene)
    surfaces = [render_surface(project_view(view, fixed)) for view in views]
    depths = confirmed_depths(views, surfaces, agreement=0.02)
    kept = [np.mean(depth > 0) for depth in depths]
    assert kept[3] < 0.1
    assert min(kept[:3] + kept[4:]) > 0.7
