"""``point2act simulate --output CAPTURE`` and ``point2act simulate --try grasps.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from point2act.cli.main import import_quickly
from point2act.cli.options import parse_advanced, parse_user_level
from point2act.core.errors import SimulationError


@dataclass(frozen=True)
class Arguments:
    """Render a simulated capture of a tabletop; or execute grasps in the physics of the scene they are for.

    Without --try, writes a capture: RGB-D images of a wrist camera with noise and dropouts, and the answers
    of a simulated pointing model that makes mistakes. With --try, executes the best grasp of every query in
    MuJoCo, writes trials.json, and adds a section to the report.html of the grasps.
    """

    output: Path | None = None
    """Folder of the capture to write; with --try the folder of trials.json, by default that of the grasps."""
    try_: Annotated[Path | None, tyro.conf.arg(name="try")] = None
    """grasps.json of a simulated capture."""
    scene: str = "tabletop"
    """Name of a shipped scene, or path of a scene's .toml file."""
    seed: int = 0
    """Seed of the objects' poses and of all noise."""
    sensor: Literal["ideal", "stereo", "structured_light", "tof"] = "ideal"
    """Depth camera: one with little noise and small images, a RealSense D435, a Kinect or an Azure Kinect,
    each at its usual distance and with its errors."""
    pose_error: float = 0.0
    """Error of the recorded poses, millimetres: half of the hand-eye calibration, half drift at the end."""
    pointing: Literal["clean", "typical", "hard"] = "typical"
    """Errors of the simulated pointing model: in none, a quarter or two fifths of the views."""
    gripper: str | None = None
    """Gripper that executes the grasps; by default the one they were planned for."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and simulate."""
    arguments, rest = parse_user_level(
        Arguments, argv, "simulate", advanced=lambda: _simulation().SimulateOptions
    )
    if arguments.output is None and arguments.try_ is None:
        raise SimulationError("nothing to do: name a folder with --output, or grasps with --try grasps.json")
    simulation = _simulation()
    options = parse_advanced(simulation.SimulateOptions(), rest, "simulate")
    if arguments.try_ is not None:
        simulation.execute_grasps(arguments.try_, arguments.gripper, arguments.output, options)
    elif arguments.output is not None:
        simulation.write_capture(
            arguments.output,
            simulation.Simulated(
                arguments.scene, arguments.seed, arguments.pointing, arguments.sensor, arguments.pose_error
            ),
            options,
        )


def _simulation() -> Any:
    return import_quickly("point2act.cli.simulation")
