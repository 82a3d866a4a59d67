"""One pass over a bag: times of the images, tf and camera_info, without pixels."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int

from point2act.core.errors import CaptureError
from point2act.core.progress import StepCounter
from point2act.core.types import ProgressCallback
from point2act.data.importers.bag.reader import TF, Bag, Message, frame_name, stamp
from point2act.data.importers.bag.topics import Topics
from point2act.data.importers.bag.transforms import JUMP, TransformTree

_STATIC = "tf_static"


@dataclass(frozen=True)
class Interval:
    """A part of a bag, in seconds after its first message; None for its start and its end."""

    start: float | None = None
    end: float | None = None

    def nanoseconds(self, origin: int) -> tuple[int | None, int | None]:
        """Return the interval as times of receipt."""
        times = (None if s is None else origin + round(s * 1e9) for s in (self.start, self.end))
        return next(times), next(times)


@dataclass(eq=False)
class ImageTimes:
    """The images of a topic, in the order in which they were received."""

    topic: str
    frame: str = ""
    """Name of the camera's frame."""
    stamps: array[int] = field(default_factory=lambda: array("q"))
    """Times of the images, nanoseconds."""
    received: array[int] = field(default_factory=lambda: array("q"))
    """Times of receipt, nanoseconds."""

    def add(self, message: Message, bag: Bag) -> None:
        """Add an image. Raises ``CaptureError`` if it has no time, or the clock goes back."""
        time = stamp(message.content.header)
        if time == 0:
            raise CaptureError(
                f"{bag.place}: images of {self.topic} have no time in their headers: set it in the driver "
                "and record again"
            )
        if self.stamps and self.stamps[-1] - time > JUMP * 1e9:
            raise clock_error(bag, self.topic, (self.stamps[-1] - time) / 1e9, message.received)
        self.frame = self.frame or frame_name(message.content.header.frame_id)
        self.stamps.append(time)
        self.received.append(message.received)

    def in_order(self) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Return the times of the images, strictly increasing, and when these were received."""
        stamps, first = np.unique(np.array(self.stamps, dtype=np.int64), return_index=True)
        return stamps, np.array(self.received, dtype=np.int64)[first]


@dataclass(frozen=True, eq=False)
class Index:
    """What a bag holds beside pixels."""

    color: ImageTimes
    depth: ImageTimes
    infos: dict[str, Any]
    """The first CameraInfo of each topic."""
    tree: TransformTree


def read_index(
    bag: Bag, chosen: Topics, interval: Interval, *, progress: ProgressCallback | None = None
) -> Index:
    """Read all messages of the topics once, and keep times, transforms and cameras.

    Memory grows by 16 bytes an image and 64 bytes a transform.

    Args:
        bag: The bag.
        chosen: Topics of colour and depth, both named, and of their cameras.
        interval: The part to read; ``/tf_static`` is read whole.
        progress: Called with the number of messages.

    Raises:
        CaptureError: The bag is damaged, a clock goes back, or there is no image.
    """
    assert chosen.color is not None
    assert chosen.depth is not None
    images = {name: ImageTimes(name) for name in (chosen.color, chosen.depth)}
    infos = {name for name in (chosen.info, chosen.depth_info) if name is not None}
    tf = {topic.name for topic in bag.topics if topic.kind in TF}
    static = {name for name in tf if name.endswith(_STATIC)}
    index = Index(images[chosen.color], images[chosen.depth], {}, TransformTree())
    read = {*images, *infos, *tf}
    count = StepCounter(progress, sum(topic.count for topic in bag.topics if topic.name in read))
    for message in bag.messages(static):
        _add_transforms(index.tree, message, bag, static=True)
        count()
    for message in bag.messages(read - static, *interval.nanoseconds(bag.start)):
        if message.topic in tf:
            _add_transforms(index.tree, message, bag, static=False)
        elif message.topic in images:
            images[message.topic].add(message, bag)
        elif message.topic not in index.infos:
            index.infos[message.topic] = message.content
        count()
    count.finish()
    _check_images(bag, (index.color, index.depth))
    return index


def clock_error(bag: Bag, what: str, seconds: float, received: int) -> CaptureError:
    """Return the error for a clock that goes back."""
    at = (received - bag.start) / 1e9
    return CaptureError(
        f"{bag.place}: the clock of {what} goes back by {seconds:.1f} s, {at:.2f} s after the start of the "
        f"bag: read one side of it, with --end {at - 0.01:.2f} or --start {at:.2f}"
    )


def _add_transforms(tree: TransformTree, message: Message, bag: Bag, *, static: bool) -> None:
    for transform in message.content.transforms:
        tree.add(transform, static=static)
    if tree.jump is not None:
        frame, seconds = tree.jump
        raise clock_error(bag, f"the transforms of {frame} in {message.topic}", seconds, message.received)


def _check_images(bag: Bag, images: Sequence[ImageTimes]) -> None:
    for one in images:
        if not one.stamps:
            raise CaptureError(
                f"{one.topic} has no image in this part of {bag.place}: choose another --start and --end"
            )
