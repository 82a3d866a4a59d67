"""Grasps from one colour image with depth and one pixel: no poses, no fit, no model."""

from pathlib import Path

import numpy as np
import tyro
from PIL import Image

import point2act


def main(
    color: Path,
    depth: Path,
    intrinsics: tuple[float, float, float, float],
    point: tuple[float, float],
    gripper: str = "panda",
    picture: Path = Path("grasps.png"),
) -> None:
    """Grasp what is at a pixel (x, y), given fx, fy, cx, cy and depth in millimetres."""
    config = point2act.ImageConfig(answer=point2act.AnswerConfig(gripper=gripper))
    found = point2act.grasp_image(
        np.array(Image.open(color).convert("RGB")),
        np.array(Image.open(depth)),
        intrinsics,
        points=[point],
        config=config,
    )
    for result in found.results:
        for grasp in result.grasps[:5]:  # in the camera frame, metres, best first
            print(
                f"score {grasp.score:.2f}, width {1e3 * grasp.width:.0f} mm\n{grasp.T_world_gripper.round(3)}"
            )
        if not result.grasps:
            print(result.reason, result.detail)
    Image.fromarray(found.picture()).save(picture)


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
