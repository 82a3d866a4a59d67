"""Recordings from bags: the chosen images with their poses, cameras and depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from point2act.core.errors import CaptureError
from point2act.core.progress import StepCounter
from point2act.core.types import ProgressCallback
from point2act.data.importers.bag.cameras import check_size, find_depth_camera, recorded_camera
from point2act.data.importers.bag.choice import Choice, choose_images
from point2act.data.importers.bag.index import ImageTimes, Index, Interval, read_index
from point2act.data.importers.bag.messages import save_color, save_depth
from point2act.data.importers.bag.reader import Bag, stamp
from point2act.data.importers.bag.topics import Topics, check_complete, choose_topics
from point2act.data.importers.bag.transforms import CameraPath
from point2act.data.importers.calibration import Calibration, read_calibration
from point2act.data.importers.recording import Recording, make_frame
from point2act.data.importers.write import subsample

_PLAUSIBLE = (0.05, 20.0)
"""Median depth of a scene for a robot, metres. Chosen wide."""


@dataclass(frozen=True)
class BagConfig:
    """What to take from a bag."""

    color: str | None = None
    """Topic of the colour images; guessed by default."""
    depth: str | None = None
    """Topic of the depth images; guessed by default, registered depth first."""
    info: str | None = None
    """Topic of the colour camera's camera_info; by default the one beside the images."""
    depth_info: str | None = None
    """Topic of the depth camera's camera_info; by default the one beside the images."""
    base: str = "base_link"
    """Frame that becomes the world, in which grasps are."""
    camera: str | None = None
    """Optical frame of the colour camera (z forward); by default the one that the images name."""
    calibration: Path | None = None
    """JSON file that describes the camera, in place of camera_info: as for capture rgbd --camera."""
    depth_unit: float | None = None
    """Metres per unit of the depth images, in place of 0.001 for 16UC1 and 1 for 32FC1."""
    skew: float = 0.0
    """Seconds to add to the stamps of the images to read their poses from tf."""
    start: float | None = None
    """Seconds after the start of the bag from which on to read."""
    end: float | None = None
    """Seconds after the start of the bag up to which to read."""
    every: int = 1
    """Consider every n-th image only."""
    max_frames: int | None = 60
    """Maximum number of images to use: spread over viewpoints, each while the camera is slowest."""

    @property
    def topics(self) -> Topics:
        """The topics that are named."""
        return Topics(self.color, self.info, self.depth, self.depth_info)


@dataclass(frozen=True, eq=False)
class Scan:
    """A bag that was read once, without pixels, and what to take from it."""

    index: Index
    topics: Topics
    path: CameraPath
    """Where the colour camera is."""
    calibration: Calibration
    """The colour camera; the depth camera only if the user described it."""
    choice: Choice


def scan_bag(bag: Bag, config: BagConfig, *, progress: ProgressCallback | None = None) -> Scan:
    """Read a bag once, without pixels, and choose images.

    Args:
        bag: The bag.
        config: What to take.
        progress: Called with the number of messages read.

    Raises:
        CaptureError: A topic, frame, camera or transform is missing, a clock goes back, or the bag is cut.
    """
    subsample((), config.every, config.max_frames)  # Refuses bad numbers before the bag is read.
    topics = choose_topics(bag.topics, config.topics)
    check_complete(topics, bag.topics, bag.place)
    described = None if config.calibration is None else read_calibration(config.calibration)
    if described is None and topics.info is None:
        raise CaptureError(
            f"{bag.place} has no camera_info beside {topics.color}: name its topic with --info, or describe "
            "the camera in a file for --calibration"
        )
    index = read_index(bag, topics, Interval(config.start, config.end), progress=progress)
    camera = config.camera or index.color.frame
    if not camera:
        raise CaptureError(f"images of {index.color.topic} name no frame: give the camera's with --camera")
    if described is None:
        assert topics.info is not None
        described = Calibration(recorded_camera(index, topics.info, index.color))
    path = CameraPath(index.tree, config.base, camera, config.skew)
    return Scan(index, topics, path, described, choose_images(index, path, config.every, config.max_frames))


def extract(
    bag: Bag, scan: Scan, config: BagConfig, folder: Path, *, progress: ProgressCallback | None = None
) -> Recording:
    """Read the pixels of the chosen images and write them as files.

    Args:
        bag: The bag.
        scan: Its contents.
        config: What to take, as for ``scan_bag``.
        folder: Folder for the files.
        progress: Called with the number of images.

    Raises:
        CaptureError: An encoding is not supported, depth is in another unit, or its camera is unknown.
    """
    count = StepCounter(progress, 2 * len(scan.choice.stamps))
    _extract_colors(bag, scan, folder, count)
    size, unit = _extract_depth(bag, scan, config, folder, count)
    color, depth_camera = scan.calibration.color, scan.calibration.depth
    if config.calibration is None:
        depth_camera = find_depth_camera(scan.index, scan.topics.depth_info, color, scan.path.camera, size)
    frames = tuple(
        make_frame(_color_path(folder, number), _depth_path(folder, number), color, pose, unit)
        for number, pose in enumerate(scan.choice.T_base_cam)
    )
    return Recording(frames, depth_camera, scan.choice.notes, T_base_world=np.eye(4))


def _extract_colors(bag: Bag, scan: Scan, folder: Path, count: StepCounter) -> None:
    choice, images = scan.choice, scan.index.color
    numbers = {int(time): number for number, time in enumerate(choice.stamps)}
    for message in bag.received_at(images.topic, choice.color_received.tolist()):
        number = numbers.get(stamp(message.content.header))
        if number is not None:
            place = _place(images, message.received, bag)
            size = save_color(message.content, _color_path(folder, number), place)
            check_size(place, size, scan.calibration.color)
            count()


def _extract_depth(
    bag: Bag, scan: Scan, config: BagConfig, folder: Path, count: StepCounter
) -> tuple[tuple[int, int], float]:
    """Write the depth; return its height and width, and the metres of one unit."""
    choice, images = scan.choice, scan.index.depth
    numbers: dict[int, list[int]] = {}
    for number, time in enumerate(choice.depth_stamps):
        numbers.setdefault(int(time), []).append(number)  # Colour images may share one.
    medians, size, unit = [], (0, 0), 1.0
    for message in bag.received_at(images.topic, choice.depth_received.tolist()):
        for number in numbers.get(stamp(message.content.header), ()):
            place = _place(images, message.received, bag)
            depth, unit = save_depth(message.content, _depth_path(folder, number), place)
            seen = depth[np.isfinite(depth) & (depth > 0)]
            medians += [float(np.median(seen))] if len(seen) else []
            size = len(depth), len(depth[0])
            count()
    unit = config.depth_unit or scan.calibration.depth_unit or unit
    _check_depth(images.topic, medians, unit)
    return size, unit


def _check_depth(topic: str, medians: list[float], unit: float) -> None:
    if not medians:
        raise CaptureError(f"{topic} has no reading in any of the images: check the depth camera")
    metres = float(np.median(medians)) * unit
    low, high = _PLAUSIBLE
    if not low <= metres <= high:
        raise CaptureError(
            f"{topic} would be {metres:.3g} m away in the median, with {unit:g} m for one unit: give the "
            "metres of one unit with --depth-unit, 0.001 for millimetres, 1 for metres"
        )


def _color_path(folder: Path, number: int) -> Path:
    return folder / f"{number:04}.png"


def _depth_path(folder: Path, number: int) -> Path:
    return folder / f"{number:04}.npy"


def _place(images: ImageTimes, received: int, bag: Bag) -> str:
    return f"{bag.place}: {images.topic} at {(received - bag.start) / 1e9:.2f} s"
