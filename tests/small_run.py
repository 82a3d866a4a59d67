"""The small scene of the tests of runs: three boxes, ten views, answers for one of two queries."""

from __future__ import annotations

import dataclasses
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import synthetic

import point2act
from point2act.core.geometry import project
from point2act.core.types import Answer, PointSet, Query
from point2act.data.points import write_points
from point2act.pipeline.run_config import RunConfig, RunResult
from point2act.splatting.fit import FitConfig
from point2act.splatting.initialization import StartConfig
from point2act.splatting.reconstruct import ReconstructionConfig

QUICK = RunConfig(
    build=ReconstructionConfig(fit=FitConfig(iterations=40), start=StartConfig(target_count=5000)),
    device="cpu",  # CUDA adds in any order: its results differ in the last digits
)
RED = np.array([0.0, 0.0, 0.1])
"""The middle of the top of the highest box."""


def write_capture(folder, *, T=np.eye(4), depth=True, answers=True):
    """Write ten views of the boxes, moved by T, and answers: the red box in all views, a unicorn in none."""
    here = synthetic.views(10, height=96, width=128)
    views = [dataclasses.replace(view, T_world_cam=T @ view.T_world_cam) for view in here]
    synthetic.write_capture_files(folder, tuple(views))
    document = json.loads((folder / "transforms.json").read_text())
    if not depth:
        for frame in document["frames"]:
            del frame["depth_file_path"]
    (folder / "transforms.json").write_text(json.dumps(document))
    if answers:
        write_answers(folder, views, T[:3, :3] @ RED + T[:3, 3])
    return folder


def write_answers(folder, views, top):
    """Write answers: ten views see the red box, the middle of whose top is given, and no unicorn."""
    written = [
        Answer(v.name, "red", project(v.camera, v.T_world_cam, top[None])[0] + offset)
        for v, offset in zip(views, np.random.default_rng(0).normal(0, 1.5, (10, 1, 2)), strict=True)
    ]
    written += [Answer(v.name, "unicorn", np.zeros((0, 2)), visible=False) for v in views]
    queries = (Query("red", "the red box"), Query("unicorn", "the unicorn"))
    write_points(folder / "points.json", PointSet(queries, tuple(written)))


@dataclass(frozen=True)
class SmallRun:
    """A finished run with ``QUICK`` on the small scene, shared by all tests: read it, do not change it."""

    folder: Path

    @property
    def capture(self) -> Path:
        """Folder of the capture."""
        return self.folder / "capture"

    @property
    def output(self) -> Path:
        """Folder that the run wrote."""
        return self.folder / "out"

    def result(self) -> RunResult:
        """Return what ``point2act.run`` returned."""
        return pickle.loads((self.folder / "result.pickle").read_bytes())


def make_small_run(folder: Path) -> SmallRun:
    """Run the small scene in a folder, unless another test process has finished it there before."""
    made = SmallRun(folder)
    if not (folder / "result.pickle").is_file():
        result = point2act.run(write_capture(made.capture), made.output, config=QUICK)
        (folder / "result.pickle").write_bytes(pickle.dumps(result))
    return made
