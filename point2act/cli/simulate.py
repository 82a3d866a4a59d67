"""``point2act simulate --output CAPTURE`` and ``point2act simulate --try grasps.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from point2act.core.errors import SimulationError
from point2act.core.files import write_json
from point2act.core.logs import printable
from point2act.core.progress import Stages
from point2act.grasping.grasps_json import read_grasps
from point2act.grasping.grippers import load_gripper
from point2act.simulation import (
    CLEAN,
    HARD,
    TYPICAL,
    CaptureConfig,
    Trial,
    TrialConfig,
    WristConfig,
    capture_scene,
    load_scene,
    try_grasps_file,
)
from point2act.visualization.report import ReportTrial, add_section, trial_section

_POINTING = {"clean": CLEAN, "typical": TYPICAL, "hard": HARD}


@dataclass(frozen=True)
class Arguments:
    """Make a simulated capture of a tabletop; or try grasps in the physics of the scene they are for.

    Without --try, writes a capture: RGB-D images of a wrist camera with noise and dropouts, and the
    answers of a pointing model that errs. With --try, plays the best grasp of every query in MuJoCo,
    writes trials.json, and adds a section to the report.html beside the grasps.
    """

    output: Path | None = None
    """Folder of the capture to write; with --try the folder for trials.json, by default the grasps'."""
    try_: Annotated[Path | None, tyro.conf.arg(name="try")] = None
    """grasps.json made from a simulated capture."""
    scene: str = "tabletop"
    """A shipped scene's name, or the path of a scene's .toml file."""
    seed: int = 0
    """Of the objects' places and of all noise."""
    pointing: Literal["clean", "typical", "hard"] = "typical"
    """How often the pointing model errs: never, in a quarter, or in two fifths of the views."""
    gripper: str | None = None
    """Of the hand that tries; by default the one that the grasps were planned for."""
    wrist: WristConfig = field(default_factory=WristConfig)
    trial: TrialConfig = field(default_factory=TrialConfig)


def main(argv: Sequence[str]) -> None:
    """Parse and run."""
    arguments = tyro.cli(Arguments, args=argv, prog="point2act simulate")
    if arguments.try_ is not None:
        _try(arguments.try_, arguments)
    elif arguments.output is not None:
        _capture(arguments.output, arguments)
    else:
        raise SimulationError("nothing to do: name a folder with --output, or grasps with --try grasps.json")


def _capture(folder: Path, arguments: Arguments) -> None:
    with Stages(show=True).stage("simulate the capture"):
        scene = load_scene(arguments.scene, arguments.seed)
        config = CaptureConfig(wrist=arguments.wrist, pointing=_POINTING[arguments.pointing])
        capture_scene(scene, folder, config, np.random.default_rng(arguments.seed))
    print(f"capture: {folder}")


def _try(grasps: Path, arguments: Arguments) -> None:
    document = read_grasps(grasps)
    gripper = load_gripper(arguments.gripper or document["gripper"]["name"])
    with Stages(show=True).stage("try the grasps"):
        trials = try_grasps_file(Path(document["capture"]), grasps, gripper, arguments.trial)
    folder = grasps.parent if arguments.output is None else arguments.output
    rows = [_row(trial) for trial in trials]
    write_json(folder / "trials.json", {"version": 1, "grasps": str(grasps), "trials": rows})
    report = grasps.with_name("report.html")
    if report.is_file():
        add_section(report, "trials", "Tried in physics", trial_section([_told(t) for t in trials]))
    for trial in trials:
        print(printable(f"{trial.query}: {trial.outcome}, {_words(trial)}"))
    print(f"trials: {folder / 'trials.json'}")


def _row(trial: Trial) -> dict[str, object]:
    return {
        "query": trial.query,
        "success": trial.success,
        "outcome": trial.outcome,
        "by_part": trial.by_part,
        "lifted": trial.lifted,
        "rise": trial.rise,
    }


def _told(trial: Trial) -> ReportTrial:
    return ReportTrial(
        trial.query, trial.success, trial.outcome, _words(trial), trial.pictures, trial.moments
    )


def _words(trial: Trial) -> str:
    if not trial.success:
        return "the object was not lifted and held"
    where = "by the part asked for" if trial.by_part else "by another part"
    return f"lifted by {trial.rise * 100:.0f} cm, shaken and held, {where}"
