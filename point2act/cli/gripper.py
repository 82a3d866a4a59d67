"""``point2act gripper robotiq_2f85 --output hand.png``: check a gripper file and look at the hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated

import tyro
from PIL import Image

from point2act.core.files import write_bytes
from point2act.grasping.grippers import load_gripper
from point2act.visualization.drawing.gripper_drawing import hand_sheet


@dataclass(frozen=True)
class Arguments:
    """Check a gripper's file and draw its hand to scale, open and closed."""

    gripper: Annotated[str, tyro.conf.Positional] = "panda"
    """A shipped gripper's name, or the path of a gripper's .toml file."""
    output: Path = Path("gripper.png")
    """File to write."""


def main(argv: Sequence[str]) -> None:
    """Parse and run."""
    arguments = tyro.cli(Arguments, args=argv, prog="point2act gripper")
    gripper = load_gripper(arguments.gripper)
    drawing = BytesIO()
    Image.fromarray(hand_sheet(gripper)).save(drawing, format="PNG")
    write_bytes(arguments.output, drawing.getvalue())
    mount = gripper.mount_at(0.0)
    behind = "unknown" if mount is None else f"{1e3 * mount:.1f} mm behind the closed pads"
    print(f"{gripper.name}: opens {1e3 * gripper.max_width:.0f} mm, flange {behind}")
    print(f"drawn: {arguments.output}")
