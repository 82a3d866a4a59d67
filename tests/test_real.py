"""Captures that others recorded, end to end: a robot's RGB-D views of a shelf, photographs of a fox."""

import shutil

import numpy as np
import pytest

import point2act
from point2act.core.geometry import project
from point2act.data.capture import load_view, read_capture, view_to_disk
from point2act.data.points import read_points
from point2act.pipeline.run_config import RunConfig
from point2act.splatting.fit import FitConfig
from point2act.splatting.initialization import StartConfig
from point2act.splatting.reconstruct import ReconstructionConfig

pytestmark = pytest.mark.slow


def distances(folder, found) -> np.ndarray:
    """From the action point's projection to the recorded point in every view where one was given, pixels."""
    capture = read_capture(folder)
    frames = {frame.name: frame for frame in capture.frames}
    away = []
    for answer in read_points(folder / "points.json", capture).answers:
        if answer.query == found.query.name and len(answer.points):
            view = load_view(capture, frames[answer.image])
            pixels, _ = project(view.camera, view.T_world_cam, found.region.action_point[None])
            on_disk = view_to_disk(frames[answer.image], view, pixels)
            away.append(np.linalg.norm(answer.points - on_disk, axis=1).min())
    return np.array(away)


@pytest.mark.full
def test_the_shelf(shared_data):
    config = RunConfig(build=ReconstructionConfig(fit=FitConfig(iterations=100)), max_side=320)
    result = point2act.run(shared_data / "apc_shelf", config=config)
    assert [found.query.name for found in result.results] == ["tissues", "red_book", "pipe_cleaners", "bunny"]
    for found in result.results:
        assert (distances(shared_data / "apc_shelf", found) < 30).mean() >= 0.8, found.query.text
        assert found.grasps or (found.reason and found.detail)


@pytest.mark.full
def test_the_fox(shared_data, tmp_path):
    folder = tmp_path / "fox"
    shutil.copytree(shared_data / "fox", folder)
    build = ReconstructionConfig(fit=FitConfig(iterations=150), start=StartConfig(target_count=15_000))
    config = RunConfig(build=build, max_side=240)
    result = point2act.run(folder, config=config)
    nose = result.results[0]
    assert nose.query.name == "nose"
    assert (distances(folder, nose) < 25).mean() >= 0.8
    assert result.psnr > 18
    # No depth, no metres: the result reports it.
    assert nose.grasps == ()
    assert nose.reason == "no_scale"
    assert "scale" in nose.detail
