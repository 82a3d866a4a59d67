"""Clock skew and hand-eye errors put into simulated recordings of an arm, and found in them.

``python -m benchmarks.bags.clock`` films tables whose seeds nothing was tuned on with a stereo camera at
30 Hz, on an arm that stops at 16 viewpoints, and writes bags whose transforms are late and whose camera is
mounted wrong. The skew is that of ``capture bag``, the hand-eye error that of the refinement of poses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation, Slerp

from benchmarks import Metric, Plan
from benchmarks.bags.writing import BagWriter
from point2act.calibration.checks.bag_clock import measure_clock_skew
from point2act.calibration.checks.clock_skew import ClockSkew
from point2act.calibration.poses.hand_eye import HandEyeError
from point2act.calibration.poses.refine import refine_poses
from point2act.core.geometry import transform
from point2act.core.threads import configure_threads
from point2act.data.importers.bag.reader import open_bag
from point2act.data.importers.bag.recording import BagConfig, extract, scan_bag
from point2act.data.importers.recording import load_frame
from point2act.physics.pictures import pinhole
from point2act.simulation import load_scene
from point2act.simulation.camera import WristConfig, pose_error, render, wrist_poses
from point2act.simulation.depth_sensors import SENSORS, read_depth

SCENES = (("tabletop", 930), ("workbench", 930), ("kitchen", 931))
SKEWS = (-0.05, 0.02, 0.04, 0.08)
"""Seconds by which the transforms are late."""
HAND_EYE = (0.005, 0.01, 0.015, 0.02)
"""Lengths of the camera's shift, metres, with a turn of as much at half a metre."""
_CAMERA = pinhole((240, 320), 277.0)
_STOPS = 16
_MOVE, _REST = 0.6, 0.4
_SECOND = 10**9
_START = 1_700_000_000 * _SECOND


@dataclass(frozen=True, eq=False)
class Film:
    """What the camera sees along its path."""

    times: Float[np.ndarray, " n"]
    """Seconds."""
    colors: list[np.ndarray]
    depths: list[np.ndarray]
    stops: Float[np.ndarray, "s 4 4"]

    @property
    def end(self) -> float:
        """Duration in seconds."""
        return (len(self.stops) - 1) * (_MOVE + _REST)

    def poses(self, times: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 4 4"]:
        """Return the true poses: motions of least jerk between rests."""
        return path(self.stops, times)


def path(stops: Float[np.ndarray, "s 4 4"], times: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 4 4"]:
    """Return poses on a way with rests, each motion of least jerk."""
    number = np.clip(times / (_MOVE + _REST), 0, len(stops) - 1)
    share = np.clip((number % 1) * (_MOVE + _REST) / _MOVE, 0, 1)
    at = np.floor(number) + share**3 * (10 - 15 * share + 6 * share**2)
    turns = Slerp(np.arange(len(stops)), Rotation.from_matrix(stops[:, :3, :3]))(at).as_matrix()
    shifts = np.stack([np.interp(at, np.arange(len(stops)), stops[:, i, 3]) for i in range(3)], axis=1)
    return np.stack([transform(turn, shift) for turn, shift in zip(turns, shifts, strict=True)])


def film(kind: str, seed: int) -> Film:
    """Film a table at 30 Hz with a stereo camera."""
    scene, rng = load_scene(kind, seed), np.random.default_rng(seed)
    stops = np.array(wrist_poses(scene.layout.table.height, WristConfig(views=_STOPS), rng))
    times = np.arange(0, (len(stops) - 1) * (_MOVE + _REST), 1 / 30)
    color, depth, ids = render(scene, list(path(stops, times)), _CAMERA)
    sensor = SENSORS["stereo"]
    depths = [read_depth(d, c, i, _CAMERA, sensor, rng) for c, d, i in zip(color, depth, ids, strict=True)]
    return Film(times, list(color), depths, stops)


def write_bag(file: Path, shown: Film, skew: float, T_true_recorded: Float[np.ndarray, "4 4"]) -> None:
    """Write a bag whose transforms are stamped late by a skew, of a camera that is mounted wrong."""
    rng = np.random.default_rng(0)
    ticks = np.arange(-0.5, shown.end + 0.5, 0.01) + rng.uniform(-0.002, 0.002, round(shown.end * 100) + 100)
    with BagWriter(file, "ros1") as bag:
        bag.tf(_START, [("wrist", "optical", T_true_recorded)], static=True)
        for tick, pose in zip(ticks, shown.poses(ticks), strict=True):
            bag.tf(_START + round((tick + skew) * _SECOND), [("base_link", "wrist", pose)])
        for time, color, depth in zip(shown.times, shown.colors, shown.depths, strict=True):
            stamp = _START + round(time * _SECOND)
            bag.info("/camera/color/camera_info", stamp, "optical", _CAMERA)
            bag.image("/camera/color/image_raw", stamp, "optical", color, "rgb8")
            bag.image("/camera/aligned_depth/image_raw", stamp, "optical", depth.astype(np.float32), "32FC1")


def find(file: Path, skew: float) -> tuple[ClockSkew | None, HandEyeError | None]:
    """Return the clock skew of a bag, and the hand-eye error of the capture made with a skew taken out."""
    config = BagConfig()
    with TemporaryDirectory() as folder, open_bag([file]) as bag:
        scan = scan_bag(bag, config)
        found = measure_clock_skew(bag, scan, config, Path(folder))
        corrected = BagConfig(skew=skew if found is None else found.seconds)
        recording = extract(bag, scan_bag(bag, corrected), corrected, Path(folder))
        views = [load_frame(recording, frame) for frame in recording.frames]
    refined = refine_poses(views)
    return found, refined.hand_eye


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the largest errors, and how many skews and hand-eye errors were not found."""
    late, off, missed, unknown = [], [], 0, 0
    for kind, seed in SCENES[:: plan.every]:
        shown = film(kind, seed)
        for skew, length in zip(SKEWS, HAND_EYE, strict=True):
            rng = np.random.default_rng(seed + round(1000 * length))
            X = pose_error(length, *rng.standard_normal((2, 3)))
            with TemporaryDirectory() as folder:
                file = Path(folder) / "arm.bag"
                write_bag(file, shown, skew, X)
                found, mounted = find(file, skew)
            missed += found is None
            late += [] if found is None else [1000 * abs(found.seconds - skew)]
            if mounted is None or not mounted.determined:
                unknown += 1
            else:
                off.append(1000 * float(np.linalg.norm(mounted.shift - X[:3, 3])))
            print(
                f"{kind} {seed}: {1000 * skew:.0f} ms, {1000 * length:.0f} mm: {found}; {mounted}", flush=True
            )
    yield Metric("bags.skew_error_ms", max(late, default=np.nan), "ms")
    yield Metric("bags.skew_error_median_ms", float(np.median(late)) if late else np.nan, "ms")
    yield Metric("bags.skew_unknown", missed, "recordings")
    yield Metric("bags.hand_eye_error_mm", max(off, default=np.nan), "mm")
    yield Metric("bags.hand_eye_error_median_mm", float(np.median(off)) if off else np.nan, "mm")
    yield Metric("bags.hand_eye_unknown", unknown, "recordings")


if __name__ == "__main__":
    configure_threads()
    for metric in measure(Plan()):
        print(f"{metric.name:<32} {metric.value:8.3g} {metric.unit}")
