"""A large capture of the simulated tabletop, as by a camera that is carried around for half a minute.

Neighbouring views are almost the same, every eighth image is blurred, every twentieth has answers. 500 views
of 1280x720 take a quarter of an hour to make and 1 GB to keep; ``POINT2ACT_BENCHMARK_CACHE`` names a folder
to keep them in.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common.capture import workspace
from point2act.core.types import View
from point2act.data.capture import CaptureWriter
from point2act.data.points import write_points

if TYPE_CHECKING:
    from point2act.simulation import Scene
    from point2act.simulation.camera import SimView

SEED = 800
"""Seed of a scene on which nothing was tuned."""
_SIZE, _FOCAL = (720, 1280), 1100.0
_BLURRED_EVERY, _BLUR = 8, 3.0
"""Interval of blurred images, and the standard deviation of their blur, pixels."""
_ANSWERED_EVERY = 20
_GREYS, _METRES = 2.0, 0.001
"""Standard deviation of the noise of colour (levels) and depth (metres); without the camera's dropouts."""
_BATCH = 10
"""Views in memory while the capture is made."""


def large_capture(views: int) -> Path:
    """Return the capture's folder; make the capture first if it does not exist."""
    named = os.environ.get("POINT2ACT_BENCHMARK_CACHE")
    folder = (Path(named) if named else workspace()) / f"large-{views}"
    if not folder.is_dir():
        draft = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        _make(draft, views)
        draft.rename(folder)
    return folder


def is_blurred(number: int) -> bool:
    """Return whether the image of a view was blurred."""
    return number % _BLURRED_EVERY == _BLURRED_EVERY // 2


def _make(folder: Path, views: int) -> None:
    # Imported late: only this function needs the simulator.
    from point2act.simulation import TYPICAL, WristConfig, load_scene
    from point2act.simulation.camera import wrist_poses
    from point2act.simulation.pointing import answer

    scene, rng = load_scene("tabletop", SEED), np.random.default_rng(SEED)
    poses = wrist_poses(scene.layout.table.height, WristConfig(views=views), rng)
    answered: list[SimView] = []
    with CaptureWriter(folder, T_base_world=scene.T_base_world) as writer:
        for start in range(0, views, _BATCH):
            shots = _shoot(scene, poses[start : start + _BATCH], start, rng)
            for shot in shots:
                writer.add(shot.view)
            answered += shots[-start % _ANSWERED_EVERY :: _ANSWERED_EVERY]
    write_points(folder / "points.json", answer(scene, answered, TYPICAL, rng))


def _shoot(scene: Scene, poses: Sequence[np.ndarray], first: int, rng: np.random.Generator) -> list[SimView]:
    """Render noisy colour and depth from some poses, the first of which has this number."""
    import cv2

    from point2act.physics.pictures import pinhole
    from point2act.simulation.camera import SimView, render

    camera = pinhole(_SIZE, _FOCAL)
    shots = []
    for number, (pose, color, depth, ids) in enumerate(
        zip(poses, *render(scene, poses, camera), strict=True), start=first
    ):
        seen = cv2.GaussianBlur(color, (0, 0), _BLUR) if is_blurred(number) else color
        view = View(
            f"images/{number:04}.png",
            camera,
            pose,
            np.clip(seen + _noise(seen, _GREYS, rng), 0, 255).astype(np.uint8),
            depth + _noise(depth, _METRES, rng),
        )
        shots.append(SimView(view, ids, depth))
    return shots


def _noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return np.float32(sigma) * rng.standard_normal(image.shape, dtype=np.float32)
