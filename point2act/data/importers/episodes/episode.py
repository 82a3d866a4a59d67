"""An episode's cameras, the choice of still images that are spread along their paths, and writing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from point2act.core.errors import CaptureError
from point2act.core.types import Camera, Capture, ProgressCallback, View
from point2act.data.capture import CaptureWriter, read_capture
from point2act.data.capture.validators import positive, rigid
from point2act.data.importers.write import mark_metric, new_capture

Picture = tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "h w"] | None]
"""Colours, and depth in metres with 0 where there is no reading."""

NO_DEPTH = "there is no depth: places are found, but grasps on surfaces from images alone are unreliable"
"""Remark on an episode without depth."""

_LEVER = 0.3
"""Metres that a radian of rotation counts as: the distance at which a wrist camera sees objects. Chosen."""

_STEP = 0.01
"""Metres of path for which one image is enough; a camera that moves less stands still. Chosen."""

_ASPECT = 0.01
"""Largest relative difference between the scales of width and height: sizes are whole pixels. Chosen."""

_UNUSUAL = re.compile(r"[^\w-]+")
"""What is not kept of a camera's name in names of files."""


@dataclass(frozen=True, eq=False)
class EpisodeCamera:
    """An undistorted camera of an episode; its image ``i`` was taken at step ``i`` of the robot."""

    name: str
    camera: Camera
    T_world_cams: Float[np.ndarray, "n 4 4"]
    """Pose at every step, not finite where there is none."""
    read: Callable[[Sequence[int]], Iterator[Picture]]
    """Yields the pictures of ascending steps."""


@dataclass(frozen=True, eq=False)
class Episode:
    """The cameras of an episode, with remarks for the user."""

    cameras: tuple[EpisodeCamera, ...]
    notes: tuple[str, ...] = ()
    T_base_world: Float[np.ndarray, "4 4"] | None = None
    untouched: int | None = None
    """Number of first steps in which the robot cannot have moved anything, None if that is unknown."""


def pinhole(
    K: Sequence[float],
    size: tuple[int, int],
    place: str,
    *,
    K_size: tuple[int, int] | None = None,
    first_pixel: float = 0.0,
) -> Camera:
    """Make the camera of an image, whose intrinsics may be those of another size.

    Args:
        K: ``(fx, fy, cx, cy)`` in pixels.
        size: Height and width of the image.
        place: What the intrinsics are of, for errors.
        K_size: Height and width that ``K`` is for, None for ``size``.
        first_pixel: What ``cx`` and ``cy`` count as the centre of the first pixel: 0 as in OpenCV, or 0.5.

    Raises:
        CaptureError: The image is not a scaled one of ``K_size``, or the centre lies outside of it.
    """
    fx, fy, cx, cy = (positive(value, f"{place}: the intrinsics") for value in K)
    sy, sx = (now / then for now, then in zip(size, K_size or size, strict=True))
    if abs(sx / sy - 1) > _ASPECT:
        raise CaptureError(
            f"{place}: the image is {size[1]}x{size[0]} pixels and not a scaled one of "
            f"{(K_size or size)[1]}x{(K_size or size)[0]}: give the intrinsics of this image"
        )
    shift = 0.5 - first_pixel
    camera = Camera(sx * fx, sy * fy, sx * (cx + shift), sy * (cy + shift), *size)
    if not (0 < camera.cx < camera.width and 0 < camera.cy < camera.height):
        raise CaptureError(
            f"{place}: fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g} are not those of an image of "
            f"{size[1]}x{size[0]} pixels: give the intrinsics in pixels, and the size they are for"
        )
    return camera


def choose_steps(T_world_cams: Float[np.ndarray, "n 4 4"], count: int) -> tuple[int, ...]:
    """Choose the stillest step of equal stretches of a camera's path; the first one of a fixed camera.

    An episode is filmed in motion, and images and poses are not taken at one time: where the arm moves
    slowly, images are sharp and a delay matters least.

    Args:
        T_world_cams: Pose at every step, not finite where there is none.
        count: Maximum number of steps to choose.
    """
    posed = np.flatnonzero(np.isfinite(T_world_cams).all(axis=(1, 2)))
    if not len(posed):
        return ()
    moves = _moves(T_world_cams[posed])
    path = np.concatenate([[0.0], np.cumsum(moves)])
    number = int(np.clip(path[-1] / _STEP, 1, count))
    if number == 1:
        return (int(posed[0]),)
    speed = np.maximum(np.append(moves, moves[-1]), np.insert(moves, 0, moves[0]))
    stretch = np.minimum((path / path[-1] * number).astype(int), number - 1)
    members = [np.flatnonzero(stretch == index) for index in np.unique(stretch)]
    return tuple(int(posed[steps[np.argmin(speed[steps])]]) for steps in members)


def _moves(T_world_cams: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, " n-1"]:
    """Return the length of each step in metres, with rotation by the lever."""
    shift = np.linalg.norm(np.diff(T_world_cams[:, :3, 3], axis=0), axis=1)
    turns = np.einsum("nji,njk->nik", T_world_cams[:-1, :3, :3], T_world_cams[1:, :3, :3])
    # |R - I| is 2√2 sin(angle/2): precise for small angles, where the arc cosine of the trace is not.
    chord = np.linalg.norm(turns - np.eye(3), axis=(1, 2)) / np.sqrt(8)
    return shift + _LEVER * 2 * np.arcsin(np.minimum(chord, 1.0))


def write_episode(
    output: Path,
    episode: Episode,
    chosen: Sequence[Sequence[int]],
    *,
    progress: ProgressCallback | None = None,
) -> Capture:
    """Write chosen steps of each camera as a capture, with one picture in memory at a time.

    Args:
        output: Folder of the capture, new or empty.
        episode: The episode.
        chosen: The steps of each camera, ascending.
        progress: Called with the number of pictures written, and of all.

    Raises:
        CaptureError: A picture cannot be read, a pose is not rigid, or ``output`` exists.
    """
    total, done = sum(map(len, chosen)), 0
    with new_capture(output) as folder:
        with CaptureWriter(folder, T_base_world=episode.T_base_world) as writer:
            for view in _views(episode, chosen):
                writer.add(view)
                done += 1
                if progress is not None:
                    progress(done, total)
        # Without depth nothing else says that the lengths are metres.
        mark_metric(folder, metric=True)
    return read_capture(output)


def _views(episode: Episode, chosen: Sequence[Sequence[int]]) -> Iterator[View]:
    for camera, steps in zip(episode.cameras, chosen, strict=True):
        for step, (rgb, depth) in zip(steps, camera.read(steps), strict=True):
            place = f"the pose of camera {camera.name!r} at step {step}"
            T_world_cam = rigid(camera.T_world_cams[step], place)
            name = f"images/{_UNUSUAL.sub('_', camera.name)}_{step:05}"
            yield View(name, camera.camera, T_world_cam, rgb, depth)


@dataclass(frozen=True)
class StepsConfig:
    """Which steps of an episode are used."""

    max_frames: int = 40
    """Maximum number of images of each camera, spread along its path; a fixed camera gives one."""
    first: int = 0
    """First step to use, from 0."""
    last: int | None = None
    """Last step to use; nothing may have been moved until then. By default the episode's last; of DROID, the
    one before the gripper closes."""


def choose_pictures(episode: Episode, config: StepsConfig) -> tuple[tuple[int, ...], ...]:
    """Choose the steps of each camera of an episode.

    Args:
        episode: The episode.
        config: Which may be used, and how many.

    Raises:
        CaptureError: A number is out of range, or no camera has a pose in the steps.
    """
    first, last = config.first, config.last
    if config.max_frames < 1:
        raise CaptureError(f"--max-frames is {config.max_frames}: give 1 or more")
    steps = max(len(camera.T_world_cams) for camera in episode.cameras)
    stop = min(episode.untouched or steps, steps) if last is None else last + 1
    if not 0 <= first < stop <= steps:
        raise CaptureError(
            f"--first {first} and --last {stop - 1} are not steps of the episode, which has {steps}: give "
            f"steps from 0 to {steps - 1}, in this order"
        )
    windows = [camera.T_world_cams[first:stop] for camera in episode.cameras]
    chosen = tuple(tuple(first + step for step in choose_steps(T, config.max_frames)) for T in windows)
    if not any(chosen):
        raise CaptureError(
            f"no camera has a pose in steps {first} to {stop - 1}: give others with --first and --last"
        )
    return chosen
