"""Grasps from one depth image and one pixel: no Gaussians, no model."""

from pathlib import Path

import numpy as np
import tyro

import point2act
from point2act import Region
from point2act.core.geometry import back_project
from point2act.core.types import OrientedBox, Support
from point2act.data.capture import load_views
from point2act.grasping.tsdf import fuse_local


def main(capture: Path, x: float, y: float, image: int = 0, gripper: str = "panda") -> None:
    """Grasp what is at pixel (x, y) of one image of a capture."""
    view = load_views(point2act.read_capture(capture))[image]
    depth = 0.0 if view.depth is None else float(view.depth[int(y), int(x)])
    if view.depth is None or depth <= 0:
        raise SystemExit(f"no depth at ({x}, {y}): choose another pixel")
    point = back_project(view.camera, view.T_world_cam, np.array([[x, y]]), np.array([depth]))[0]
    box = OrientedBox(point, np.eye(3), np.full(3, 0.02))
    region = Region(point, 1.0, Support(1, 0, 0), box)
    volume = fuse_local([view], [view.depth], point)
    grasps, nothing = point2act.plan_grasps(
        volume, region, point2act.load_gripper(gripper), rng=np.random.default_rng(0)
    )
    for grasp in grasps[:5]:
        print(f"score {grasp.score:.2f}, width {1e3 * grasp.width:.0f} mm\n{grasp.T_world_gripper.round(3)}")
    if nothing is not None:
        print(nothing.reason, nothing.detail)


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
