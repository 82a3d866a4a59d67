"""Clock skew between the images and the transforms of a bag."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from point2act.calibration.checks.clock_skew import (
    ClockSkew,
    ClockSkewConfig,
    TimedImage,
    estimate_clock_skew,
    informative_pairs,
)
from point2act.core.types import ProgressCallback, View
from point2act.data.importers.bag.choice import images_within, take_images
from point2act.data.importers.bag.reader import Bag
from point2act.data.importers.bag.recording import BagConfig, Scan, extract
from point2act.data.importers.recording import load_frame


def measure_clock_skew(
    bag: Bag,
    scan: Scan,
    config: BagConfig,
    folder: Path,
    *,
    clock: ClockSkewConfig = ClockSkewConfig(max_pairs=30),
    progress: ProgressCallback | None = None,
) -> ClockSkew | None:
    """Measure how long after the stamps of the images tf has the poses that they show.

    Args:
        bag: The bag.
        scan: Its contents.
        config: What was taken from it.
        folder: Folder for the pixels, for which an empty one is made in it.
        clock: Pairs of images, and when a skew is believed.
        progress: Called with the number of images.

    Returns:
        The skew beyond that of the configuration; None if the bag does not determine it.

    Raises:
        CaptureError: Images cannot be read.
    """
    stamps, _ = scan.index.color.in_order()
    origin = int(stamps[0])

    def poses_at(times: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 4 4"]:
        return scan.path.poses(origin + np.round(times * 1e9).astype(np.int64)).matrices

    usable = images_within(scan.index, scan.path, clock.longest + clock.apart)
    times = (stamps[usable] - origin) / 1e9
    pairs = informative_pairs(times, poses_at, config=clock)
    if len(pairs) < clock.min_pairs:
        return None
    numbers, place = np.unique(pairs, return_inverse=True)
    folder = folder / "clock"
    folder.mkdir()
    taken = take_images(scan.index, scan.path, usable[numbers])
    recording = extract(bag, replace(scan, choice=taken), config, folder, progress=progress)
    views = [load_frame(recording, frame) for frame in recording.frames]
    images = [_timed(view, time) for view, time in zip(views, times[numbers], strict=True)]
    both = [(images[one], images[other]) for one, other in place.reshape(-1, 2)]
    return estimate_clock_skew(both, views[0].camera, poses_at, config=clock)


def _timed(view: View, time: float) -> TimedImage:
    assert view.depth is not None
    return TimedImage(time, cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY), view.depth.astype(float))
