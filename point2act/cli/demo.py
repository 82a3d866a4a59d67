"""``point2act demo``: the complete pipeline on a simulated table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from point2act.cli.options import parse
from point2act.core.errors import SimulationError


@dataclass(frozen=True)
class Arguments:
    """Simulate a capture of a table, localize the queries, plan grasps and execute them in physics.

    Needs the simulator: pip install "point2act[sim]".
    """

    output: Path = Path("demo")
    """Folder to write to: the capture in table/, the run in out/, the trials in trial/."""
    scene: str = "tabletop"
    """Name of a shipped scene, or path of a scene's .toml file."""
    seed: int = 0
    """Seed of the objects' poses and of all noise."""
    view: bool = False
    """Show the result in a browser at the end."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and run the demo."""
    arguments = parse(Arguments, argv, "demo")
    from point2act.cli import run, simulate, view

    table, out, trial = (arguments.output / name for name in ("table", "out", "trial"))
    if table.exists():
        raise SimulationError(f"{table} already exists: name another folder with --output")
    scene = ["--scene", arguments.scene, "--seed", str(arguments.seed), "--sensor", "stereo"]
    simulate.main([*scene, "--output", str(table)])
    run.main([str(table), "--output", str(out)])
    simulate.main(["--try", str(out / "grasps.json"), "--output", str(trial)])
    if arguments.view:
        view.main([str(out)])
    else:
        print(f"to see it in a browser: point2act view {out}")
