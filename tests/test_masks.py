"""Masks in a session: what is segmented, and what becomes of the region and the relevancy."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic
from scipy.ndimage import label
from small_run import QUICK, RED
from tiny_models import save_sam2

import point2act
from point2act.cli.main import main
from point2act.core.errors import ModelError
from point2act.core.geometry import project
from point2act.core.types import Answer, PointSet, Query
from point2act.data.points import PERSON
from point2act.grasping.grasps_json import read_grasps

# Reds, greens and blues of the shaded boxes differ by more, and the shades of one box by less.
_ALIKE = 0.2


def grow(image, positive, negative):
    """The pixels around the point that have its hue."""
    shares = image / np.maximum(image.sum(axis=2, keepdims=True, dtype=float), 1)
    column, row = positive[0].astype(int)
    alike = np.abs(shares - shares[row, column]).sum(axis=2) < _ALIKE
    pieces, _ = label(alike)
    mask = pieces == pieces[row, column]
    return mask[None], np.array([0.9])


@pytest.fixture(scope="module")
def plain(small_run):
    return point2act.open_run(small_run.output)


@pytest.fixture(scope="module")
def asked():
    """The prompts that the session's segmenter got, as images and points."""
    return []


@pytest.fixture(scope="module")
def session(small_run, asked):
    def segmenter(image, positive, negative):
        asked.append((image, positive, negative))
        return grow(image, positive, negative)

    return point2act.open_run(small_run.output, segmenter=segmenter)


@pytest.fixture(scope="module")
def points(small_run, session):
    return point2act.read_points(small_run.capture / "points.json", session.capture)


@pytest.fixture(scope="module")
def both(plain, session, points):
    """The localization of the red box by points alone, and with masks."""
    return plain.localize(points)[0], session.localize(points)[0]


def on_red(scene) -> np.ndarray:
    block = synthetic.TABLETOP[0]
    away = np.abs(scene.means - block.center) - np.array(block.half_extents)
    return (away < 0.004).all(axis=1) & (scene.means[:, 2] > 0.01) & (scene.opacities > 0.1)


def overlap(found, truth) -> float:
    return (found & truth).sum() / (found | truth).sum()


def test_the_region_ends_where_the_masks_do(both, session):
    alone, masked = both
    truth, solid = on_red(session.scene), session.scene.opacities > 0.1
    assert overlap(masked.extent & solid, truth) > 0.8
    assert overlap(masked.extent & solid, truth) >= overlap(alone.extent & solid, truth)
    away = np.abs(masked.region.action_point - RED)
    assert (away < [0.03, 0.04, 0.1]).all()
    np.testing.assert_allclose(2 * masked.region.box.half_extents.max(), 0.1, atol=0.03)


def test_masks_make_nothing_surer(both):
    alone, masked = both
    assert masked.region.confidence == pytest.approx(alone.region.confidence)
    assert masked.relevancy.max() <= alone.relevancy.max() + 1e-9
    assert len(masked.rivals) <= len(alone.rivals)
    rivals = {round(region.confidence, 9) for region in alone.rivals}
    assert {round(region.confidence, 9) for region in masked.rivals} <= rivals


def test_what_is_relevant_is_the_extent(both):
    masked = both[1]
    likely = masked.relevancy > 0.5 * masked.region.confidence
    assert overlap(likely, masked.extent) > 0.95


def test_the_segmenter_sees_few_views_and_a_pixel_on_the_box_in_each(both, asked, session):
    shown = [image.tobytes() for image, _, _ in asked]
    assert 2 <= len(set(shown)) <= 5
    for image, positive, negative in asked:
        assert positive.shape == (1, 2)
        assert negative.shape == (0, 2)
        column, row = positive[0].astype(int)
        red, green, blue = image[row, column].astype(int)
        assert red > 1.5 * max(green, blue)


def test_nothing_is_segmented_for_what_is_in_no_view(both, asked):
    """The unicorn was localized with the red box."""
    for image, positive, _ in asked:
        column, row = positive[0].astype(int)
        assert image[row, column, 0] > image[row, column, 1]


def test_a_click_is_the_prompt(session, points, asked):
    view = session.views[3]
    click = project(view.camera, view.T_world_cam, RED[None])[0] + [[3.0, 1.0]]
    clicked = PointSet((Query("box", "box"),), (Answer(view.name, "box", click, model=PERSON),))
    before = len(asked)
    session.localize(clicked)
    here = [positive for image, positive, _ in asked[before:] if np.array_equal(image, view.rgb)]
    assert len(here) == 1
    np.testing.assert_allclose(here[0], click, atol=1e-9)


def test_a_segmenter_that_finds_nothing_changes_nothing(small_run, points, both):
    def nothing(image, positive, negative):
        return np.zeros((0, *image.shape[:2])), np.zeros(0)

    session = point2act.open_run(small_run.output, segmenter=nothing)
    found = session.localize(points)[0]
    np.testing.assert_array_equal(found.relevancy, both[0].relevancy)
    np.testing.assert_array_equal(found.extent, both[0].extent)
    np.testing.assert_array_equal(found.region.action_point, both[0].region.action_point)


def test_a_segmenter_s_mistake_is_reported(small_run, points):
    session = point2act.open_run(small_run.output, segmenter=lambda *_: (np.ones((1, 2, 2)), [1.0]))
    with pytest.raises(ModelError, match=r"return both as arrays"):
        session.localize(points)


def test_a_run_takes_a_segmenter(small_run, both):
    result = point2act.run(small_run.capture, segmenter=grow, config=QUICK)
    masked = both[1]
    assert result.results[0].confidence == pytest.approx(masked.region.confidence, abs=0.02)
    assert overlap(result.relevancy.values[:, 0] > 0.5, masked.relevancy > 0.5) > 0.95


def test_one_image_takes_a_segmenter():
    view = synthetic.views(8, height=240, width=320)[1]
    K = view.camera.K - [[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]]
    (pixel,), _ = project(view.camera, view.T_world_cam, RED[None])
    calls = []

    def segmenter(image, positive, negative):
        calls.append((image.shape, positive))
        return grow(image, positive, negative)

    found = point2act.grasp_image(
        view.rgb,
        view.depth,
        K,
        points={"box": tuple(pixel)},
        segmenter=segmenter,
        planner=lambda *_: (),
    )
    assert [shape for shape, _ in calls] == [(240, 320, 3)]
    np.testing.assert_allclose(calls[0][1][0], pixel, atol=1e-6)
    relevancy = found.session.relevancy("box")
    relevant = found.session.scene.means[relevancy > 0.5 * relevancy.max()]
    inside = np.abs(relevant @ view.T_world_cam[:3, :3].T + view.T_world_cam[:3, 3] - [0, 0, 0.05])
    assert len(relevant) > 200
    assert (inside < [0.035, 0.045, 0.055]).all(axis=1).mean() > 0.95


# ── the command line ───────────────────────────────────────────────────────────────────────────
def test_a_folder_with_sam2_is_named_on_the_command_line(small_run, tmp_path, capsys):
    folder, output = save_sam2(tmp_path / "sam2"), tmp_path / "grasps.json"
    file = tmp_path / "options.toml"
    file.write_text(f'[masks]\npath = "{folder}"\ncache = "{tmp_path / "cache"}"\n')
    line = ["grasp", "--load-config", str(small_run.output), "--output", str(output), "--no-report"]
    main([*line, "--config", str(file), "--mask-evidence.views", "2"])
    assert len(read_grasps(output)["results"]) == 2
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 2


@pytest.mark.parametrize("command", ["run", "grasp", "view", "grasp-image"])
def test_a_wrong_folder_is_reported_before_any_work(command, small_run, tmp_path, capsys):
    lines = {
        "run": ["run", str(small_run.capture), "--output", str(tmp_path / "out")],
        "grasp": ["grasp", "--load-config", str(small_run.output)],
        "view": ["view", str(small_run.output)],
        "grasp-image": ["grasp-image", "a.png", "b.png", "--intrinsics", "1,1,1,1", "--point", "1,1"],
    }
    with pytest.raises(SystemExit) as stopped:
        main([*lines[command], "--masks.path", str(tmp_path / "nowhere")])
    assert stopped.value.code == 2
    assert "--masks.path names one with SAM 2 in it" in " ".join(capsys.readouterr().err.split())
