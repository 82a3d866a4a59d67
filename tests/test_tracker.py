"""Things followed through frames with known motions: moved, hidden, lost and found again."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from moving_boxes import BLUE, CAMERA, EYE, RED, Box, box, frame, pixel_of, top
from scipy.ndimage import gaussian_filter
from synthetic import look_at

from point2act.acting import Thing, Track, Tracker, thing_at
from point2act.acting.tracking.features import matched_motion
from point2act.acting.tracking.frame import TrackedFrame, optical_flow
from point2act.acting.tracking.search import places_of_colors
from point2act.acting.tracking.surface import Tolerances, compare, shaded
from point2act.acting.tracking.thing import thing_of
from point2act.core.errors import PointsError
from point2act.core.geometry import invert, project, transform_points
from point2act.core.types import View
from point2act.localization.segmentation import segment_view

NOISE = 0.001
"""Standard deviation of depth, metres."""


@pytest.fixture(scope="module")
def first() -> View:
    return frame(RED, BLUE, noise=NOISE)


@pytest.fixture(scope="module")
def red(first: View) -> Thing:
    return thing_at(first, pixel_of(top(RED)), "red")


def truth(now: Box, T_world_cam: np.ndarray = EYE) -> np.ndarray:
    """``T_cam_thing`` of the red box at another pose, seen from another camera."""
    return invert(T_world_cam) @ now.T_world_box @ invert(RED.T_world_box) @ EYE


def error(track: Track, red: Thing, now: Box, T_world_cam: np.ndarray = EYE) -> float:
    """Distance of the reported middle from the true one, metres."""
    return float(np.linalg.norm(track.position - transform_points(truth(now, T_world_cam), red.middle)))


# ── what is tracked ─────────────────────────────────────────────────────────────────────────────
def test_a_click_means_the_whole_box_and_nothing_else(red: Thing):
    """Its points, mapped into the box, lie on its surface; most of what is seen of it is taken."""
    inside = transform_points(invert(RED.T_world_box) @ EYE, red.surface.points)
    beyond = (np.abs(inside) - RED.half_extents).max(axis=1)
    assert np.abs(beyond).max() < 0.008
    assert np.ptp(inside, axis=0) == pytest.approx(2 * np.array(RED.half_extents), abs=0.012)


def test_its_colors_are_those_of_the_pixels(red: Thing, first: View):
    pixels, _ = project(first.camera, np.eye(4), red.surface.points)
    column, row = pixels.astype(int).T
    np.testing.assert_array_equal(red.surface.colors, first.rgb[row, column])


def test_the_middle_lies_on_the_ray_of_the_click_inside_the_box(red: Thing, first: View):
    (pixel,), _ = project(first.camera, np.eye(4), red.middle[None])
    np.testing.assert_allclose(pixel, pixel_of(top(RED)), atol=0.5)
    inside = transform_points(invert(RED.T_world_box) @ EYE, red.middle)
    assert (np.abs(inside) < RED.half_extents).all()


def test_a_place_on_the_table_is_a_patch(first: View):
    found = thing_at(first, pixel_of(np.array([-0.02, -0.12, 0.0])))
    assert np.ptp(found.surface.points, axis=0).max() < 0.06


def test_known_parts_give_the_same_thing(first: View, red: Thing):
    again = thing_at(first, pixel_of(top(RED)), "red", segment_view(first))
    np.testing.assert_array_equal(again.surface.points, red.surface.points)


@pytest.mark.parametrize(
    ("pixel", "message"), [((400.0, 20.0), "outside the image"), ((-1.0, 3.0), "outside the image")]
)
def test_a_click_outside_is_an_error(first: View, pixel: tuple[float, float], message: str):
    with pytest.raises(PointsError, match=message):
        thing_at(first, pixel)


def test_a_click_without_depth_is_an_error(first: View):
    assert first.depth is not None
    blind = replace(first, depth=np.where(np.arange(320) < 200, first.depth, 0).astype(np.float32))
    with pytest.raises(PointsError, match="no depth"):
        thing_at(blind, (300.0, 120.0))


# ── motion ──────────────────────────────────────────────────────────────────────────────────────
def test_flow_is_the_motion_of_the_picture(first: View):
    """A camera that is shifted along its x axis: everything moves by f t / z."""
    aside = EYE.copy()
    aside[:3, 3] += EYE[:3, 0] * 0.01
    assert first.depth is not None
    flow = optical_flow(TrackedFrame.of(first), TrackedFrame.of(frame(RED, BLUE, T_world_cam=aside)))
    expected = -first.camera.fx * 0.01 / first.depth
    inner = np.s_[40:200, 40:280]
    assert np.median(np.abs(flow.motion[..., 0] - expected)[inner]) < 0.5
    assert np.median(np.abs(flow.motion[..., 1])[inner]) < 0.3
    assert flow.reliable[inner].mean() > 0.9


def test_the_first_frame_has_the_clicked_place(first: View, red: Thing):
    (track,) = Tracker(first, [red]).tracks
    assert track.state == "tracked"
    np.testing.assert_allclose(track.pixel, pixel_of(top(RED)), atol=0.5)
    np.testing.assert_allclose(track.T_cam_thing, np.eye(4))


def test_a_box_that_is_pushed_and_turned_is_followed(first: View, red: Thing):
    tracker = Tracker(first, [red])
    for step in range(1, 13):
        now = RED.moved((0.006 * step, -0.004 * step, 0.0), 3.0 * step)
        (track,) = tracker.update(frame(now, BLUE, noise=NOISE, seed=step))
        assert track.state == "tracked"
        assert error(track, red, now) < 0.006
    turned = track.T_cam_thing[:3, :3].T @ truth(now)[:3, :3]
    assert np.degrees(np.arccos((np.trace(turned) - 1) / 2)) < 6


def test_a_camera_that_moves_is_as_good(first: View, red: Thing):
    tracker = Tracker(first, [red])
    for step in range(1, 11):
        eye = np.array([0.30 - 0.012 * step, -0.10 + 0.01 * step, 0.40 - 0.008 * step])
        T_world_cam = look_at(eye, np.array([0.0, 0.0, 0.03]))
        (track,) = tracker.update(frame(RED, BLUE, T_world_cam=T_world_cam, noise=NOISE, seed=step))
        assert track.state == "tracked"
        assert error(track, red, RED, T_world_cam) < 0.006


def test_two_things_move_apart(first: View, red: Thing):
    blue = thing_at(first, pixel_of(top(BLUE)), "blue")
    tracker = Tracker(first, [red, blue])
    for step in range(1, 9):
        now = RED.moved((0.0, -0.008 * step, 0.0))
        one, other = tracker.update(frame(now, BLUE.moved((0.0, 0.006 * step, 0.0)), noise=NOISE, seed=step))
    assert (one.name, other.name) == ("red", "blue")
    assert error(one, red, now) < 0.006
    np.testing.assert_allclose(other.position - blue.middle, EYE[:3, :3].T @ [0, 0.048, 0], atol=0.006)


def test_larger_images_are_reduced_and_pixels_are_those_of_the_given_view(red: Thing, first: View):
    camera = first.camera
    double = replace(
        camera,
        **{name: 4 * getattr(camera, name) for name in ("fx", "fy", "cx", "cy", "height", "width")},
    )
    view = frame(RED, BLUE, camera=double, noise=NOISE)
    thing = thing_at(view, pixel_of(top(RED), double))
    tracker = Tracker(view, [thing])
    (track,) = tracker.update(frame(RED.moved((0, 0.01, 0)), BLUE, camera=double, noise=NOISE, seed=1))
    there = pixel_of(top(RED.moved((0, 0.01, 0))), double)
    assert np.linalg.norm(track.pixel - there) < 16


# ── far apart ───────────────────────────────────────────────────────────────────────────────────
def wall(shift: int = 0) -> TrackedFrame:
    """A wall with a texture half a metre in front of the camera, which the camera sees shifted, pixels."""
    rng = np.random.default_rng(0)
    texture = gaussian_filter(rng.uniform(0, 255, (240, 420)), 2)
    texture = (255 * (texture - texture.min()) / np.ptp(texture)).astype(np.uint8)
    image = np.repeat(texture[:, 50 + shift : 370 + shift, None], 3, axis=2)
    return TrackedFrame(CAMERA, image, np.full((240, 320), 0.5))


def test_matched_features_give_the_motion():
    """The picture moves 40 pixels to the left: the wall, f t / z."""
    everywhere = np.ones((240, 320), dtype=bool)
    T = matched_motion(wall(), wall(40), everywhere)
    assert T is not None
    np.testing.assert_allclose(T[:3, :3], np.eye(3), atol=0.01)
    np.testing.assert_allclose(T[:3, 3], [-40 * 0.5 / CAMERA.fx, 0, 0], atol=0.004)


def test_bare_walls_have_no_motion():
    gray = TrackedFrame(CAMERA, np.full((240, 320, 3), 120, np.uint8), np.full((240, 320), 0.5))
    assert matched_motion(gray, gray, np.ones((240, 320), dtype=bool)) is None
    assert matched_motion(wall(), wall(40), np.zeros((240, 320), dtype=bool)) is None


def test_places_are_sought_where_the_colors_are(first: View, red: Thing):
    now = RED.moved((0.0, -0.09, 0.0))
    seen = TrackedFrame.of(frame(now, BLUE))
    places = transform_points(EYE, places_of_colors(seen, red.surface, 30))
    assert np.linalg.norm(np.median(places, axis=0) - now.T_world_box[:3, 3]) < 0.05
    bare = replace(seen, depth=np.zeros_like(seen.depth))
    assert len(places_of_colors(bare, red.surface, 30)) == 0


def test_points_agree_with_the_frame_that_they_are_from(first: View, red: Thing):
    """And neither a little nearer, with another colour, nor behind something."""
    seen, surface = TrackedFrame.of(first), red.surface
    none = np.zeros(len(surface.points), dtype=bool)
    assert compare(surface.points, surface.lab, seen, Tolerances()).agree.mean() > 0.95
    greener = surface.lab + np.array([0.0, -40.0, 0.0])
    nearer = compare(0.9 * surface.points, surface.lab, seen, Tolerances())
    np.testing.assert_array_equal(nearer.agree, none)
    np.testing.assert_array_equal(compare(surface.points, greener, seen, Tolerances()).agree, none)
    behind = compare(1.1 * surface.points, surface.lab, seen, Tolerances())
    assert behind.hidden.all()
    assert not behind.agree.any()


@pytest.mark.parametrize(
    ("light", "in_shadow"), [(0.95, True), (0.5, True), (0.2, True), (0.05, False), (1.5, False)]
)
def test_a_shadow_takes_light_and_keeps_the_hue(first: View, red: Thing, light: float, in_shadow: bool):
    seen = cv2.cvtColor(first.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    linear = cv2.cvtColor(seen, cv2.COLOR_LAB2LRGB) * np.float32(light)
    dark = cv2.cvtColor(cv2.cvtColor(linear, cv2.COLOR_LRGB2LAB), cv2.COLOR_LAB2RGB)
    there = TrackedFrame.of(replace(first, rgb=np.round(255 * dark.clip(0, 1)).astype(np.uint8)))
    surface = red.surface
    found = shaded(surface.points, surface.lab, there, Tolerances())
    assert (found.mean() > 0.9) == in_shadow
    green = surface.lab * [1.0, -1.0, 1.0]
    assert not shaded(surface.points, green, there, Tolerances()).any()


def test_what_a_shadow_falls_on_is_not_sought_elsewhere(first: View, red: Thing):
    """Another red box stands in the light."""
    tracker = Tracker(first, [red])
    other = RED.moved((-0.02, -0.11, 0.0))
    center = project(CAMERA, EYE, top(RED)[None])[0][0]
    rows, columns = np.indices((240, 320))
    shadow = np.where(np.hypot(columns - center[0], rows - center[1]) < 60, 0.4, 1.0)[..., None]
    for seed in range(3):
        now = frame(RED, other, noise=NOISE, seed=seed)
        (track,) = tracker.update(replace(now, rgb=(shadow * now.rgb).astype(np.uint8)))
        assert error(track, red, RED) < 0.004
        assert track.state == "tracked" or track.may_stay
    (track,) = tracker.update(frame(RED, other, noise=NOISE, seed=4))
    assert track.state == "tracked"
    assert error(track, red, RED) < 0.004


# ── lost and found ──────────────────────────────────────────────────────────────────────────────
def covered(view: View) -> View:
    assert view.depth is not None
    return replace(view, rgb=np.zeros_like(view.rgb), depth=np.zeros_like(view.depth))


def test_a_covered_camera_loses_all_and_finds_it_again_where_it_was(first: View, red: Thing):
    tracker = Tracker(first, [red])
    for _ in range(5):
        (track,) = tracker.update(covered(first))
        assert track.state == "lost"
        assert error(track, red, RED) < 0.001
    (track,) = tracker.update(frame(RED, BLUE, noise=NOISE, seed=1))
    assert track.state == "tracked"
    assert error(track, red, RED) < 0.006


def test_what_was_moved_meanwhile_is_found_by_its_color(first: View, red: Thing):
    tracker = Tracker(first, [red])
    tracker.update(covered(first))
    now = RED.moved((-0.02, -0.11, 0.0), 20.0)
    for seed in range(3):
        (track,) = tracker.update(frame(now, BLUE, noise=NOISE, seed=seed))
    assert track.state == "tracked"
    assert error(track, red, now) < 0.012


def test_what_is_taken_away_is_lost_and_not_taken_for_something_else(first: View, red: Thing):
    tracker = Tracker(first, [red])
    for seed in range(4):
        (track,) = tracker.update(frame(BLUE, noise=NOISE, seed=seed))
        assert track.state == "lost"


def test_what_is_hidden_is_lost_and_comes_back(first: View, red: Thing):
    """A gray box between the camera and the thing."""
    wall = box(0.16, -0.05, (0.02, 0.16, 0.24), (0.4, 0.4, 0.4))
    tracker = Tracker(first, [red])
    (track,) = tracker.update(frame(RED, BLUE, wall, noise=NOISE))
    assert track.state == "lost"
    (track,) = tracker.update(frame(RED, BLUE, noise=NOISE, seed=1))
    assert track.state == "tracked"
    assert error(track, red, RED) < 0.006


def stained(now: Box) -> Box:
    """A sheet that covers a good half of a box's top and of one side."""
    sheet = box(0.0, 0.0, (0.034, 0.072, 0.062), (0.25, 0.6, 0.3))
    T = now.T_world_box.copy()
    T[:3, 3] += T[:3, :3] @ np.array([0.03, 0.0, 0.0])
    return replace(sheet, T_world_box=T)


@pytest.mark.parametrize("at", ["it", "table", "nothing"])
def test_what_has_changed_is_found_again_where_someone_points_at_it(first: View, red: Thing, at: str):
    now = RED.moved((-0.02, -0.11, 0.0), 20.0)
    places = {"it": top(now), "table": np.array([0.12, 0.02, 0.0])}
    pointed = {"red": transform_points(invert(EYE), places[at][None])} if at in places else {}
    tracker = Tracker(first, [red])
    tracker.update(covered(first))
    for seed in range(2):
        (track,) = tracker.update(frame(now, stained(now), BLUE, noise=NOISE, seed=seed), pointed)
    assert track.state == ("tracked" if at == "it" else "lost")
    if at == "it":
        assert error(track, red, now) < 0.02


def test_another_thing_is_followed_under_a_name(first: View, red: Thing):
    tracker = Tracker(first, [red])
    blue = thing_at(first, pixel_of(top(BLUE)), "red")
    tracker.restart("red", blue)
    moved = BLUE.moved((0.01, 0.0, 0.0))
    (track,) = tracker.update(frame(moved, noise=NOISE))
    assert track.state == "tracked"
    assert np.linalg.norm(transform_points(EYE, track.position - blue.middle) - EYE[:3, 3]) < 0.02
    tracker.restart("red", None)
    assert tracker.update(first) == ()


def test_half_hidden_is_tracked(first: View, red: Thing):
    half = box(0.13, -0.085, (0.02, 0.08, 0.16), (0.4, 0.4, 0.4))
    tracker = Tracker(first, [red])
    for step in range(1, 5):
        now = RED.moved((0.0, 0.004 * step, 0.0))
        (track,) = tracker.update(frame(now, BLUE, half, noise=NOISE, seed=step))
        assert track.state == "tracked"
        assert error(track, red, now) < 0.008


@pytest.mark.parametrize(("way", "possible"), [(0.0, True), (0.001, True), (0.03, False), (0.06, False)])
def test_a_thing_may_be_where_the_frame_shows_it_as_well(first: View, red: Thing, way: float, possible: bool):
    """3 cm is half of its width."""
    tracker = Tracker(first, [red])
    tracker.update(frame(RED, BLUE, noise=NOISE, seed=1))
    assert tracker.may_be_at("red", truth(RED.moved((0.0, way, 0.0)))) == possible


def test_a_thing_may_be_where_something_hides_it(first: View, red: Thing):
    tracker = Tracker(first, [red])
    tracker.update(covered(first))
    near = np.full(first.rgb.shape[:2], 0.1, np.float32)
    tracker.update(replace(first, depth=near))
    assert tracker.may_be_at("red", truth(RED))


def test_the_same_frames_give_the_same_tracks(first: View, red: Thing):
    frames = [frame(RED.moved((0.0, 0.005 * step, 0.0)), BLUE, noise=NOISE, seed=step) for step in (1, 2)]
    one, other = Tracker(first, [red]), Tracker(first, [red])
    for view in frames:
        (a,), (b,) = one.update(view), other.update(view)
        np.testing.assert_array_equal(a.T_cam_thing, b.T_cam_thing)


def test_a_thing_of_known_surface_is_all_of_it_however_flat():
    """As low as a mat: the table's segmentation takes it for the table."""
    coaster = box(0.02, 0.0, (0.1, 0.09, 0.003), (0.3, 0.35, 0.6))
    view = frame(coaster)
    x, y = np.meshgrid(np.linspace(-0.048, 0.048, 21), np.linspace(-0.043, 0.043, 19))
    on_top = np.stack([x.ravel(), y.ravel(), np.full(x.size, 0.0015)], axis=1)
    points = transform_points(view.T_cam_world @ coaster.T_world_box, on_top)
    thing = thing_of(view, points, pixel_of(top(coaster)), "coaster")
    flat = transform_points(view.T_world_cam, thing.surface.points)[:, :2] - [0.02, 0.0]
    np.testing.assert_allclose(np.abs(flat).max(axis=0), [0.05, 0.045], atol=0.006)
    patch = thing_at(view, pixel_of(top(coaster)), "patch")
    assert len(patch.surface.points) < len(thing.surface.points) / 2
