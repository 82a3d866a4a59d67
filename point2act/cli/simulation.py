"""Advanced options of ``simulate`` and its two jobs, which need MuJoCo."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from point2act.core.files import write_json
from point2act.core.logs import printable
from point2act.core.progress import Stages
from point2act.grasping.grasps_json import read_grasps
from point2act.grasping.grippers import load_gripper
from point2act.simulation import (
    CLEAN,
    FILM_RATE,
    HARD,
    TYPICAL,
    CaptureConfig,
    PoseErrorConfig,
    Trial,
    TrialConfig,
    WristConfig,
    capture_scene,
    load_scene,
    try_grasps_file,
    wrist_camera,
)
from point2act.visualization.report import ReportTrial, add_section, trial_section

_POINTING = {"clean": CLEAN, "typical": TYPICAL, "hard": HARD}


@dataclass(frozen=True)
class SimulateOptions:
    """Advanced options of ``simulate``."""

    wrist: WristConfig = field(default_factory=WristConfig)
    """The wrist camera and its path; ``--sensor`` sets the images and the distance of its own."""
    trial: TrialConfig = field(default_factory=TrialConfig)
    """Execution of a grasp."""


@dataclass(frozen=True)
class Simulated:
    """What is simulated."""

    scene: str
    """Name of a scene, or its path."""
    seed: int
    pointing: str
    """Name of the errors of the pointing model."""
    sensor: str
    """Name of the depth camera, see ``wrist_camera``."""
    pose_error: float
    """Error of the recorded poses, millimetres."""


def write_capture(folder: Path, simulated: Simulated, options: SimulateOptions) -> None:
    """Render a capture of a scene and write it with recorded points."""
    with Stages(show=True).stage("simulate the capture"):
        scene = load_scene(simulated.scene, simulated.seed)
        wrist = wrist_camera(simulated.sensor, options.wrist)
        half = simulated.pose_error / 2000
        wrist = replace(wrist, pose_error=PoseErrorConfig(hand_eye=half, drift=half)) if half else wrist
        config = CaptureConfig(wrist=wrist, pointing=_POINTING[simulated.pointing])
        capture_scene(scene, folder, config, np.random.default_rng(simulated.seed))
    print(f"capture: {folder}")


def execute_grasps(
    grasps: Path, gripper_name: str | None, output: Path | None, options: SimulateOptions
) -> None:
    """Execute the best grasp of every query, write trials.json and extend the report."""
    document = read_grasps(grasps)
    gripper = load_gripper(gripper_name or document["gripper"]["name"])
    with Stages(show=True).stage("execute the grasps"):
        trials = try_grasps_file(Path(document["capture"]), grasps, gripper, options.trial)
    folder = grasps.parent if output is None else output
    fields = ("query", "success", "outcome", "by_part", "lifted", "rise")
    rows = [{field: getattr(trial, field) for field in fields} for trial in trials]
    write_json(folder / "trials.json", {"version": 1, "grasps": str(grasps), "trials": rows})
    report = grasps.with_name("report.html")
    if report.is_file():
        texts = {row["query"]["name"]: row["query"]["text"] for row in document["results"]}
        section = trial_section([_report_trial(trial, texts[trial.query]) for trial in trials])
        add_section(report, "trials", "Tried in physics", section)
    for trial in trials:
        print(printable(f"{trial.query}: {trial.outcome}, {_words(trial)}"))
    print(f"trials: {folder / 'trials.json'}")


def _report_trial(trial: Trial, text: str) -> ReportTrial:
    return ReportTrial(
        text,
        trial.success,
        trial.outcome,
        _words(trial),
        trial.pictures,
        trial.moments,
        trial.film,
        FILM_RATE,
    )


def _words(trial: Trial) -> str:
    if not trial.success:
        return "the object was not lifted and held"
    part = "by the queried part" if trial.by_part else "by another part"
    return f"lifted by {trial.rise * 100:.0f} cm, shaken and held, {part}"
