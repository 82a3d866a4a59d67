"""Time and peak memory of lifting 64 and 384 channels from 24 views of 320x240 onto 30 000 Gaussians."""

from __future__ import annotations

import ctypes
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import Metric, Plan
from benchmarks.common.capture import capture
from benchmarks.common.timing import once, python
from point2act.core.types import View
from point2act.data.capture import load_views, read_capture
from point2act.localization.features import Extractor, lift_features
from point2act.splatting.initialization import initialize_gaussians

# Patches of 14 pixels, as DINOv2 and SigLIP have them: features of 23 x 18 for 320 x 240.
_PATCH = 14
_UNITS = {"seconds": "s", "cpu_s": "s", "peak_mb": "MB"}


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield seconds, seconds of processor time, and the peak of memory beyond what was held before.

    Each is the smallest of a few processes of their own.
    """
    for channels in (64, 384):
        rounds = [_in_own_process(channels) for _ in range(min(plan.rounds, 2))]
        for name, unit in _UNITS.items():
            yield Metric(f"features.{name}_{channels}", min(found[name] for found in rounds), unit)


def _in_own_process(channels: int) -> dict[str, float]:
    finished = python("-m", "benchmarks.features.suite", str(capture()), str(channels))
    return json.loads(finished.output.splitlines()[-1])


def measure_once(folder: str, channels: int) -> dict[str, float]:
    """Return the measures of one lifting with compiled kernels."""
    views = tuple(load_views(read_capture(folder), max_side=480))
    scene = initialize_gaussians(views, point_cloud_path=None, rng=np.random.default_rng(0)).scene
    lift_features(scene, views[:1], lambda _: np.ones((1, 1, 1)))
    extractor = patches(views[0], channels)
    # What was freed goes back to the system, and the peak back to what the process holds now, see proc(5).
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before, start = _status("VmRSS"), time.process_time()
    seconds = once(lambda: lift_features(scene, views, extractor))
    spent = time.process_time() - start
    peak = (_status("VmHWM") - before) * 1024 / 1e6
    return {"seconds": seconds, "cpu_s": spent, "peak_mb": peak, "gaussians": len(scene), "views": len(views)}


def _status(field: str) -> int:
    """Return a field of the process's memory, in units of 1024 bytes."""
    found = re.search(rf"^{field}:\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def patches(view: View, channels: int) -> Extractor:
    """Return an extractor of random features, one for each patch of the image."""
    rng = np.random.default_rng(0)
    size = (-(-view.camera.height // _PATCH), -(-view.camera.width // _PATCH), channels)
    return lambda _: rng.standard_normal(size, dtype=np.float32)


if __name__ == "__main__":
    print(json.dumps(measure_once(sys.argv[1], int(sys.argv[2]))))
