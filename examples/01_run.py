"""From a capture to grasps: run everything, then read the results."""

from pathlib import Path

import tyro

import point2act


def main(capture: Path, output: Path) -> None:
    """Find and grasp what the capture's points.json asks for."""
    result = point2act.run(capture, output)
    for found in result.results:
        print(f"{found.query.text}: {found.confidence:.0%} sure")
        if not found.grasps:
            print(f"  no grasp ({found.reason}): {found.detail}")
            continue
        best = found.grasps[0]
        opening = best.width if best.approach_width is None else best.approach_width
        print(
            f"  position {best.T_world_gripper[:3, 3].round(3)}, open the gripper to {1e3 * opening:.0f} mm"
        )
    print(f"open {output / 'report.html'}")


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
