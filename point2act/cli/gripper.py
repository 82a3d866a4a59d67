"""``point2act gripper robotiq_2f85 --output gripper.png``: validate and draw a gripper or a hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from point2act.cli.options import parse


@dataclass(frozen=True)
class Arguments:
    """Validate the file of a gripper or a hand and draw it to scale, open and closed."""

    gripper: tyro.conf.Positional[str] = "panda"
    """Name of a shipped gripper or hand, or path of its .toml file."""
    output: Path = Path("gripper.png")
    """Image to write."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and draw the gripper."""
    arguments = parse(Arguments, argv, "gripper")
    from point2act.data.capture.write import write_png
    from point2act.grasping.end_effector import load_end_effector
    from point2act.grasping.hands.hand import Hand
    from point2act.visualization.drawing.gripper_drawing import gripper_sheet
    from point2act.visualization.drawing.hand_drawing import hand_sheet

    gripper = load_end_effector(arguments.gripper)
    if isinstance(gripper, Hand):
        write_png(arguments.output, hand_sheet(gripper))
        links, joints, contacts = len(gripper.links), len(gripper.joints), len(gripper.contacts)
        print(f"{gripper.name}: {links} links, {joints} joints, {contacts} contact points")
        print(f"image: {arguments.output}")
        return
    write_png(arguments.output, gripper_sheet(gripper))
    mount = gripper.mount_at(0.0)
    flange = "unknown" if mount is None else f"{1e3 * mount:.1f} mm behind the closed pads"
    print(f"{gripper.name}: opens {1e3 * gripper.max_width:.0f} mm, flange {flange}")
    print(f"image: {arguments.output}")
