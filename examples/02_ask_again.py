"""Ask a saved scene something else: nothing is trained, the answer takes under a second."""

import time
from pathlib import Path

import tyro

import point2act


def main(run: Path, points: Path) -> None:
    """Answer the queries of another points.json on the scene that 01_run.py saved."""
    session = point2act.open_run(run)
    for _ in range(2):  # the first question also warms up
        start = time.perf_counter()
        answered = session.ask(points)
        print(f"{time.perf_counter() - start:.2f} s, {len(answered.results)} queries")
    output = Path(run) / "other_grasps.json"
    point2act.write_grasps(output, answered.results, capture=session.capture, gripper=answered.gripper)
    print(output)


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
