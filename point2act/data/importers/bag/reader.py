"""Reading of messages from bags through the library rosbags, with errors that name the file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point2act.core.errors import CaptureError

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
INFO = "sensor_msgs/msg/CameraInfo"
TF = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
"""Types of messages that are read, as ROS 2 names them."""

_MAX_SHOWN = 200  # Characters of a library's error in ours. Chosen.


@dataclass(frozen=True)
class Topic:
    """A topic of a bag."""

    name: str
    kind: str
    """Type of its messages, such as ``sensor_msgs/msg/Image``."""
    count: int
    """Number of messages."""


@dataclass(frozen=True, eq=False)
class Message:
    """A message with its topic."""

    topic: str
    received: int
    """Nanoseconds, by the clock of the recorder."""
    content: Any
    """The deserialized message."""


def stamp(header: Any) -> int:
    """Return the time of a ROS header in nanoseconds."""
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def frame_name(name: str) -> str:
    """Return the name of a frame without the leading slash that ROS 1 allowed."""
    return name.removeprefix("/")


class Bag:
    """An open bag. ``open_bag`` makes it."""

    def __init__(self, reader: AnyReader, place: str):
        """Take an open reader; ``place`` names the bag in errors."""
        self.place = place
        self._reader = reader

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Topics in alphabetical order, without those whose messages have several types."""
        found = self._reader.topics.items()
        return tuple(Topic(name, info.msgtype, info.msgcount) for name, info in found if info.msgtype)

    @property
    def start(self) -> int:
        """Time of the first message, nanoseconds."""
        return self._reader.start_time

    def messages(
        self, topics: Collection[str], start: int | None = None, stop: int | None = None
    ) -> Iterator[Message]:
        """Yield the messages of some topics in the order in which they were received.

        Args:
            topics: Names of topics of the bag.
            start: Time of receipt from which on, nanoseconds.
            stop: Time of receipt before which, nanoseconds.

        Raises:
            CaptureError: The bag is damaged.
        """
        connections = self._connections(topics)
        if not connections:
            return
        with _as_capture_error(self.place):
            for connection, received, raw in self._reader.messages(connections, start, stop):
                content = self._reader.deserialize(raw, connection.msgtype)
                yield Message(connection.topic, received, content)

    def received_at(self, topic: str, times: Sequence[int]) -> Iterator[Message]:
        """Yield the messages of a topic that were received at the given times, which are sorted.

        Only these are read, except from an MCAP file without chunks, which has no index.

        Raises:
            CaptureError: The bag is damaged.
        """
        wanted = set(times)
        windows = [(time, time + 1) for time in sorted(wanted)]
        if wanted and self._without_index():
            windows = [(times[0], times[-1] + 1)]
        for start, stop in windows:
            yield from (m for m in self.messages([topic], start, stop) if m.received in wanted)

    def _connections(self, topics: Collection[str]) -> list[Connection]:
        return [connection for connection in self._reader.connections if connection.topic in topics]

    def _without_index(self) -> bool:
        from rosbags.rosbag2.storage_mcap import McapReader

        storages: list[Any] = [getattr(reader, "storage", reader) for reader in self._reader.readers]
        files = [file for storage in storages for file in getattr(storage, "storages", [storage])]
        return any(isinstance(file, McapReader) and not file.chunks for file in files)


@contextmanager
def open_bag(paths: Sequence[Path]) -> Iterator[Bag]:
    """Open bags of one recording: ``.bag`` files, a folder of ROS 2, or ``.db3`` or ``.mcap`` files.

    Args:
        paths: The files or the folder.

    Raises:
        CaptureError: The library is missing, or a bag is missing, cut or of another format.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as err:
        raise CaptureError(f'bags need rosbags ({err}): pip install "point2act[bags]"') from err
    for path in paths:
        if not path.exists():
            raise CaptureError(f"there is no {path}: give a .bag file, a folder of ROS 2 or an .mcap file")
        if path.is_dir() and not (path / "metadata.yaml").is_file():
            raise CaptureError(
                f"{path} has no metadata.yaml: run ros2 bag reindex, or give the .db3 or .mcap files in it"
            )
    place = ", ".join(map(str, paths))
    with _as_capture_error(place):
        # Bags of Humble and before hold no definitions; those of the messages read here never changed.
        reader = AnyReader(paths, default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
    try:
        yield Bag(reader, place)
    finally:
        reader.close()


@contextmanager
def _as_capture_error(place: str) -> Iterator[None]:
    """Turn any exception of the reader into a ``CaptureError``.

    Damaged bags raise ReaderError, SerdeError, AssertionError, struct.error, apsw.Error, UnicodeDecodeError,
    zstd's and lz4's errors, MemoryError and more.
    """
    try:
        yield
    except CaptureError:
        raise
    except Exception as err:
        words = (" ".join(str(err).split()) or type(err).__name__)[:_MAX_SHOWN]
        raise CaptureError(
            f"{place} cannot be read ({words}): it is cut, damaged or no bag of ROS; copy it again, or "
            "repair it with rosbag reindex, ros2 bag reindex or mcap recover"
        ) from err
