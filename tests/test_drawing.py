from __future__ import annotations

import numpy as np
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.geometry import project
from point2act.core.types import Camera, Grasp, OrientedBox
from point2act.grasping.grippers import Boxes, Gripper
from point2act.visualization import drawing
from point2act.visualization.drawing.canvas import Canvas
from point2act.visualization.drawing.wireframe import Cuboid, far_to_near

RED = (230, 40, 40)
CAMERA = Camera(150.0, 140.0, 83.0, 57.0, 120, 160)
GRIPPER = Gripper(
    name="test",
    max_width=0.08,
    pad_size=(0.02, 0.02),
    finger=Boxes.of(((0.0, 0.005, -0.01), (0.01, 0.005, 0.02))),
    body=Boxes.of(((0.0, 0.0, -0.06), (0.03, 0.09, 0.03))),
    max_force=40.0,
)
DOWN = np.array([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.05], [0.0, 0.0, 0.0, 1.0]])
POSE = synthetic.look_at(np.array([0.35, 0.1, 0.3]), np.array([0.0, 0.0, 0.05]))


def photograph(height: int = 120, width: int = 160) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(shade: int = 128) -> np.ndarray:
    return np.full((120, 160, 3), shade, dtype=np.uint8)


def grasp(T_world_gripper: np.ndarray = DOWN, width: float = 0.05, opening: float | None = None) -> Grasp:
    axis = T_world_gripper[:3, 1] * width / 2
    contacts = np.stack([T_world_gripper[:3, 3] - axis, T_world_gripper[:3, 3] + axis])
    return Grasp(T_world_gripper, width, 0.9, 0.9, 0.9, contacts, 0.01, approach_width=opening)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.abs(after.astype(int) - before).sum(axis=2)


def center_of_mass(weights: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[: weights.shape[0], : weights.shape[1]] + 0.5
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()


def turned_around(pose: np.ndarray) -> np.ndarray:
    return pose @ np.diag([-1.0, 1.0, -1.0, 1.0])


# ── maps ───────────────────────────────────────────────────────────────────────────────────────
def test_no_heat_leaves_the_photograph():
    rgb = photograph()
    np.testing.assert_array_equal(drawing.heat_overlay(rgb, np.zeros((120, 160))), rgb)


def test_more_heat_covers_more():
    rgb = flat(0)
    heat = np.tile(np.linspace(0, 1, 160), (120, 1))
    brightness = drawing.heat_overlay(rgb, heat).sum(axis=2)[0]
    assert (np.diff(brightness.astype(int)) >= -1).all()
    assert brightness[-1] > 400


def test_heat_outside_its_range_is_clipped():
    rgb = photograph()
    hot = drawing.heat_overlay(rgb, np.full((120, 160), 7.0))
    np.testing.assert_array_equal(hot, drawing.heat_overlay(rgb, np.ones((120, 160))))


def test_relevancy_is_coloured_and_the_rest_is_grey():
    relevancy = np.zeros((120, 160))
    relevancy[:40] = 1.0
    picture = drawing.relevancy_picture(photograph(), relevancy).astype(int)
    spread = picture.max(axis=2) - picture.min(axis=2)
    assert (spread[:40] > 80).all()
    assert (spread[40:80] == 0).all()  # below that lies the scale


def test_depth_is_ordered_and_holes_are_grey():
    depth = np.tile(np.linspace(0.4, 0.9, 160, dtype=np.float32), (120, 1))
    depth[:, 60:70] = 0.0
    top = drawing.depth_picture(depth)[0].astype(int)
    assert top[5, 0] > top[5, 2] + 60, "near is red"
    assert top[150, 2] > top[150, 0] + 60, "far is blue"
    assert len(np.unique(top[60:70], axis=0)) == 1
    assert (np.ptp(top[60:70], axis=1) < 15).all()


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_depth_without_any_reading_is_flat(value: float):
    picture = drawing.depth_picture(np.full((120, 160), value))
    assert picture.shape == (120, 160, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 1


def test_depth_all_the_same_has_a_picture():
    assert drawing.depth_picture(np.full((120, 160), 0.5)).shape == (120, 160, 3)


def test_maps_of_tiny_pictures_have_no_scale():
    picture = drawing.relevancy_picture(photograph(9, 12), np.zeros((9, 12)))
    assert (np.ptp(picture.astype(int), axis=2) == 0).all()


# ── marks ──────────────────────────────────────────────────────────────────────────────────────
@given(x=st.floats(20, 140), y=st.floats(20, 100))
def test_points_are_drawn_where_they_are(x: float, y: float):
    image = flat()
    weights = changed(image, drawing.draw_points(image, np.array([[x, y]]), RED))
    np.testing.assert_allclose(center_of_mass(weights), [x, y], atol=0.5)
    assert weights.max() > 200


def test_points_outside_the_image_and_no_points():
    image = photograph()
    np.testing.assert_array_equal(drawing.draw_points(image, np.zeros((0, 2)), RED), image)
    np.testing.assert_array_equal(drawing.draw_points(image, np.array([[900.0, -300.0]]), RED), image)


class WholeCanvas(Canvas):
    """The slow twin: as large as the image, whatever is drawn."""

    def _extent(self) -> tuple[int, int, int, int]:
        return 0, 0, self._image.shape[1], self._image.shape[0]


@given(st.floats(-60, 220), st.floats(-60, 180), st.floats(0.5, 40), st.sampled_from(["la", "rs", "mm"]))
def test_a_sheet_is_large_enough_for_what_is_drawn(x: float, y: float, size: float, anchor: str):
    pictures = []
    for kind in (Canvas, WholeCanvas):
        canvas, pixel = kind(photograph()), np.array([x, y])
        canvas.line(
            pixel + size * np.array([[0.0, 0.0], [1.0, 0.4], [-0.3, 0.2]]), RED, size / 5, opacity=0.6
        )
        canvas.polygon(pixel + size * np.array([[0.0, 0.0], [0.0, -1.0], [-0.5, 0.5]]), (0, 90, 200))
        canvas.ring(pixel, size / 3, (255, 255, 255), size / 9)
        canvas.disc(pixel + size, size / 4, RED)
        canvas.text(pixel, "gap 3", (255, 255, 255), size=8 + size / 4, anchor=anchor)
        pictures.append(canvas.merged(opacity=0.8))
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1


def test_an_empty_sheet_leaves_the_photograph():
    np.testing.assert_array_equal(Canvas(photograph()).merged(), photograph())


def test_a_caption_stays_in_the_upper_left():
    image = flat(0)
    weights = changed(image, drawing.caption(image, "view 3"))
    assert weights[:30, :80].sum() > 0
    assert weights[30:].sum() == 0


def test_a_grid_shows_every_picture_whole():
    images = [flat(shade)[: 60 + shade // 4] for shade in (10, 60, 110, 160, 210)]
    page = drawing.grid(images, 3)
    for image in images:
        assert (page == image[0, 0]).all(axis=2).sum() == image.shape[0] * image.shape[1]
    assert page.shape[1] > 3 * 160
    assert page.shape[1] < 4 * 160


def test_a_grid_refuses_what_it_cannot_lay_out():
    with pytest.raises(ValueError, match="at least one picture"):
        drawing.grid([], 2)
    with pytest.raises(ValueError, match="1 labels for 2 pictures"):
        drawing.grid([flat(), flat()], 2, ["one"])


# ── solids ─────────────────────────────────────────────────────────────────────────────────────
def test_the_gripper_is_drawn_inside_its_outline():
    image = flat()
    weights = changed(image, drawing.draw_gripper(image, CAMERA, POSE, grasp(), GRIPPER, RED))
    reach = np.array([0.03, 0.09, 0.09])
    corners = (np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T * reach) @ DOWN[:3, :3].T + DOWN[:3, 3]
    pixels, _ = project(CAMERA, POSE, corners)
    rows, columns = np.nonzero(weights)
    assert (columns + 0.5 > pixels[:, 0].min() - 2).all()
    assert (columns + 0.5 < pixels[:, 0].max() + 2).all()
    assert (rows + 0.5 < pixels[:, 1].max() + 2).all()
    assert len(rows) > 500


def test_fingers_stand_at_the_opening():
    # The palm far away, so that what is seen about the contacts is fingers.
    fingers = Gripper(
        "fingers", 0.08, (0.02, 0.02), GRIPPER.finger, Boxes.of(((0.0, 0.0, -5.0), (0.01, 0.01, 0.01))), 40.0
    )
    image = flat(0)
    pose = synthetic.look_at(np.array([0.0, 0.4, 0.05]), np.array([0.0, 0.0, 0.05]))  # along the pads
    for width, checked in ((0.02, None), (0.05, None), (0.08, None), (0.02, 0.05), (0.02, 0.2)):
        held = grasp(width=width, opening=checked)
        drawn = drawing.draw_gripper(image, CAMERA, pose, held, fingers, RED, opacity=1.0)
        opening = min(checked or width, fingers.max_width)
        middles = DOWN[:3, 3] + np.outer([-1, 1], DOWN[:3, 1]) * (opening / 2 + 0.005)
        pixels, _ = project(CAMERA, pose, middles)
        for column, row in pixels.astype(int):
            assert drawn[row, column, 0] > 80, f"no finger at opening {opening}"
        ((column, row),) = project(CAMERA, pose, DOWN[None, :3, 3])[0].astype(int)
        assert drawn[row, column].sum() == 0, "nothing between the fingers"


def test_the_picture_does_not_depend_on_the_world():
    turn = np.eye(4)
    turn[:3, :3] = synthetic.look_at(np.array([1.0, 2.0, 0.5]), np.zeros(3))[:3, :3]
    turn[:3, 3] = [0.3, -2.0, 0.7]
    image = photograph()
    here = drawing.draw_gripper(image, CAMERA, POSE, grasp(), GRIPPER, RED)
    there = drawing.draw_gripper(image, CAMERA, turn @ POSE, grasp(turn @ DOWN), GRIPPER, RED)
    assert (changed(here, there) > 12).mean() < 1e-3  # rounding may move an edge by one sample


def test_what_is_behind_the_camera_is_not_drawn():
    image, away = photograph(), turned_around(POSE)
    box = OrientedBox(np.zeros(3), np.eye(3), np.full(3, 0.03))
    np.testing.assert_array_equal(drawing.draw_gripper(image, CAMERA, away, grasp(), GRIPPER, RED), image)
    np.testing.assert_array_equal(drawing.draw_box(image, CAMERA, away, box, RED), image)
    np.testing.assert_array_equal(drawing.draw_marker(image, CAMERA, away, np.zeros(3), RED), image)


def test_a_box_around_the_camera_is_cut_at_the_near_plane():
    box = OrientedBox(POSE[:3, 3], np.eye(3), np.full(3, 0.2))
    assert drawing.draw_box(photograph(), CAMERA, POSE, box, RED).shape == (120, 160, 3)
    around = POSE.copy()
    drawn = drawing.draw_gripper(photograph(), CAMERA, POSE, grasp(around), GRIPPER, RED)
    assert drawn.shape == (120, 160, 3)


def test_a_boxs_corners_are_drawn_where_they_project():
    axes = synthetic.look_at(np.array([1.0, 0.4, 0.3]), np.zeros(3))[:3, :3].T
    box = OrientedBox(np.array([0.0, 0.0, 0.05]), axes, np.array([0.03, 0.05, 0.02]))
    image = flat()
    weights = changed(image, drawing.draw_box(image, CAMERA, POSE, box, RED))
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    pixels, _ = project(CAMERA, POSE, box.center + (signs * box.half_extents) @ box.axes)
    for column, row in pixels.astype(int):
        assert weights[row - 1 : row + 2, column - 1 : column + 2].max() > 30


@given(x=st.floats(-0.1, 0.1), y=st.floats(-0.1, 0.1))
def test_markers_are_drawn_where_they_project(x: float, y: float):
    image, point = flat(), np.array([x, y, 0.02])
    weights = changed(image, drawing.draw_marker(image, CAMERA, POSE, point, RED))
    np.testing.assert_allclose(center_of_mass(weights), project(CAMERA, POSE, point[None])[0][0], atol=0.5)


def test_a_label_is_written_beside_its_marker():
    image, point = flat(), np.array([0.0, 0.0, 0.02])
    bare = drawing.draw_marker(image, CAMERA, POSE, point, RED)
    weights = changed(bare, drawing.draw_marker(image, CAMERA, POSE, point, RED, label="0.31"))
    assert center_of_mass(weights)[0] > project(CAMERA, POSE, point[None])[0][0, 0] + 5


def entry(cuboid: Cuboid, eye: np.ndarray, along: np.ndarray) -> float:
    """How far along a ray a box is met; infinite where it is missed."""
    a, b = (cuboid.low - eye) / along, (cuboid.high - eye) / along
    enter, leave = np.minimum(a, b).max(), np.maximum(a, b).min()
    return float(enter) if 0 < enter < leave else np.inf


@given(seed=st.integers(0, 10_000))
def test_the_painters_order_is_that_of_rays(seed: int):
    rng = np.random.default_rng(seed)
    # Boxes in separate columns over the floor, as fingers and a palm are, of any height.
    cells = rng.permutation([(i, j) for i in range(3) for j in range(3)])[:5]
    cuboids = []
    for cell in cells:
        low = np.array([*(cell + rng.uniform(0, 0.4, 2)), rng.uniform(-1, 1)])
        high = np.array([*(cell + rng.uniform(0.5, 1.0, 2)), low[2] + rng.uniform(0.2, 2)])
        cuboids.append(Cuboid(low, high))
    eye = np.array([*rng.uniform(-6, 9, 2), rng.uniform(3.5, 8)])
    order = far_to_near(cuboids, eye)
    assert {id(c) for c in order} == {id(c) for c in cuboids}
    for target in rng.uniform([0, 0, -1], [3, 3, 2], (60, 3)):
        met = [entry(cuboid, eye, target - eye) for cuboid in order]
        seen = [k for k, distance in enumerate(met) if np.isfinite(distance)]
        if seen:
            assert met[seen[-1]] == min(met), "the last painted is the nearest"


def test_a_close_up_keeps_things_where_they_project():
    point = np.array([0.03, -0.02, 0.05])
    image = flat(0)
    (column, row), *_ = project(CAMERA, POSE, point[None])[0].astype(int)
    image[row - 1 : row + 2, column - 1 : column + 2] = 255
    near, camera = drawing.close_up(image, CAMERA, POSE, np.zeros(3), radius=0.12, width=400)
    assert near.shape == (camera.height, camera.width, 3) == (300, 400, 3)
    assert camera.fx > 1.5 * CAMERA.fx
    expected, _ = project(camera, POSE, point[None])
    magnification = camera.fx / CAMERA.fx
    found = center_of_mass(near.astype(float).sum(axis=2))
    np.testing.assert_allclose(found, expected[0], atol=magnification)  # the dot lies on whole pixels


@pytest.mark.parametrize("radius", [0.01, 0.1, 50.0])
def test_a_close_up_stays_inside_the_image(radius: float):
    edge = np.array([-0.4, 0.5, 0.0])
    near, camera = drawing.close_up(photograph(), CAMERA, POSE, edge, radius=radius, width=200)
    assert near.shape == (150, 200, 3)
    assert camera.fx >= 200 / 160 * CAMERA.fx - 1e-9


def test_no_image_is_changed():
    image = photograph()
    before, ones = image.copy(), np.ones((120, 160))
    box = OrientedBox(np.zeros(3), np.eye(3), np.full(3, 0.03))
    drawn = [
        drawing.heat_overlay(image, ones),
        drawing.relevancy_picture(image, ones),
        drawing.draw_points(image, np.array([[80.0, 60.0]]), RED),
        drawing.caption(image, "words"),
        drawing.draw_gripper(image, CAMERA, POSE, grasp(), GRIPPER, RED),
        drawing.draw_box(image, CAMERA, POSE, box, RED),
        drawing.draw_marker(image, CAMERA, POSE, np.zeros(3), RED, label="a"),
    ]
    np.testing.assert_array_equal(image, before)
    assert all(changed(image, other).any() for other in drawn), "and every one shows something"
    depth = np.random.default_rng(1).uniform(0, 1, (120, 160))
    kept = depth.copy()
    drawing.depth_picture(depth)
    np.testing.assert_array_equal(depth, kept)
