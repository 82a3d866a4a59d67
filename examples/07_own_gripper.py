"""Describe a gripper in Python, draw it, and plan with it."""

from pathlib import Path

import tyro
from PIL import Image

import point2act
from point2act.visualization.drawing.gripper_drawing import gripper_sheet

GRIPPER = """
name = "slim"
max_width = 0.06
pad_size = [0.012, 0.016]
max_force = 30.0
source = "a servo gripper with printed fingers"
mount = [[0.0, 0.10]]

[[finger]]
center = [0.0, 0.004, -0.010]
half_extents = [0.006, 0.004, 0.020]

[[finger]]
center = [0.0, 0.006, -0.045]
half_extents = [0.006, 0.006, 0.016]

[[body]]
center = [0.0, 0.0, -0.080]
half_extents = [0.02, 0.045, 0.02]
"""


def main(run: Path, points: Path, output: Path) -> None:
    """Write the gripper's file and drawing, then plan with it on a saved scene."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / "slim.toml"
    path.write_text(GRIPPER)
    Image.fromarray(gripper_sheet(point2act.load_gripper(path))).save(output / "slim.png")
    answered = point2act.open_run(run).ask(points, config=point2act.AnswerConfig(gripper=str(path)))
    for found in answered.results:
        print(found.query.text, len(found.grasps), "grasps", found.reason or "")


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
