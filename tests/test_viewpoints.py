"""Cameras of the page's buttons face the scene, upright, from where they say."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic
from browser import viser  # without its warnings

from point2act.core.types import View
from point2act.visualization.initial_camera import InitialCamera
from point2act.visualization.viewer.clients import move_camera
from point2act.visualization.viewer.viewpoints import VIEWPOINTS, from_base, from_view, viewpoint

UP = np.array([0.0, 0.6, 0.8])
CENTER = np.array([0.1, -0.2, 0.3])
INITIAL = InitialCamera(CENTER, UP, CENTER + np.array([0.5, -0.4, 0.5]), 0.6, np.eye(4))


@pytest.mark.parametrize("name", VIEWPOINTS)
@pytest.mark.parametrize("away", [[0.5, -0.4, 0.5], [0.0, 0.48, 0.64]], ids=["aside", "straight above"])
def test_every_camera_faces_the_middle(name, away):
    initial = InitialCamera(CENTER, UP, CENTER + away, 0.6, np.eye(4))
    camera = viewpoint(name, initial)
    np.testing.assert_array_equal(camera.look_at, CENTER)
    assert np.linalg.norm(camera.position - CENTER) > 0.3
    assert np.linalg.norm(camera.up) == pytest.approx(1)
    if name != "Start":
        assert np.linalg.norm(np.cross(camera.position - CENTER, camera.up)) > 0.1, "up is not the view's own"


def test_top_is_above_and_front_is_low():
    top, front = (viewpoint(name, INITIAL).position - CENTER for name in ("Top", "Front"))
    assert top @ UP == pytest.approx(np.linalg.norm(top))
    assert 0 < front @ UP < 0.3 * np.linalg.norm(front)


def test_the_camera_at_the_base_is_over_the_robot():
    base = np.array([-0.5, 0.0, 0.0])
    camera = from_base(base, INITIAL)
    assert (camera.position - base) @ UP > 0.1
    np.testing.assert_array_equal(camera.look_at, CENTER)


def test_a_photographs_camera_sees_what_it_saw():
    pose = synthetic.look_at(np.array([0.6, 0.1, 0.5]), CENTER)
    view = View("0.png", synthetic.pinhole(), pose, np.zeros((48, 64, 3), np.uint8))
    camera = from_view(view, INITIAL)
    np.testing.assert_array_equal(camera.position, pose[:3, 3])
    np.testing.assert_allclose(camera.look_at, CENTER, atol=1e-9)
    np.testing.assert_allclose(camera.up, -pose[:3, 1])
    assert 2 * view.camera.fy * np.tan(camera.fov / 2) == pytest.approx(view.camera.height)


class StrictCamera:
    """A camera that refuses, as viser 1.x does, to look along the direction up."""

    __class__ = property(lambda self: viser.CameraHandle)  # for checks of types

    def __init__(self) -> None:
        self._values = {
            "position": np.array([0.0, -1.0, 1.0]),
            "look_at": np.zeros(3),
            "up_direction": np.array([0.0, 0.0, 1.0]),
            "fov": 1.0,
        }

    def __getattr__(self, name: str) -> object:
        return self._values[name]

    def __setattr__(self, name: str, value: object) -> None:
        if name == "_values":
            super().__setattr__(name, value)
            return
        self._values[name] = value
        forward = self._values["look_at"] - self._values["position"]
        assert np.linalg.norm(np.cross(forward, self._values["up_direction"])) > 1e-6, name


def test_the_camera_is_never_turned_along_up_on_its_way():
    camera = StrictCamera()
    for name in ("Top", "Start", "Top", "Front", "Top", "Start", "Front", "Start"):
        wanted = viewpoint(name, INITIAL)
        move_camera(camera, wanted, 2.0)
        np.testing.assert_allclose(camera.position, 2 * wanted.position)
        np.testing.assert_allclose(camera.look_at, 2 * wanted.look_at)
        np.testing.assert_allclose(camera.up_direction, wanted.up)
