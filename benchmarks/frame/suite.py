"""Time from one RGB-D image and one point to grasps: a call in a warm process, and a fresh command.

The image is one of the simulated table, 640x480 pixels with the noise of its depth sensor, and the point is
the first answer of its simulated pointing model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import CannotMeasureError, Metric, Plan
from benchmarks.common.capture import SEED
from benchmarks.common.timing import once, python
from point2act.core.types import View
from point2act.data.capture import load_view, read_capture
from point2act.data.points import read_points
from point2act.pipeline.grasp_image import grasp_image
from point2act.pipeline.image_input import MILLIMETRES

_SIZE, _FOCAL = (480, 640), 600.0
"""Height and width, and focal length, in pixels: those of a RealSense D435."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the seconds of both, the fastest of some repetitions."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        view, point = simulated(folder)
        camera = view.camera
        # The centre of the first pixel at 0, as cameras have it.
        K = (camera.fx, camera.fy, camera.cx - 0.5, camera.cy - 0.5)
        color, depth = folder / view.name, folder / "depth" / Path(view.name).name
        rgb, readings = np.array(Image.open(color)), np.array(Image.open(depth))

        def call() -> None:
            found = grasp_image(rgb, readings, K, points=[point], depth_unit=MILLIMETRES)
            if not found.results[0].grasps:
                raise CannotMeasureError("no grasp is found on the simulated table")

        call()
        yield Metric("frame.warm_s", min(once(call) for _ in range(plan.rounds)), "s")
        command = (
            *("-m", "point2act.cli", "grasp-image", str(color), str(depth)),
            *("--intrinsics", ",".join(map(str, K)), "--point", f"{point[0]},{point[1]}"),
            *("--output", str(folder / "grasps.json")),
        )
        yield Metric("frame.cold_s", min(python(*command).seconds for _ in range(plan.rounds)), "s")


def simulated(folder: Path) -> tuple[View, tuple[float, float]]:
    """Write one simulated view as a capture; return it, and a pixel on what its first query means."""
    # Imported late: only this function needs the simulator.
    from point2act.simulation import CaptureConfig, capture_scene, load_scene
    from point2act.simulation.camera import WristConfig

    wrist = WristConfig(views=1, size=_SIZE, focal=_FOCAL)
    scene = load_scene("tabletop", SEED)
    capture_scene(scene, folder, CaptureConfig(wrist=wrist), np.random.default_rng(SEED))
    capture = read_capture(folder)
    answers = read_points(folder / "points.json", capture).answers
    x, y = next(answer.points[0] for answer in answers if len(answer.points))
    return load_view(capture, capture.frames[0]), (float(x), float(y))
