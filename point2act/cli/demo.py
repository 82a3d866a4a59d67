"""``point2act demo``: the whole way on a simulated table, and a look at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from point2act.cli import run, simulate, view
from point2act.core.errors import SimulationError


@dataclass(frozen=True)
class Arguments:
    """Simulate a capture of a table, find and grasp what is asked for, and try the grasps in physics.

    Needs the simulator: pip install "point2act[sim]".
    """

    output: Path = Path("demo")
    """Folder to write to: the capture in table/, the run in out/, the trials in trial/."""
    scene: str = "tabletop"
    """A shipped scene's name, or the path of a scene's .toml file."""
    seed: int = 0
    """Of the objects' places and of all noise."""
    view: bool = False
    """Then open the scene in a browser."""


def main(argv: Sequence[str]) -> None:
    """Parse and run."""
    arguments = tyro.cli(Arguments, args=argv, prog="point2act demo")
    table, out, trial = (arguments.output / name for name in ("table", "out", "trial"))
    if table.exists():
        raise SimulationError(f"{table} is there already: name another folder with --output")
    scene = ["--scene", arguments.scene, "--seed", str(arguments.seed)]
    simulate.main([*scene, "--output", str(table)])
    run.main([str(table), "--output", str(out)])
    simulate.main(["--try", str(out / "grasps.json"), "--output", str(trial)])
    if arguments.view:
        view.main([str(out)])
    else:
        print(f"look at it: point2act view {out}")
