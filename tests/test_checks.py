"""What the check finds in spoilt captures, and that it is silent about good ones."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from benchmarks.check import faults
from point2act.calibration.checks import Evidence, Finding, run_checks
from point2act.calibration.checks.coverage import check_coverage, scene_center
from point2act.calibration.checks.depths import check_depths, depth_scale, relative_errors
from point2act.calibration.checks.epipolar import check_poses, epipolar_distances
from point2act.calibration.checks.findings import merge_evidence
from point2act.calibration.checks.image_quality import check_image_quality, sharpness
from point2act.calibration.checks.matches import Matched, match_views, sampson
from point2act.calibration.checks.registration import best_registration, check_registration
from point2act.core.geometry import project
from point2act.core.types import View
from point2act.data.capture import load_views, read_capture

COUNT = synthetic.TEXTURED


@cache
def matched() -> Matched:
    """Their matches; no pose has a say in them, so that spoilt poses have the same."""
    return match_views(synthetic.textured())


def spoilt(spoil: faults.Inject, seed: int = 0) -> tuple[list[View], tuple[str, ...]]:
    return spoil(list(synthetic.textured()), np.random.default_rng(seed))


def codes(evidence: Evidence) -> list[str]:
    return [finding.code for finding in evidence.findings]


# ── the whole ──────────────────────────────────────────────────────────────────────────────────
def test_a_good_capture_has_no_warnings_and_says_what_is_fine():
    steps = []
    report = run_checks(synthetic.textured(), progress=lambda done, total: steps.append((done, total)))
    assert [finding for finding in report.findings if finding.severity != "remark"] == []
    assert report.exit_code == 0
    assert len(report.fine) >= 4
    assert steps == [(k + 1, COUNT + 4) for k in range(COUNT + 4)]


def test_the_same_views_give_the_same_report():
    views = synthetic.textured()[:4]
    assert run_checks(views).document() == run_checks(views).document()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("depth", [True, False])
def test_few_small_plain_views_get_a_report(count: int, depth: bool):
    views = [view if depth else replace(view, depth=None) for view in synthetic.views(count)]
    report = run_checks(views)
    assert {"too_few_views"} <= {finding.code for finding in report.findings}
    json.dumps(report.document(), allow_nan=False)


@pytest.mark.parametrize("size", [(1, 1), (8, 9), (48, 64)])
def test_views_of_nothing_get_a_report(size: tuple[int, int]):
    empty = np.zeros(size, np.float32)
    views = [
        View(
            view.name,
            synthetic.pinhole(*size),
            view.T_world_cam,
            np.zeros((*size, 3), np.uint8),
            empty,
            empty > 0,
        )
        for view in synthetic.views(6)
    ]
    report = run_checks(views)
    assert {"dark", "depth_empty", "few_matches"} <= {finding.code for finding in report.findings}
    json.dumps(report.document(), allow_nan=False)


def test_another_size_is_reported():
    views = list(synthetic.textured()[:6])
    small = synthetic.views(1)[0]
    views.append(replace(small, name="other", T_world_cam=views[0].T_world_cam))
    found = [finding for finding in run_checks(views).findings if finding.code == "sizes"]
    assert [finding.images for finding in found] == [("other",)]


def test_the_worst_comes_first_and_decides_the_exit_code():
    remark, warning, error = (Finding(s, s, "a: b") for s in ("remark", "warning", "error"))
    assert [
        f.severity for f in merge_evidence([Evidence((remark, error)), Evidence((warning,))]).findings
    ] == [
        "error",
        "warning",
        "remark",
    ]
    assert merge_evidence([Evidence((remark, warning))]).exit_code == 1
    assert merge_evidence([Evidence((remark,))]).exit_code == 0
    assert merge_evidence([Evidence((error,))]).exit_code == 2


# ── epipolar ───────────────────────────────────────────────────────────────────────────────────
def test_projections_of_points_lie_on_epipolar_lines():
    a, b = synthetic.textured()[:2]
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (50, 3))
    pixels = [project(view.camera, view.T_world_cam, points)[0] for view in (a, b)]
    pair = replace(matched().pairs[0], pixels_i=pixels[0], pixels_j=pixels[1])
    assert epipolar_distances(pair, a, b).max() < 1e-6


@given(st.integers(0, 1000), st.floats(0.1, 1.5), st.floats(0.01, 100.0))
def test_sampson_is_the_way_to_the_nearest_exact_match(seed: int, off: float, scale: float):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    F = turn @ np.diag([1.0, 0.8, 0.0]) @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
    F = np.diag([0.01, 0.01, 1.0]) @ F @ np.diag([0.01, 0.01, 1.0])
    a = rng.uniform(-100, 100, 2)
    line = F @ [*a, 1.0]
    normal = line[:2] / np.linalg.norm(line[:2])
    b = -line[2] / np.linalg.norm(line[:2]) * normal + off * normal
    nearest = minimize(
        lambda q: ((q - [*a, *b]) ** 2).sum(),
        [*a, *(b - off * normal)],
        constraints={"type": "eq", "fun": lambda q: 1e2 * np.array([*q[2:], 1]) @ F @ np.array([*q[:2], 1])},
        options={"ftol": 1e-12},
    )
    if not nearest.success or np.linalg.norm(line[:2]) < 1e-3:
        return
    first_order = sampson(scale * F, a[None], b[None])[0]
    assert first_order == pytest.approx(sampson(F, a[None], b[None])[0], rel=1e-6)
    assert first_order == pytest.approx(np.sqrt(nearest.fun), rel=0.15, abs=0.02)


def test_poses_are_reported_to_fit_where_they_do():
    evidence = check_poses(synthetic.textured(), matched())
    assert codes(evidence) == []
    assert (evidence.figures["epipolar_px"] or 9.9) < 0.4


def test_repeated_texture_makes_whole_pairs_match_wrongly_and_raises_no_alarm():
    views = synthetic.textured((0.006,))
    seen = match_views(views)
    misses = [np.median(epipolar_distances(pair, views[pair.i], views[pair.j])) for pair in seen.pairs]
    assert max(misses) > 5
    assert codes(check_poses(views, seen)) == []


@pytest.mark.parametrize(
    ("shift", "turn", "severity"), [(0.001, 0.22, "remark"), (0.003, 0.6, "warning"), (0.02, 4.0, "error")]
)
def test_poses_that_are_all_off_are_found_by_degree(shift: float, turn: float, severity: str):
    views, _ = spoilt(partial(faults.poses_off, shift=shift, turn=turn))
    (finding,) = check_poses(views, matched()).findings
    assert (finding.code, finding.severity) == ("poses_off", severity)


@pytest.mark.parametrize("seed", range(4))
def test_one_wrong_pose_is_named_and_no_other(seed: int):
    views, at_fault = spoilt(partial(faults.one_off, shift=0.03), seed)
    (finding,) = check_poses(views, matched()).findings
    assert finding.code == "pose_off_alone"
    assert finding.images == at_fault


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("flipped", [False, True])
def test_poses_of_another_convention_are_recognised(inverted: bool, flipped: bool):
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    written = []
    for view in synthetic.textured():
        opengl = view.T_world_cam @ (np.eye(4) if flipped else flip)
        opengl = np.linalg.inv(opengl) if inverted else opengl
        written.append(replace(view, T_world_cam=opengl @ flip))
    found = check_poses(written, matched()).findings
    assert [finding.code for finding in found] == (["pose_convention"] if inverted or flipped else [])


@pytest.mark.parametrize("factor", [0.93, 1.07])
def test_a_wrong_focal_length_is_measured(factor: float):
    views, _ = spoilt(partial(faults.zoomed, factor=factor))
    (finding,) = check_poses(views, matched()).findings
    assert finding.code == "focal_length"
    assert finding.value == pytest.approx(1 / factor, abs=0.02)
    assert ("too long" in finding.message) == (factor > 1)


def test_what_hangs_on_the_camera_is_reported_and_set_aside():
    sticker = np.random.default_rng(5).integers(0, 255, (70, 240, 3), dtype=np.uint8)
    views = []
    for view in synthetic.textured():
        rgb = view.rgb.copy()
        rgb[:70] = np.asarray(sticker)
        views.append(replace(view, rgb=rgb))
    seen = match_views(views)
    assert seen.static > 0.05
    evidence = check_poses(views, seen)
    assert "carried_along" in codes(evidence)
    assert "poses_off" not in codes(evidence)


# ── depth ──────────────────────────────────────────────────────────────────────────────────────
def test_depth_that_agrees_is_fine():
    evidence = check_depths(synthetic.textured(), matched(), poses_fit=True)
    assert codes(evidence) == []
    assert evidence.figures["depth_scale"] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("factor", [0.001, 0.1, 0.5, 2.0, 10.0, 1000.0])
def test_a_wrong_unit_is_measured(factor: float):
    views, _ = spoilt(partial(faults.depth_scaled, factor=factor))
    assert depth_scale(views, matched()) == pytest.approx(factor, rel=0.02)
    (finding,) = check_depths(views, matched(), poses_fit=True).findings
    assert (finding.code, finding.severity) == ("depth_scale", "error")


@pytest.mark.parametrize("seed", range(3))
def test_swapped_depths_are_named(seed: int):
    views, at_fault = spoilt(faults.depth_swapped, seed)
    (finding,) = check_depths(views, matched(), poses_fit=True).findings
    assert finding.code == "depth_of_other_view"
    assert set(finding.images) == set(at_fault)


def test_empty_depth_is_named_and_no_depth_is_a_remark():
    views = list(synthetic.textured())
    views[2] = replace(views[2], depth=np.zeros_like(views[2].depth))
    (finding,) = check_depths(views, matched(), poses_fit=True).findings
    assert (finding.code, finding.images) == ("depth_empty", (views[2].name,))
    none = [replace(view, depth=None) for view in views]
    assert codes(check_depths(none, matched(), poses_fit=True)) == ["no_depth"]


def test_depth_carried_to_its_own_view_is_the_same():
    view = synthetic.textured()[0]
    assert np.abs(relative_errors(view, view)).max() < 1e-5


# ── registration ───────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("way", [(0, 0), (0, 4), (-5, 0), (9, -12)])
def test_the_shift_of_depth_against_colour_is_found(way: tuple[int, int]):
    views = [replace(view, depth=faults._rolled(view.depth, way)) for view in synthetic.textured()]
    found = best_registration(views)
    assert found.sure
    assert np.abs([found.y + way[0], found.x + way[1]]).max() <= 1
    assert bool(check_registration(views).findings) == (way != (0, 0))


def test_depth_of_another_focal_length_is_measured():
    views = [replace(view, depth=_enlarged(faults._depth(view), 1.25)) for view in synthetic.textured()]
    evidence = check_registration(views)
    assert codes(evidence) == ["registration"]
    assert evidence.figures["registration_zoom"] == pytest.approx(1 / 1.25, rel=0.04)


def test_depth_of_other_views_gets_no_verdict():
    views = synthetic.textured()
    mixed = [replace(view, depth=views[(i + 5) % COUNT].depth) for i, view in enumerate(views)]
    evidence = check_registration(mixed)
    assert codes(evidence) == []
    assert evidence.fine is None


def _enlarged(depth: np.ndarray, zoom: float) -> np.ndarray:
    """About the image's centre, to the nearest pixel."""
    places = []
    for side in depth.shape:
        at = (np.arange(side) + 0.5 - side / 2) / zoom + side / 2 - 0.5
        places.append(np.clip(np.round(at).astype(int), 0, side - 1))
    return depth[places[0][:, None], places[1]]


# ── pictures ───────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (partial(faults.blurred, sigma=2.5), "blur"),
        (partial(faults.shaken, length=13), "blur"),
        (partial(faults.exposed, gain=1.5), "exposure"),
        (partial(faults.exposed, gain=0.6), "exposure"),
        (faults.doubled, "duplicate"),
        (faults.copied, "same_picture_other_pose"),
    ],
)
def test_bad_pictures_are_named(spoil: faults.Inject, code: str):
    views, at_fault = spoilt(spoil)
    findings = {finding.code: finding for finding in check_image_quality(views, match_views(views)).findings}
    assert set(findings) == {code}
    assert set(at_fault) <= set(findings[code].images)
    assert len(findings[code].images) <= max(2, len(at_fault))


@given(st.floats(0.5, 1.0), st.integers(0, COUNT - 1))
def test_light_changes_no_sharpness(gain: float, index: int):
    view = synthetic.textured()[index]
    dim = replace(view, rgb=np.round(gain * view.rgb).astype(np.uint8))
    assert sharpness(dim) == pytest.approx(sharpness(view), rel=0.03)


def test_dark_and_white_pictures_are_remarked_upon():
    views = list(synthetic.textured()[:5])
    views[0] = replace(views[0], rgb=views[0].rgb // 16)
    views[1] = replace(views[1], rgb=255 - views[1].rgb // 16)
    found = {f.code: f.images for f in check_image_quality(views, Matched((), 0, 0.0)).findings}
    assert found["dark"] == (views[0].name,)
    assert found["bright"] == (views[1].name,)


# ── coverage ───────────────────────────────────────────────────────────────────────────────────
def test_the_place_looked_at_is_where_the_axes_meet():
    views = synthetic.views(8)
    center = scene_center(views)
    assert center is not None
    assert np.abs(center - [0.0, 0.0, 0.03]).max() < 1e-9
    assert codes(check_coverage(synthetic.views(12))) == []


@pytest.mark.parametrize(("count", "code"), [(1, "too_few_views"), (4, "too_few_views"), (8, "few_views")])
def test_few_views_are_reported(count: int, code: str):
    assert code in codes(check_coverage(synthetic.views(count)))


def test_views_from_one_side_are_reported():
    poses = synthetic.orbit(400)[:12]
    views = [replace(view, T_world_cam=T) for view, T in zip(synthetic.views(12), poses, strict=True)]
    assert "narrow" in codes(check_coverage(views))


def test_cameras_in_one_place_are_an_error():
    views = synthetic.views(12)
    still = [_at(view, np.array([0.1, 0.2, 0.5])) for view in views]
    assert codes(check_coverage(still)) == ["one_place"]


def test_parallel_cameras_look_at_the_middle_of_their_depth():
    first = synthetic.views(1)[0]
    eyes = first.T_world_cam[:3, 3] + np.arange(12)[:, None] * [0.01, 0.0, 0.0]
    row = [replace(_at(first, eye), name=str(k)) for k, eye in enumerate(eyes)]
    center = scene_center(row)
    assert center is not None
    assert np.linalg.norm(center - np.median(eyes, axis=0)) == pytest.approx(
        np.median(faults._depth(first)), rel=1e-6
    )
    assert scene_center([replace(view, depth=None) for view in row]) is None


def test_a_lonely_camera_and_one_that_faces_away_are_named():
    views = list(synthetic.views(24))
    far = views[3].T_world_cam.copy()
    far[:3, 3] -= 2.0 * far[:3, 2]
    views[3] = replace(views[3], T_world_cam=far)
    away = views[7].T_world_cam @ np.diag([-1.0, 1.0, -1.0, 1.0])
    views[7] = replace(views[7], T_world_cam=away)
    found = {finding.code: finding.images for finding in check_coverage(views).findings}
    assert found["lonely"] == (views[3].name,)
    assert found["faces_away"] == (views[7].name,)


def _at(view: View, eye: np.ndarray) -> View:
    T = view.T_world_cam.copy()
    T[:3, 3] = eye
    return replace(view, T_world_cam=T)


# ── real captures ──────────────────────────────────────────────────────────────────────────────
@pytest.mark.slow
def test_the_shelf_has_a_gripper_in_its_pictures_and_depth_that_is_not_registered(shared_data: Path):
    views = load_views(read_capture(shared_data / "apc_shelf"), max_side=320)
    found = {finding.code: finding for finding in run_checks(views).findings}
    assert {"carried_along", "registration"} <= set(found)
    # Seen with the eye: a box 103 pixels wide is 133 wide in the depth.
    assert "0.7" in found["registration"].message
    assert not set(found) & {"blur", "duplicate", "depth_of_other_view", "pose_off_alone", "depth_empty"}


def test_photographs_with_good_poses_have_no_warnings(shared_data: Path):
    capture = read_capture(shared_data / "fox")
    views = load_views(replace(capture, frames=capture.frames[::5]), max_side=320)
    report = run_checks(views)
    assert [finding.code for finding in report.findings if finding.severity != "remark"] == []
