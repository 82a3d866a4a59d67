from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from synthetic import TABLE_COLOR, TABLETOP, Block, orbit, pinhole

from point2act.core.geometry import project
from point2act.core.types import GaussianScene, View
from point2act.localization.likelihood import PartPosterior
from point2act.localization.part_tree import Parts
from point2act.localization.segmentation import Segmentation, SegmentationConfig, segment_scene
from point2act.splatting.gaussians import SH_DC, freeze
from point2act.splatting.rendering import project_view

BOXES = TABLETOP[:2]
SPACING = 0.008


def sheet(axis: int, level: float, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Points on an axis-aligned rectangle, evenly spaced."""
    ticks = [np.arange(a + SPACING / 2, b, SPACING) for a, b in zip(low, high, strict=True)]
    ticks[axis] = np.array([level])
    return np.stack(np.meshgrid(*ticks), axis=-1).reshape(-1, 3)


def faces(block: Block) -> np.ndarray:
    """Every face of a box but the one it stands on."""
    low = np.array(block.center) - block.half_extents
    high = np.array(block.center) + block.half_extents
    levels = [(axis, side[axis]) for axis in range(3) for side in (low, high)]
    return np.concatenate(
        [sheet(axis, level, low, high) for axis, level in levels if (axis, level) != (2, 0)]
    )


def scene_of(points: np.ndarray, colors: np.ndarray, opacity: float = 0.95) -> GaussianScene:
    count = len(points)
    return GaussianScene(
        points,
        np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)),
        np.full((count, 3), SPACING / 2),
        np.full(count, opacity),
        (colors[:, None] - 0.5) / SH_DC,
    )


def tabletop() -> tuple[GaussianScene, np.ndarray]:
    """Two boxes on a plane, and which one every Gaussian belongs to: -1 for the plane."""
    table = sheet(2, 0.0, np.array([-0.25, -0.25, 0.0]), np.array([0.25, 0.25, 0.0]))
    for block in BOXES:
        under = np.abs(table[:, :2] - block.center[:2]) < np.array(block.half_extents[:2]) - SPACING
        table = table[~under.all(axis=1)]
    pieces = [table, *(faces(block) for block in BOXES)]
    colors = [TABLE_COLOR, *(block.color for block in BOXES)]
    which = np.repeat(np.arange(len(pieces)) - 1, [len(piece) for piece in pieces])
    return scene_of(np.concatenate(pieces), np.array(colors)[which + 1]), which


def join(one: GaussianScene, other: GaussianScene) -> GaussianScene:
    names = [field.name for field in dataclasses.fields(GaussianScene)]
    return GaussianScene(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in names))


def seen_from(poses: list[np.ndarray]) -> list[View]:
    camera = pinhole(120, 160)
    blank = np.zeros((camera.height, camera.width, 3), np.uint8)
    return [View(f"{number}.png", camera, pose, blank) for number, pose in enumerate(poses)]


def segmentation(scene: GaussianScene, views: list[View], **changes) -> Segmentation:
    fixed = freeze(scene)
    projections = [project_view(view, fixed) for view in views]
    return segment_scene(scene, views, projections, config=SegmentationConfig(**changes))


def rows_of(points: np.ndarray, scene: GaussianScene) -> np.ndarray:
    """Which Gaussian every point is."""
    number = {row.tobytes(): index for index, row in enumerate(scene.means)}
    return np.array([number[row.tobytes()] for row in points], dtype=int)


VIEWS = seen_from(orbit(8))


@pytest.fixture(scope="module")
def found() -> tuple[Segmentation, GaussianScene, np.ndarray]:
    scene, which = tabletop()
    return segmentation(scene, VIEWS), scene, which


# ── ground and things ──────────────────────────────────────────────────────────────────────────
def test_the_plane_is_ground_and_the_boxes_are_things(found):
    hypothesis, scene, which = found
    parts = hypothesis.parts
    rows = rows_of(parts.points, scene)
    assert not parts.things[which[rows] < 0].any()
    high = parts.points[:, 2] > 2 * SPACING
    assert parts.things[high].all()
    assert high.sum() > 200


def test_each_box_is_a_part(found):
    hypothesis, scene, which = found
    parts = hypothesis.parts
    size = parts.end - parts.first
    for box in range(len(BOXES)):
        wanted = (which[rows_of(parts.points, scene)] == box) & parts.things
        common = parts.sums(wanted.astype(float))
        assert (common / (size + wanted.sum() - common)).max() > 0.9


def test_things_are_meant_rather_than_ground(found):
    parts = found[0].parts
    assert parts.prior.sum() == pytest.approx(1)
    on_things = parts.sums(parts.things.astype(float)) > 0
    assert parts.prior[on_things].sum() > parts.prior[~on_things].sum()


def test_a_plane_alone_is_all_ground():
    points = sheet(2, 0.0, np.array([-0.2, -0.2, 0.0]), np.array([0.2, 0.2, 0.0]))
    parts = segmentation(scene_of(points, np.full_like(points, 0.5)), VIEWS).parts
    assert len(parts) > 0
    assert not parts.things.any()


def test_the_top_of_a_large_box_is_no_ground():
    """It holds a tenth of the surface, but a part of this size is a thing."""
    block = Block((0.0, 0.0, 0.04), (0.1, 0.1, 0.04), (0.6, 0.5, 0.4))
    table = sheet(2, 0.0, np.array([-0.25, -0.25, 0.0]), np.array([0.25, 0.25, 0.0]))
    table = table[(np.abs(table[:, :2]) > 0.1).any(axis=1)]
    points = np.concatenate([table, faces(block)])
    parts = segmentation(scene_of(points, np.full_like(points, 0.5)), VIEWS).parts
    top = parts.points[:, 2] > 0.079
    assert top.mean() > 0.1
    assert parts.things[top].all()
    assert not parts.things[parts.points[:, 2] < 1e-3].any()


def test_it_does_not_matter_which_way_is_up_nor_how_long_a_metre_is(found):
    here, scene, which = found
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("xyz", [0.7, -0.4, 1.9]).as_matrix()
    T[:3, 3] = [0.3, -0.2, 0.6]
    turned = dataclasses.replace(
        scene, means=3 * (scene.means @ T[:3, :3].T + T[:3, 3]), scales=3 * scene.scales
    )
    far = np.ones((4, 4))
    far[:3, 3] = 3
    there = segmentation(turned, seen_from([(T @ view.T_world_cam) * far for view in VIEWS])).parts
    assert there.distance == pytest.approx(3 * here.parts.distance, rel=1e-2)
    rows = rows_of(there.points, turned)
    assert not there.things[which[rows] < 0].any()
    assert there.things[scene.means[rows, 2] > 2 * SPACING].all()


# ── what counts as surface ─────────────────────────────────────────────────────────────────────
def test_points_are_solid_gaussians_that_were_seen(found):
    _, scene, _ = found
    rng = np.random.default_rng(0)
    cloud, colors = rng.uniform(-0.1, 0.1, (200, 3)), rng.random((200, 3))
    haze = scene_of(cloud + np.array([0.0, 0.0, 0.15]), colors, opacity=0.01)
    overhead = scene_of(cloud + np.array([0.0, 0.0, 2.0]), colors)
    everything = join(join(scene, haze), overhead)
    parts = segmentation(everything, VIEWS).parts
    rows = rows_of(parts.points, everything)
    assert len(np.unique(rows)) == len(rows)
    assert rows.max() < len(scene)
    assert len(rows) > 0.8 * len(scene)


def test_what_is_solid_can_be_set(found):
    _, scene, _ = found
    faint = dataclasses.replace(scene, opacities=np.full(len(scene), 0.4))
    assert len(segmentation(faint, VIEWS, opacity=0.3).parts.points) > 0.8 * len(scene)
    assert len(segmentation(faint, VIEWS, opacity=0.5).parts.points) == 0


# ── what the views see ─────────────────────────────────────────────────────────────────────────
def test_the_distance_is_that_of_the_cameras(found):
    eyes = [np.linalg.norm(view.T_world_cam[:3, 3]) for view in VIEWS]
    assert found[0].parts.distance == pytest.approx(np.mean(eyes), rel=0.15)


def test_views_are_where_the_points_are(found):
    hypothesis, _, _ = found
    points, visibility = hypothesis.parts.points, hypothesis.visibility
    camera = VIEWS[0].camera
    for number in (0, 5):
        pixels, _ = project(camera, VIEWS[number].T_world_cam, points)
        tangents = (pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
        np.testing.assert_allclose(visibility.tangents[number], tangents, atol=1e-9)
    assert (visibility.area.sum(axis=1) <= visibility.image_area * (1 + 1e-6)).all()
    assert (visibility.area.sum(axis=1) > 0.5 * visibility.image_area).all()


def test_a_box_hides_what_is_behind_it(found):
    """The first camera visibility along -x: it sees a side that it faces, and not the opposite one."""
    hypothesis, _, _ = found
    points, area = hypothesis.parts.points, hypothesis.visibility.area[0]
    block = BOXES[0]
    near_side = block.center[0] + block.half_extents[0]
    inside = (
        (np.abs(points[:, 1]) < block.half_extents[1] / 2) & (points[:, 2] > 0.02) & (points[:, 2] < 0.08)
    )
    front = inside & (np.abs(points[:, 0] - near_side) < 1e-6)
    back = inside & (np.abs(points[:, 0] + near_side) < 1e-6)
    assert area[front].mean() > 5 * area[back].mean()
    # The opposite camera has it the other way round.
    assert hypothesis.visibility.area[4][back].mean() > 5 * hypothesis.visibility.area[4][front].mean()


# ── relevancy ──────────────────────────────────────────────────────────────────────────────────
def certain(parts: Parts, part: int, absent: float = 0.2) -> PartPosterior:
    """All that is not absence on one part."""
    probability = np.zeros(len(parts))
    probability[part] = 1 - absent
    return PartPosterior(probability, absent)


def test_the_relevancy_is_the_probability_of_the_parts_that_contain_a_gaussian(found):
    hypothesis, scene, _ = found
    part = int(np.argmax(hypothesis.parts.prior))
    values = hypothesis.relevancy(certain(hypothesis.parts, part))
    members = rows_of(hypothesis.parts.points[hypothesis.parts.members(part)], scene)
    np.testing.assert_allclose(values[members], 0.8)
    others = np.setdiff1d(rows_of(hypothesis.parts.points, scene), members)
    assert not values[others].any()


def test_faint_gaussians_follow_the_surface_beside_them_and_those_far_from_it_nothing(found):
    _, scene, _ = found
    near, far = scene.means[:1] + np.array([0.0, 0.0, 0.001]), scene.means[:1] + np.array([0.0, 0.0, 0.5])
    haze = GaussianScene(
        np.concatenate([near, far]),
        *(np.repeat(getattr(scene, name)[:1], 2, axis=0) for name in ("quats", "scales", "opacities", "sh")),
    )
    haze = dataclasses.replace(haze, opacities=np.full(2, 0.01))
    hypothesis = segmentation(join(scene, haze), VIEWS)
    whole = np.full(len(hypothesis.parts), 1 / len(hypothesis.parts))
    values = hypothesis.relevancy(PartPosterior(whole, 0.0))
    assert len(values) == len(scene) + 2
    nearest = np.linalg.norm(hypothesis.parts.points - near, axis=1).argmin()
    assert values[-2] == pytest.approx(hypothesis.parts.marginal(whole)[nearest])
    assert values[-1] == 0


# ── degenerate ─────────────────────────────────────────────────────────────────────────────────
def test_a_scene_with_nothing_solid_has_no_parts(found):
    _, scene, _ = found
    haze = dataclasses.replace(scene, opacities=np.full(len(scene), 0.01))
    hypothesis = segmentation(haze, VIEWS)
    assert len(hypothesis.parts) == 0
    assert hypothesis.visibility.part_area.shape == (len(VIEWS), 0)
    assert not hypothesis.relevancy(PartPosterior(np.zeros(0), 1.0)).any()


def test_a_scene_in_single_precision_is_the_same(found):
    hypothesis, scene, _ = found
    single = GaussianScene(
        *(getattr(scene, field.name).astype(np.float32) for field in dataclasses.fields(GaussianScene))
    )
    assert torch.equal(freeze(single).gaussians.means, freeze(scene).gaussians.means)
    parts = segmentation(single, VIEWS).parts
    assert len(parts.points) == len(hypothesis.parts.points)
    np.testing.assert_array_equal(parts.things, hypothesis.parts.things)
