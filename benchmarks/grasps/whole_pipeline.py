"""The whole pipeline on a case: images, answers of a typical model, fit, region and grasps.

The fitted scene is cached beside the case; the answers are fused and grasps planned anew.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

import point2act
from benchmarks.grasps.baselines import Found
from benchmarks.grasps.cases import Case, case_path
from point2act.data.capture import write_capture
from point2act.data.points import write_points
from point2act.grasping.grippers import Gripper
from point2act.pipeline.finished_run import open_run
from point2act.pipeline.query import AnswerConfig
from point2act.simulation import TYPICAL
from point2act.simulation.camera import render_views
from point2act.simulation.pointing import answer


def whole_pipeline(case: Case, gripper: Gripper, rng: np.random.Generator) -> Found:
    """Plan grasps where the program localizes the part from answers of which a quarter is wrong."""
    folder = case_path(case.setting, case.seed).with_suffix(".run")
    if not (folder / "fit" / "run.json").is_file():
        _fit(case, folder)
    session = open_run(folder / "fit")
    found = session.ask(folder / "points.json", config=AnswerConfig(gripper=gripper.name)).results[0]
    return found.grasps, "" if found.grasps else f"{found.reason}: {found.detail}"


def _fit(case: Case, folder: Path) -> None:
    """Capture the case again in colour, draw a typical model's answers, and fit the scene."""
    rng = np.random.default_rng([case.seed, zlib.crc32(f"{case.setting.name} seen".encode())])
    shots = render_views(case.scene, case.setting.camera, rng)
    write_capture(folder / "capture", [shot.view for shot in shots], T_base_world=case.scene.T_base_world)
    write_points(folder / "points.json", answer(case.scene, shots, TYPICAL, rng))
    point2act.run(folder / "capture", folder / "fit")
