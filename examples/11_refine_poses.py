"""Refine the camera poses of a capture on their own, and report how far they moved."""

from pathlib import Path

import numpy as np
import tyro

import point2act
from point2act.data.capture import load_views


def main(capture: Path) -> None:
    """Bundle adjustment and photometric alignment, held by the given poses."""
    views = load_views(point2act.read_capture(capture), max_side=480)
    refined = point2act.refine_poses(views)
    for before, after in zip(views, refined.views, strict=True):
        moved = np.linalg.norm(after.T_world_cam[:3, 3] - before.T_world_cam[:3, 3])
        print(f"{before.name}: {1e3 * moved:.2f} mm")


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
