"""The part of tf2_ros that a node needs: directly connected frames, at the times that were published."""

from __future__ import annotations

import time
from types import ModuleType
from typing import Any


class TransformException(Exception):  # noqa: N818 - its name in tf2
    """There is no such transform."""


class Buffer:
    """Transforms by parent, child and time."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], dict[tuple[int, int], Any]] = {}

    def lookup_transform(self, target: str, source: str, at: Any, timeout: Any) -> Any:
        """Wait for the transform of a time, which must have been published."""
        stamp = divmod(at.nanoseconds, 10**9)
        end = time.monotonic() + timeout.nanoseconds * 1e-9
        while True:
            published = self.known.get((target, source), {})
            if stamp in published:
                return published[stamp]
            if time.monotonic() > end:
                break
            time.sleep(0.005)
        if published:
            raise TransformException("Lookup would require extrapolation into the future")
        frames = {name for edge in self.known for name in edge}
        unknown = next((name for name in (target, source) if name not in frames), None)
        raise TransformException(f'"{unknown}" does not exist' if unknown else "the frames are not connected")


class TransformListener:
    """Fills a buffer from /tf."""

    def __init__(self, buffer: Buffer, node: Any) -> None:
        from rclpy.callback_groups import ReentrantCallbackGroup
        from tf2_msgs.msg import TFMessage

        self._buffer = buffer
        self.subscription = node.create_subscription(
            TFMessage, "/tf", self._keep, 100, callback_group=ReentrantCallbackGroup()
        )

    def _keep(self, message: Any) -> None:
        for one in message.transforms:
            stamp = one.header.stamp
            edge = self._buffer.known.setdefault((one.header.frame_id, one.child_frame_id), {})
            edge[stamp.sec, stamp.nanosec] = one


class TransformBroadcaster:
    """Publishes transforms on /tf."""

    def __init__(self, node: Any) -> None:
        from tf2_msgs.msg import TFMessage

        self._kind, self._publisher = TFMessage, node.create_publisher(TFMessage, "/tf", 100)

    def sendTransform(self, transform: Any) -> None:
        """Publish one transform."""
        self._publisher.publish(self._kind(transforms=[transform]))


def module() -> ModuleType:
    """tf2_ros."""
    made = ModuleType("tf2_ros")
    made.__dict__.update(
        Buffer=Buffer,
        TransformBroadcaster=TransformBroadcaster,
        TransformException=TransformException,
        TransformListener=TransformListener,
    )
    return made
