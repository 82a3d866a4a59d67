"""Keep the grasps that a Panda reaches, each with a joint path. Needs pip install "point2act[arm]"."""

from pathlib import Path

import tyro

import point2act


def main(run: Path, points: Path, arm: str = "panda") -> None:
    """Print the joint positions of the best reachable grasp; the capture must say T_base_world."""
    session = point2act.open_run(run)
    answered = session.ask(points, config=point2act.AnswerConfig(arm=arm))
    for found in answered.results:
        path = found.grasps[0].joint_path if found.grasps else None
        if path is None:
            print(found.query.text, found.reason, found.detail)
            continue
        print(found.query.text, dict(zip(path.joints, path.grasp.round(3).tolist(), strict=True)))
        steps = f"{len(path.approach)} steps in, {len(path.lift)} up"
        print(f"  {steps}, clearance {1e3 * path.clearance:.0f} mm")


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
