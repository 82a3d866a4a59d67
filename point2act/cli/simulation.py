"""Advanced options of ``simulate`` and its two jobs, which need MuJoCo."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from point2act.core.files import write_json
from point2act.core.logs import printable
from point2act.core.progress import Stages
from point2act.grasping.end_effector import load_end_effector
from point2act.grasping.grasps_json import read_grasps
from point2act.grasping.hands.hand import Hand
from point2act.physics.hand_trial import HandTrial, HandTrialConfig
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
from point2act.simulation.record import try_hand_grasps_file
from point2act.visualization.report import ReportTrial, add_section, trial_section

_POINTING = {"clean": CLEAN, "typical": TYPICAL, "hard": HARD}


@dataclass(frozen=True)
class SimulateOptions:
    """Advanced options of ``simulate``."""

    wrist: WristConfig = field(default_factory=WristConfig)
    """The wrist camera and its path; ``--sensor`` sets the images and the distance of its own."""
    trial: TrialConfig = field(default_factory=TrialConfig)
    """Execution of a gripper's grasp."""
    hand_trial: HandTrialConfig = field(default_factory=HandTrialConfig)
    """Execution of a hand's grasp."""


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
    gripper, capture = load_end_effector(gripper_name or document["gripper"]["name"]), document["capture"]
    with Stages(show=True).stage("execute the grasps"):
        if isinstance(gripper, Hand):
            trials = try_hand_grasps_file(Path(capture), grasps, gripper, options.hand_trial)
        else:
            trials = try_grasps_file(Path(capture), grasps, gripper, options.trial)
    folder = grasps.parent if output is None else output
    rows = [_row(trial) for trial in trials]
    write_json(folder / "trials.json", {"version": 1, "grasps": str(grasps), "trials": rows})
    report = grasps.with_name("report.html")
    if report.is_file():
        texts = {row["query"]["name"]: row["query"]["text"] for row in document["results"]}
        section = trial_section([_report_trial(trial, texts[trial.query]) for trial in trials])
        add_section(report, "trials", "Tried in physics", section)
    for trial in trials:
        print(printable(f"{trial.query}: {trial.outcome}, {_words(trial)}"))
    print(f"trials: {folder / 'trials.json'}")


def _row(trial: Trial | HandTrial) -> dict[str, Any]:
    """Return what trials.json says about a trial."""
    fields = ["query", "success", "outcome", "by_part", "lifted"]
    fields += ["shaken", "held_directions"] if isinstance(trial, HandTrial) else ["rise"]
    return {field: getattr(trial, field) for field in fields}


def _report_trial(trial: Trial | HandTrial, text: str) -> ReportTrial:
    film = trial.film if isinstance(trial, Trial) else ()
    return ReportTrial(
        text,
        trial.success,
        trial.outcome,
        _words(trial),
        trial.pictures,
        trial.moments,
        film,
        FILM_RATE,
    )


def _hand_words(trial: HandTrial) -> str:
    if not trial.lifted:
        return "the object was not lifted"
    part = "by the queried part" if trial.by_part else "by another part"
    shaken = "shaken and held" if trial.shaken else "lost when it was shaken"
    return f"lifted {part}, {shaken}, held in {trial.held_directions} of 6 directions of gravity"


def _words(trial: Trial | HandTrial) -> str:
    if isinstance(trial, HandTrial):
        return _hand_words(trial)
    if not trial.success:
        return "the object was not lifted and held"
    part = "by the queried part" if trial.by_part else "by another part"
    return f"lifted by {trial.rise * 100:.0f} cm, shaken and held, {part}"
