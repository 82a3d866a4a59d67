"""Reading of single frames of video files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8, UInt16

from point2act.core.errors import CaptureError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

_TWELVE_BITS = ("gray12le", "yuv420p12le")


def video_length(path: Path) -> int | None:
    """Return the number of frames that a video file claims, None if it does not say."""
    with _opened(path) as container:
        return container.streams.video[0].frames or None


def read_frames(
    path: Path, indices: Sequence[int], *, start: float = 0.0
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield the colours of frames of a video.

    PyAV decodes AV1, in which LeRobot records by default and which OpenCV's wheels cannot decode.

    Args:
        path: Video file.
        indices: Frames, ascending, counted from ``start``.
        start: Time of the first frame in seconds.

    Raises:
        CaptureError: The file is missing or cannot be decoded, or has fewer frames.
    """
    for frame in _frames(path, indices, start):
        yield frame.to_ndarray(format="rgb24")


def read_codes(
    path: Path, indices: Sequence[int], *, start: float = 0.0
) -> Iterator[UInt16[np.ndarray, "h w"]]:
    """Yield the 12-bit luminance of frames of a video, as stored; arguments and errors as ``read_frames``."""
    for frame in _frames(path, indices, start):
        if frame.format.name not in _TWELVE_BITS:
            raise CaptureError(
                f"{path} has {frame.format.name} pixels and not 12-bit codes of depth: export the depth as a "
                "16-bit image feature"
            )
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), dtype="<u2").reshape(frame.height, plane.line_size // 2)
        yield rows[:, : frame.width].copy()


def _frames(path: Path, indices: Sequence[int], start: float) -> Iterator[av.VideoFrame]:
    wanted, found = set(indices), 0
    with _opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        early = start - 0.5 / float(stream.average_rate or 30)  # Half a frame
        if start > 0 and stream.time_base is not None:
            container.seek(int(start / stream.time_base), stream=stream)
        count = 0
        for frame in container.decode(stream):
            if start > 0 and (frame.time or 0.0) < early:
                continue
            if count in wanted:
                found += 1
                yield frame
            count += 1
            if found == len(wanted):
                return
    raise CaptureError(
        f"{path} has only {count} frames of the episode, not the {max(wanted) + 1} needed: copy it again"
    )


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    try:
        import av
    except ImportError as err:
        raise CaptureError(f'videos cannot be read ({err}): pip install "point2act[datasets]"') from err
    if not path.is_file():
        raise CaptureError(f"there is no file {path}: download the videos of the episode too")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise CaptureError(f"{path} holds no video: copy it again")
            yield container
    except av.FFmpegError as err:
        raise CaptureError(
            f"{path} cannot be decoded ({err.strerror}): copy it again, or convert it with "
            f"ffmpeg -i {path.name} -c:v libx264 -crf 12 converted.mp4"
        ) from err
