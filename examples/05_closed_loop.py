"""A robot writes a capture while point2act follows it. Here the robot replays a recorded capture."""

import threading
import time
from pathlib import Path
from shutil import copyfile

import tyro

import point2act
from point2act.data.capture import load_views


def robot(recorded: Path, growing: Path, pause: float) -> None:
    """Write view after view, as a camera on a wrist would."""
    source = point2act.read_capture(recorded)
    with point2act.CaptureWriter(growing, T_base_world=source.T_base_world) as writer:
        for view in load_views(source):
            writer.add(view)
            time.sleep(pause)


def main(recorded: Path, growing: Path, output: Path, pause: float = 0.1) -> None:
    """Follow a capture that is still being recorded; grasps are ready soon after its last image."""
    growing.mkdir(parents=True, exist_ok=True)
    copyfile(recorded / "points.json", growing / "points.json")  # or ask a model: questions=...
    thread = threading.Thread(target=robot, args=(recorded, growing, pause))
    thread.start()
    result = point2act.follow(growing, output)
    thread.join()
    for found in result.results:
        print(found.query.text, len(found.grasps), "grasps", found.reason or "")


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
