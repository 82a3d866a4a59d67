"""Draw a figure of one query: answer, Gaussians, relevancy, depth, best grasp, and its trial in physics."""

from pathlib import Path

import numpy as np
import tyro
from PIL import Image

import point2act
from point2act.data.points import read_points
from point2act.grasping.grippers import load_gripper
from point2act.localization.relevancy import answers_in_views
from point2act.simulation import captured_scene, try_grasp
from point2act.visualization.drawing import (
    caption,
    depth_picture,
    draw_gripper,
    draw_points,
    relevancy_picture,
)

GREEN = (0, 158, 115)
SIZE = (480, 360)


def main(run: Path, points: Path, output: Path, query: int = 0, view: int = 0, trial: bool = False) -> None:
    """Write a picture of three columns."""
    session = point2act.open_run(run)
    answered = session.ask(points)
    result, shown = answered.results[query], session.views[view]
    pixels = answers_in_views(read_points(points, session.capture), session.capture, session.views)
    rendered = session.render(shown, relevancy=answered.relevancy)
    answer = pixels[query][view]
    photograph = shown.rgb if answer is None else draw_points(shown.rgb, answer, GREEN)
    grasp, gripper = result.grasps[0], load_gripper(answered.config.gripper)
    pictures = {
        f'"{result.query.text}": a model points': photograph,
        "3D Gaussians": np.round(255 * np.clip(rendered.rgb, 0, 1)).astype(np.uint8),
        "relevancy, fused from all views": relevancy_picture(shown.rgb, rendered.relevancy[..., query]),
        "depth of the Gaussians": depth_picture(rendered.depth),
        "the best grasp": draw_gripper(shown.rgb, shown.camera, shown.T_world_cam, grasp, gripper, GREEN),
    }
    if trial:
        tried = try_grasp(captured_scene(session.capture.folder), result.query.name, grasp, gripper)
        pictures[f"executed in physics: {tried.outcome}"] = tried.pictures[-1]
    panels = []
    for number, (text, picture) in enumerate(pictures.items(), start=1):
        large = np.asarray(Image.fromarray(picture).resize(SIZE, Image.Resampling.LANCZOS))
        panels.append(caption(large, f"{number}. {text}"))
    panels += [np.full_like(panels[0], 255)] * (-len(panels) % 3)
    rows = [np.concatenate(panels[k : k + 3], axis=1) for k in range(0, len(panels), 3)]
    Image.fromarray(np.concatenate(rows)).save(output)


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
