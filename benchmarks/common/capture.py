"""One capture of the simulated tabletop, made on first use and shared by the suites of a process."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from point2act.core.types import View
from point2act.data.capture import load_views, read_capture

SEED = 100
"""Seed of a scene on which nothing was tuned."""


@cache
def workspace() -> Path:
    """Return a temporary folder of this process, deleted when the process ends."""
    return Path(_folder().name)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="point2act-benchmarks-")


@cache
def capture() -> Path:
    """Return the folder of 24 noisy RGB-D views of 320x240 with the answers of a simulated pointing model."""
    # Imported late: only this function needs the simulator.
    from point2act.simulation import CaptureConfig, capture_scene, load_scene

    folder = workspace() / "capture"
    capture_scene(load_scene("tabletop", SEED), folder, CaptureConfig(), np.random.default_rng(SEED))
    return folder


@cache
def views() -> tuple[View, ...]:
    """Return the views as a run loads them."""
    return tuple(load_views(read_capture(capture()), max_side=480))


@cache
def true_depths() -> np.ndarray:
    """Return the noise-free depth of each view, metres."""
    from point2act.simulation import captured_scene
    from point2act.simulation.camera import render

    # All views share a camera; loading neither undistorts nor resizes them.
    poses = [view.T_world_cam for view in views()]
    return render(captured_scene(capture()), poses, views()[0].camera)[1]
