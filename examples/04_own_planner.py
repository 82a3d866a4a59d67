"""Use any function as the grasp planner: here, straight down across the narrower side."""

from pathlib import Path

import numpy as np
import tyro

import point2act
from point2act import Grasp, Gripper, Region, SurfaceCloud


def top_down(region: Region, surface: SurfaceCloud, gripper: Gripper) -> list[Grasp]:
    """Close along the horizontal direction in which the surface around the action point is narrowest."""
    near = np.linalg.norm(surface.points - region.action_point, axis=1) < 0.03
    spread = surface.points[near] - region.action_point
    if len(spread) < 10:
        return []
    values, axes = np.linalg.eigh(np.cov(spread[:, :2].T))
    y = np.append(axes[:, np.argmin(values)], 0.0)
    along = spread @ y
    width = float(np.ptp(along))
    if width > gripper.max_width:
        return []
    z = np.array([0.0, 0.0, -1.0])
    T = np.eye(4)
    T[:3, :3] = np.stack([np.cross(y, z), y, z], axis=1)
    T[:3, 3] = region.action_point + y * (along.max() + along.min()) / 2
    contacts = np.stack([T[:3, 3] - y * width / 2, T[:3, 3] + y * width / 2])
    return [Grasp(T, width, 1.0, 1.0, 1.0, contacts, approach_clearance=0.0)]


def main(capture: Path, output: Path) -> None:
    """Localize with point2act, plan with `top_down`."""
    for found in point2act.run(capture, output, planner=top_down).results:
        print(found.query.text, [grasp.T_world_gripper[:3, 3].round(3).tolist() for grasp in found.grasps])


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
