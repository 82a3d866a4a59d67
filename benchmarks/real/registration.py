"""Registration of a recording whose true one is known: a shelf whose depth was registered to colour twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import Metric
from point2act.calibration.checks.repair import repair
from point2act.core.types import View
from point2act.data.capture import load_views, read_capture

RECORDING, TRUTH = "apc_shelf", "apc_shelf_registered"
FOCAL_RATIO = 1.288
"""Focal length of the colour camera over that of the depth camera, as published with the recording."""
OFFSET = np.array([0.0257, -0.0007, 0.0043])
"""Position of the depth camera in the colour camera, metres, as published."""


def registration_metrics(data: Path) -> Iterator[Metric]:
    """Yield the differences of the registration from the published one, and of depth from the true depth."""
    views = load_views(read_capture(data / RECORDING))
    found = repair(views, metric=False)
    yield Metric("real.depth_as_recorded_mm", _off(views, data), "mm")
    yield Metric("real.depth_refined_mm", _off(found.views, data), "mm")
    extrinsics = found.depth_extrinsics
    if extrinsics is not None:
        ratio = 1 / extrinsics.zoom
        # One of two registrations is reversed: its baseline is seen by the depth camera, from the other side.
        right, down, ahead = extrinsics.offset
        offset = -np.array([ratio * right, ratio * down, ahead])
        yield Metric("real.focal_ratio_off_percent", 100 * abs(ratio / FOCAL_RATIO - 1), "%")
        yield Metric("real.offset_off_mm", 1000 * float(np.abs(offset - OFFSET).max()), "mm")


def _off(views: list[View] | tuple[View, ...], data: Path) -> float:
    """Return the median difference from the true depth, millimetres."""
    true = {view.name: view.depth for view in load_views(read_capture(data / TRUTH))}
    differences = []
    for view in views:
        there = true.get(view.name)
        if there is not None and view.depth is not None:
            both = (there > 0) & (view.depth > 0)
            differences.append(np.abs(there - view.depth)[both])
    return 1000 * float(np.median(np.concatenate(differences)))
