"""From a camera's callback to a grasp, in memory: here the camera replays the images of a capture."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro

import point2act
from point2act.data.capture import load_views


def camera_driver(recorded: Path, pause: float, callback: Callable[..., object]) -> None:
    """Call back with the colours, the depth in millimetres and the pose of every image."""
    for view in load_views(point2act.read_capture(recorded)):
        assert view.depth is not None
        callback(view.rgb, np.rint(view.depth * 1000).astype(np.uint16), view.T_world_cam)
        time.sleep(pause)


def reddest(image: np.ndarray, text: str) -> list[tuple[float, float]]:
    """Point at the middle of what is red; any function or model can point, see 03_own_pointer.py."""
    red, green, blue = np.moveaxis(image.astype(float), -1, 0)
    rows, columns = np.nonzero(red > 60 + 1.6 * np.maximum(green, blue))
    return [(float(np.median(columns)) + 0.5, float(np.median(rows)) + 0.5)] if len(rows) >= 20 else []


def main(recorded: Path, pause: float = 0.2) -> None:
    """Add views from the camera's thread, and ask once it has seen the table from all around."""
    camera = point2act.read_capture(recorded).frames[0].camera
    session = point2act.Session.start(camera)
    driver = threading.Thread(target=camera_driver, args=(recorded, pause, session.add_view))
    driver.start()
    driver.join()  # or ask at any time: add_view may go on meanwhile

    start = time.perf_counter()
    (found,) = session.ask(queries=["the red thing"], pointer=reddest).results
    print(f"{len(session.capture.frames)} views, answered after {time.perf_counter() - start:.1f} s")
    if found.grasps:
        grasp = found.grasps[0]
        print(f"open the gripper to {1000 * (grasp.approach_width or grasp.width):.0f} mm and go to")
        print(grasp.T_world_gripper.round(3))
    else:
        print(found.reason, found.detail)


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
