"""Writing of images, cameras and transforms as bags of ROS 1 and 2 and as MCAP files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Ros2Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scipy.spatial.transform import Rotation

from point2act.core.types import Camera

Format = Literal["ros1", "sqlite3", "mcap"]
FORMATS: tuple[Format, ...] = ("ros1", "sqlite3", "mcap")

_TF = "tf2_msgs/msg/TFMessage"
_CHANNELS = {"rgb8": 3, "bgr8": 3, "mono8": 1, "16UC1": 2, "32FC1": 4, "bayer_rggb8": 1}
"""Bytes per pixel of an encoding."""

Link = tuple[str, str, np.ndarray]
"""Parent, child, and the 4x4 transform from the child to the parent."""


class BagWriter:
    """Writer of a bag; times are nanoseconds."""

    def __init__(self, path: Path, kind: Format):
        """Open a new bag: a file for ROS 1, a folder for ROS 2."""
        self.latency = 3_000_000
        """Time between the stamp of a message and its receipt, nanoseconds."""
        self._ros1 = kind == "ros1"
        self._types = get_typestore(Stores.ROS1_NOETIC if self._ros1 else Stores.ROS2_HUMBLE)
        if self._ros1:
            self._types.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", _TF))
        plugin = StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3
        self._writer: Any = (
            Ros1Writer(path) if self._ros1 else Ros2Writer(path, version=9, storage_plugin=plugin)
        )
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        self._writer.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def image(self, topic: str, time: int, frame: str, pixels: np.ndarray, encoding: str) -> None:
        """Write an Image of (h, w) or (h, w, 3) pixels as they are stored."""
        height, width = pixels.shape[:2]
        data = np.frombuffer(np.ascontiguousarray(pixels).tobytes(), dtype=np.uint8)
        step = width * _CHANNELS[encoding]
        self._write(
            topic,
            "sensor_msgs/msg/Image",
            time,
            self.header(time, frame),
            height,
            width,
            encoding,
            0,
            step,
            data,
        )

    def compressed(self, topic: str, time: int, frame: str, data: bytes, words: str) -> None:
        """Write a CompressedImage; ``words`` are its format."""
        pixels = np.frombuffer(data, dtype=np.uint8)
        self._write(topic, "sensor_msgs/msg/CompressedImage", time, self.header(time, frame), words, pixels)

    def info(self, topic: str, time: int, frame: str, camera: Camera, lens: Sequence[float] = ()) -> None:
        """Write a CameraInfo; ROS has the centre of the first pixel at 0."""
        K = camera.K
        K[:2, 2] -= 0.5
        P = np.concatenate([K, np.zeros((3, 1))], axis=1)
        region = self._make("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
        size = (camera.height, camera.width)
        numbers = (np.array(lens, dtype=float), K.ravel(), np.eye(3).ravel(), P.ravel())
        model = "rational_polynomial" if len(lens) > 5 else "plumb_bob"
        header = self.header(time, frame)
        self._write(topic, "sensor_msgs/msg/CameraInfo", time, header, *size, model, *numbers, 0, 0, region)

    def tf(self, time: int, links: Sequence[Link], *, static: bool = False) -> None:
        """Write transforms to /tf or /tf_static."""
        listed = [self._transform(time, *link) for link in links]
        self._write("/tf_static" if static else "/tf", _TF, time, listed)

    def empty(self, topic: str, kind: str) -> None:
        """Add a topic without messages."""
        self._connections[topic] = self._writer.add_connection(topic, kind, typestore=self._types)

    def header(self, time: int, frame: str) -> Any:
        """Return a std_msgs/Header."""
        stamp = self._make("builtin_interfaces/msg/Time", time // 10**9, time % 10**9)
        return self._make("std_msgs/msg/Header", *([0] if self._ros1 else []), stamp, frame)

    def _transform(self, time: int, parent: str, child: str, matrix: np.ndarray) -> Any:
        shift = self._make("geometry_msgs/msg/Vector3", *matrix[:3, 3].tolist())
        turn = self._make(
            "geometry_msgs/msg/Quaternion", *Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()
        )
        both = self._make("geometry_msgs/msg/Transform", shift, turn)
        return self._make("geometry_msgs/msg/TransformStamped", self.header(time, parent), child, both)

    def _make(self, kind: str, *values: Any) -> Any:
        return self._types.types[kind](*values)

    def _write(self, topic: str, kind: str, time: int, *values: Any) -> None:
        if topic not in self._connections:
            self.empty(topic, kind)
        serialize = self._types.serialize_ros1 if self._ros1 else self._types.serialize_cdr
        data = serialize(self._make(kind, *values), kind)
        self._writer.write(self._connections[topic], time + self.latency, data)
