"""The noise of depth cameras, estimated from images whose law is known."""

from __future__ import annotations

import numpy as np
import pytest

from point2act.core.types import View
from point2act.grasping.depth_noise import LAWS, DepthNoise, NoiseLaw, estimate_noise, flat_residuals
from point2act.physics.pictures import pinhole
from point2act.simulation.depth_sensors import SENSORS, read_depth

CAMERA = pinhole((480, 640), 600.0)
GREY = np.full((480, 640, 3), 120, np.uint8)
NO_PART = np.full((480, 640), -1)


def plane(z: float, slope: float = 0.0) -> np.ndarray:
    """Depth of a plane that is ``slope`` nearer per tangent of the angle to the right."""
    tangent = (np.arange(640) + 0.5 - CAMERA.cx) / CAMERA.fx
    return np.repeat((z / (1 + slope * tangent))[None], 480, axis=0)


def views_of(*depths: np.ndarray) -> list[View]:
    return [View(str(n), CAMERA, np.eye(4), GREY, depth) for n, depth in enumerate(depths)]


def simulated(name: str, *distances: float) -> list[View]:
    rng = np.random.default_rng(0)
    depths = [read_depth(plane(z, 0.5), GREY, NO_PART, CAMERA, SENSORS[name], rng) for z in distances]
    return views_of(*depths)


def estimated(views: list[View], **named) -> DepthNoise:
    return estimate_noise(views, [view.depth for view in views if view.depth is not None], **named)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("z", [0.5, 1.0, 2.0])
def test_the_noise_of_simulated_cameras_is_found(name, z):
    noise = estimated(simulated(name, z), sensor=name)
    sensor = SENSORS[name]
    errors = np.concatenate(
        [
            read_depth(plane(z), GREY, NO_PART, CAMERA, sensor, np.random.default_rng(seed)) - z
            for seed in range(2)
        ]
    )
    assert noise.sigma(z) == pytest.approx(errors.std(), rel=0.35)


@pytest.mark.parametrize("name", LAWS)
def test_the_kind_of_camera_is_recognised_by_how_its_noise_grows(name):
    noise = estimated(simulated(name, 0.5, 1.0, 1.5, 2.0, 2.5))
    assert (noise.sensor == "tof") == (name == "tof")
    assert noise.sigma(1.0) == pytest.approx(LAWS[name].sigma(1.0, CAMERA.fx), rel=0.35)


def test_twice_the_noise_is_twice_the_scale():
    rng = np.random.default_rng(0)
    noise = rng.normal(0.0, 0.002, (480, 640))
    once, twice = (
        estimated(views_of(*(plane(1.0) + factor * noise for _ in range(4))), sensor="tof").scale
        for factor in (1.0, 2.0)
    )
    assert twice / once == pytest.approx(2.0, rel=0.05)


def test_tilted_planes_have_no_residual():
    z, residual = flat_residuals(plane(1.0, 0.8))
    assert len(z) > 100
    assert residual.max() == pytest.approx(1e-5)


def test_edges_do_not_count():
    depth = plane(1.0)
    depth[:, 320:] = 1.5
    depth += np.random.default_rng(0).normal(0.0, 0.001, depth.shape)
    _, residual = flat_residuals(depth)
    assert residual.max() < 0.002


def test_without_a_flat_block_the_published_law_stands():
    nothing = np.zeros((480, 640))
    noise = estimated(views_of(nothing), sensor="structured_light")
    assert noise.scale == 1.0
    assert noise.sigma(2.0) == pytest.approx(LAWS["structured_light"].sigma(2.0, CAMERA.fx))
    assert estimated(views_of(nothing)).sensor == "stereo"


def test_noise_along_the_ray_and_of_the_disparity_add_as_variances():
    law = NoiseLaw(constant=0.003, relative=0.002, disparity=0.1, baseline=0.1)
    assert law.sigma(2.0, 100.0) == pytest.approx(np.hypot(0.007, 0.04))
