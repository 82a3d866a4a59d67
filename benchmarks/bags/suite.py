"""``point2act capture bag``: time and memory for 20 minutes and 5 GB, and clock skews that are found."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks import CannotMeasureError, Metric, Plan
from benchmarks.common.capture import workspace
from benchmarks.common.timing import python
from point2act.core.types import Camera

if TYPE_CHECKING:
    from benchmarks.bags.writing import BagWriter, Format

_SECONDS = 1200.0
_CAMERA = Camera(180.0, 180.0, 96.0, 72.0, 144, 192)
"""Small images at 30 Hz, so that 5 GB hold 20 minutes of them."""
_JOINTS = 6
_SECOND = 10**9
_START = 1_700_000_000 * _SECOND
_FREE = 7e9
"""Bytes on the disk that a bag needs, with a margin."""

_MEASURED = """
import resource, subprocess, sys
code = subprocess.call([sys.executable, "-m", "point2act.cli", "capture", "bag", *sys.argv[1:]])
print("\\n", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield seconds and the largest resident set for each format; ``plan.every`` shortens the recording."""
    if importlib.util.find_spec("rosbags") is None:
        raise CannotMeasureError('rosbags is missing: pip install "point2act[bags]"')
    from benchmarks.bags import clock
    from benchmarks.bags.writing import FORMATS

    for kind in FORMATS:
        yield from measure_format(workspace(), kind, _SECONDS / plan.every)
    yield from clock.measure(plan)


def measure_format(folder: Path, kind: Format, seconds: float) -> Iterator[Metric]:
    """Write a bag, convert it in a process of its own, and delete it."""
    if shutil.disk_usage(folder).free < _FREE:
        raise CannotMeasureError(f"{folder} has less than {_FREE / 1e9:.0f} GB left: free some")
    bag = folder / ("long.bag" if kind == "ros1" else "long")
    try:
        write_long_bag(bag, kind, seconds)
        size = sum(path.stat().st_size for path in (bag.rglob("*") if bag.is_dir() else [bag]))
        done = python("-c", _MEASURED, str(bag), "--output", str(folder / f"from-{kind}"))
    finally:
        shutil.rmtree(bag, ignore_errors=True) if bag.is_dir() else bag.unlink(missing_ok=True)
    yield Metric(f"bags.{kind}_gb", size / 1e9, "GB", "higher")
    yield Metric(f"bags.{kind}_s", done.seconds, "s")
    yield Metric(f"bags.{kind}_peak_gb", int(done.output.split()[-1]) * 1024 / 1e9, "GB")


def write_long_bag(path: Path, kind: Format, seconds: float) -> None:
    """Write colour and depth at 30 Hz, and an arm of six joints at 100 Hz that rests every two seconds."""
    from benchmarks.bags.writing import BagWriter

    rng = np.random.default_rng(0)
    size = (_CAMERA.height, _CAMERA.width)
    colors = [rng.integers(0, 255, (*size, 3), dtype=np.uint8) for _ in range(8)]
    depths = [rng.integers(400, 900, size, dtype=np.uint16) for _ in range(8)]
    with BagWriter(path, kind) as bag:
        bag.tf(
            _START,
            [("base_link", "joint0", np.eye(4)), (f"joint{_JOINTS}", "optical", np.eye(4))],
            static=True,
        )
        for tick in range(-30, round(seconds * 300)):
            time = _START + tick * _SECOND // 300
            if tick % 3 == 0:
                _write_arm(bag, time, tick / 300)
            if tick % 10 == 0 and tick >= 0:
                bag.info("/camera/color/camera_info", time, "optical", _CAMERA)
                bag.image("/camera/color/image_raw", time, "optical", colors[tick // 10 % 8], "rgb8")
                bag.image("/camera/aligned_depth/image_raw", time, "optical", depths[tick // 10 % 8], "16UC1")


def _write_arm(bag: BagWriter, time: int, seconds: float) -> None:
    angle = seconds - np.sin(np.pi * seconds) / np.pi  # At rest every two seconds.
    links = []
    for joint in range(_JOINTS):
        turn = np.eye(4)
        turn[:3, :3] = Rotation.from_rotvec(
            (0.5 + 0.1 * joint) * np.sin(0.01 * (joint + 1) * angle) * np.eye(3)[joint % 3]
        ).as_matrix()
        turn[:3, 3] = 0.0, 0.02, 0.15
        links.append((f"joint{joint}", f"joint{joint + 1}", turn))
    bag.tf(time, links)
