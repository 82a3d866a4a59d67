"""Laws of rigid transforms and the pinhole camera."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.core.geometry import (
    at_pixels,
    back_project,
    cross_matrix,
    frame_from_axes,
    frame_from_normal,
    fundamental_matrix,
    inside,
    invert,
    line_intersection_equations,
    nearest_rotation,
    opengl_to_opencv,
    pixel_centers,
    project,
    quaternion_to_matrix,
    share_of_directions,
    transform,
    transform_points,
)
from point2act.core.types import Camera

CAMERA = Camera(500.0, 510.0, 310.0, 250.0, 480, 640)


def random_pose(rng: np.random.Generator) -> np.ndarray:
    T_a_b = np.eye(4)
    T_a_b[:3, :3] = Rotation.random(random_state=rng.integers(2**31)).as_matrix()
    T_a_b[:3, 3] = rng.normal(size=3)
    return T_a_b


seeds = st.integers(0, 2**31).map(np.random.default_rng)


@given(seeds)
def test_invert_undoes_a_transform(rng: np.random.Generator):
    T_a_b, points = random_pose(rng), rng.normal(size=(7, 3))
    back = transform_points(invert(T_a_b), transform_points(T_a_b, points))
    np.testing.assert_allclose(back, points, atol=1e-12)
    np.testing.assert_allclose(invert(T_a_b), np.linalg.inv(T_a_b), atol=1e-12)


def test_a_transform_has_the_axes_and_the_origin_of_its_frame():
    R, t = Rotation.from_euler("xyz", (0.3, -1.0, 2.0)).as_matrix(), np.array([1.0, -2.0, 3.0])
    T = transform(R, t)
    np.testing.assert_allclose(transform_points(T, np.vstack([np.zeros(3), np.eye(3)])), [t, *(R.T + t)])
    assert T[3].tolist() == [0, 0, 0, 1]


@given(seeds)
def test_transforms_compose(rng: np.random.Generator):
    T_a_b, T_b_c, points = random_pose(rng), random_pose(rng), rng.normal(size=(2, 5, 3))
    one = transform_points(T_a_b @ T_b_c, points)
    np.testing.assert_allclose(one, transform_points(T_a_b, transform_points(T_b_c, points)), atol=1e-12)


@given(seeds)
def test_back_project_undoes_project(rng: np.random.Generator):
    T_world_cam = random_pose(rng)
    pixels = rng.uniform([0, 0], [640, 480], size=(9, 2))
    depth = rng.uniform(0.1, 5.0, size=9)
    points = back_project(CAMERA, T_world_cam, pixels, depth)
    seen, z = project(CAMERA, T_world_cam, points)
    np.testing.assert_allclose(seen, pixels, atol=1e-8)
    np.testing.assert_allclose(z, depth, atol=1e-10)


@given(seeds)
def test_projection_does_not_care_for_the_world_frame(rng: np.random.Generator):
    T_world_cam, T_other_world, points = random_pose(rng), random_pose(rng), rng.normal(size=(6, 3))
    here = project(CAMERA, T_world_cam, points)
    there = project(CAMERA, T_other_world @ T_world_cam, transform_points(T_other_world, points))
    np.testing.assert_allclose(here[1], there[1], atol=1e-12)
    front = here[1] > 0.05
    np.testing.assert_allclose(here[0][front], there[0][front], atol=1e-6)


def test_projection_is_the_intrinsic_matrix():
    points = np.array([[0.1, -0.2, 2.0], [0.0, 0.0, 1.0]])
    homogeneous = points @ CAMERA.K.T
    np.testing.assert_allclose(
        project(CAMERA, np.eye(4), points)[0], homogeneous[:, :2] / homogeneous[:, 2:], atol=1e-12
    )


def test_points_in_the_camera_plane_stay_finite():
    pixels, depth = project(CAMERA, np.eye(4), np.array([[0.0, 0, 0], [1.0, 1, 0], [0.0, 0, -1]]))
    assert np.isfinite(pixels).all()
    assert (depth <= 0).all()


def test_opengl_cameras_view_along_minus_z():
    T_world_glcam = np.eye(4)
    T_world_cam = opengl_to_opencv(T_world_glcam)
    ahead = transform_points(T_world_cam, np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    np.testing.assert_array_equal(ahead, [[0, 0, -1], [0, -1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(opengl_to_opencv(T_world_cam), T_world_glcam)


def test_pixel_centers_are_at_halves_and_inside():
    centers = pixel_centers(3, 4)
    np.testing.assert_array_equal(centers[2, 1], [1.5, 2.5])
    small = Camera(1.0, 1.0, 0.0, 0.0, 3, 4)
    assert inside(small, centers.reshape(-1, 2)).all()
    border = np.array([[0.0, 0.0], [4.0, 1.0], [1.0, 3.0], [-1e-9, 1.0], [np.nan, 1.0]])
    np.testing.assert_array_equal(inside(small, border), [True, False, False, False, False])


@given(seeds)
def test_quaternions_agree_with_scipy(rng: np.random.Generator):
    quats = rng.normal(size=(6, 4)) * rng.uniform(0.1, 10, size=(6, 1))
    expected = Rotation.from_quat(quats[:, [1, 2, 3, 0]]).as_matrix()
    np.testing.assert_allclose(quaternion_to_matrix(quats), expected, atol=1e-12)
    np.testing.assert_allclose(quaternion_to_matrix(-quats), expected, atol=1e-12)


@given(seeds)
def test_frames_are_rotations_that_keep_the_normal(rng: np.random.Generator):
    normals = rng.normal(size=(8, 3))
    normals = np.concatenate(
        [normals / np.linalg.norm(normals, axis=1, keepdims=True), np.eye(3), -np.eye(3)]
    )
    frames = frame_from_normal(normals)
    np.testing.assert_allclose(frames.transpose(0, 2, 1) @ frames, np.tile(np.eye(3), (14, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(frames), 1.0, atol=1e-12)
    np.testing.assert_allclose(frames[:, :, 2], normals, atol=1e-12)


@given(seeds, st.floats(0, 0.3))
def test_nearest_rotation_is_a_rotation_and_no_other_is_nearer(rng: np.random.Generator, noise: float):
    matrix = random_pose(rng)[:3, :3] + noise * rng.normal(size=(3, 3))
    found = nearest_rotation(matrix)
    np.testing.assert_allclose(found.T @ found, np.eye(3), atol=1e-12)
    assert np.linalg.det(found) == pytest.approx(1.0)
    nudges = Rotation.from_rotvec(rng.normal(size=(20, 3)) * 0.05).as_matrix()
    others = np.linalg.norm(nudges @ found - matrix, axis=(1, 2))
    assert np.linalg.norm(found - matrix) <= others.min() + 1e-12


def test_nearest_rotation_keeps_rotations_and_undoes_mirrors():
    rotation = random_pose(np.random.default_rng(0))[:3, :3]
    np.testing.assert_allclose(nearest_rotation(rotation), rotation, atol=1e-12)
    assert np.linalg.det(nearest_rotation(np.diag([1.0, 1.0, -1.0]))) == pytest.approx(1.0)


@given(seeds)
def test_the_pixels_of_one_point_satisfy_the_epipolar_constraint(rng: np.random.Generator):
    other = Camera(300.0, 290.0, 330.0, 200.0, 400, 600)
    T_world_a, T_world_b = random_pose(rng), random_pose(rng)
    F_b_a = fundamental_matrix(invert(T_world_b) @ T_world_a, CAMERA.K, other.K)
    points = rng.normal(size=(20, 3))
    a, b = (
        np.pad(project(camera, T, points)[0], ((0, 0), (0, 1)), constant_values=1.0)
        for camera, T in ((CAMERA, T_world_a), (other, T_world_b))
    )
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) * np.linalg.norm(F_b_a)
    assert (np.abs(((b @ F_b_a) * a).sum(axis=1)) < 1e-12 * size).all()
    # Another point's do not.
    assert (np.abs(((b @ F_b_a) * np.roll(a, 1, axis=0)).sum(axis=1)) > 1e-9 * size).any()
    back = fundamental_matrix(invert(T_world_a) @ T_world_b, other.K, CAMERA.K)
    np.testing.assert_allclose(
        back / np.linalg.norm(back), F_b_a.T / np.linalg.norm(F_b_a), atol=1e-9, rtol=1e-6
    )


def test_two_cameras_in_one_place_have_no_epipolar_lines():
    turned = random_pose(np.random.default_rng(0))
    turned[:3, 3] = 0.0
    assert not fundamental_matrix(turned, CAMERA.K, CAMERA.K).any()


@given(seeds)
def test_a_cross_matrix_is_a_cross_product(rng: np.random.Generator):
    v, w = rng.normal(size=(2, 3))
    np.testing.assert_allclose(cross_matrix(v) @ w, np.cross(v, w), atol=1e-12)


@given(seeds)
def test_lines_through_a_point_are_nearest_to_it(rng: np.random.Generator):
    point, ways = rng.normal(size=3), rng.normal(size=(4, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    eyes = point + rng.normal(size=(4, 1)) * ways
    np.testing.assert_allclose(np.linalg.solve(*line_intersection_equations(eyes, ways)), point, atol=1e-6)
    # Lines that miss one another: no step away from the point is nearer to them.
    eyes = eyes + rng.normal(size=(4, 3))
    best = np.linalg.solve(*line_intersection_equations(eyes, ways))
    around = best + 1e-2 * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    away = around[:, None] - eyes
    misses = ((away - (away * ways).sum(axis=2, keepdims=True) * ways) ** 2).sum(axis=(1, 2))
    assert misses.argmin() == 0


def test_parallel_lines_have_no_nearest_point():
    way = np.array([0.6, 0.0, 0.8])
    matrix, right = line_intersection_equations(np.eye(3), np.stack([way, way, -way]))
    np.testing.assert_allclose(matrix @ way, 0.0, atol=1e-15)
    np.testing.assert_allclose(right @ way, 0.0, atol=1e-15)


@given(seeds)
def test_a_frame_has_the_axes_that_were_asked_for(rng: np.random.Generator):
    origin, z, x = rng.normal(size=(3, 3))
    z = z / np.linalg.norm(z)
    T = frame_from_axes(origin, z, x)
    np.testing.assert_allclose(T[:3, :3].T @ T[:3, :3], np.eye(3), atol=1e-9)
    assert np.linalg.det(T[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_array_equal(T[:3, 2:].T, [z, origin])
    # The given x lies between the frame's x and z.
    assert T[:3, 0] @ x > 0
    assert T[:3, 1] @ x == pytest.approx(0.0, abs=1e-9)


def test_values_are_those_of_the_pixel_around_a_place():
    image = np.arange(12).reshape(3, 4)
    centers = pixel_centers(3, 4).reshape(-1, 2)
    for shift in (-0.5, 0.0, 0.49):
        np.testing.assert_array_equal(at_pixels(image, centers + shift), image.ravel())
    outside = np.array([[-7.0, -0.1], [9.0, 1.5], [1.5, 3.0]])
    np.testing.assert_array_equal(at_pixels(image, outside), [0, 7, 9])
    np.testing.assert_array_equal(at_pixels(np.dstack([image, -image]), outside), [[0, 0], [7, -7], [9, -9]])
    assert at_pixels(image, np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize(("number", "share"), [(0, 0.0), (1, 0.25), (2, 0.5), (4, 1.0), (40, 1.0)])
def test_points_all_around_are_in_all_directions(number: int, share: float):
    angles = 0.1 + 2 * np.pi * np.arange(number) / max(number, 4)
    offsets = 0.03 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert share_of_directions(offsets, 4) == share
