"""Estimate of the memory that the views of a capture need, compared with what is free before loading."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from point2act.core.errors import CaptureError
from point2act.core.types import Frame
from point2act.data.capture import distortion

# Bytes per pixel of a view: colours, depth as float32, mask.
_RGB, _DEPTH, _MASK = 3, 4, 1
# Peak bytes per pixel of the image on disk while one is loaded: colours as Pillow decodes and converts them;
# depth as float64 beside them; the rays of a distorted camera. Measured: 14, 26 and 123 (tracemalloc and
# Pillow's own).
_RGB_PEAK, _DEPTH_PEAK, _DISTORTED_PEAK = 14, 26, 125
# Files with the limit and the use of memory of a control group, version 2 and version 1 (Linux kernel
# manual).
_CGROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
_USABLE = 0.95  # Fraction of the free memory that views may use; other parts grow meanwhile. Chosen.


def check_memory(frames: Sequence[Frame], *, max_side: int | None = None, extra: int = 0) -> None:
    """Raise ``CaptureError`` if the views of frames do not fit into the free memory.

    ``extra`` is what the caller stores in addition, bytes per pixel of all views. Nothing is checked if the
    free memory is unknown.
    """
    free = free_bytes()
    needed = needed_bytes(frames, max_side=max_side, extra=extra)
    if free is None or needed <= _USABLE * free:
        return
    longest = max(max(_view_size(frame, max_side)) for frame in frames)
    raise CaptureError(
        f"{len(frames)} views of {_sizes(frames, max_side)} need about {needed / 1e9:.2g} GB and "
        f"{free / 1e9:.2g} GB are free: give --max-side {_smaller(longest, needed, free)} or keep every "
        f"{_ordinal(math.ceil(needed / max(_USABLE * free, 1)))} image"
    )


def needed_bytes(frames: Sequence[Frame], *, max_side: int | None = None, extra: int = 0) -> int:
    """Return the bytes that loading frames takes: all views, and the largest image while it is loaded."""
    views = sum(math.prod(_view_size(frame, max_side)) * (_view_bytes(frame) + extra) for frame in frames)
    return views + max((_loading_bytes(frame) for frame in frames), default=0)


def free_bytes() -> int | None:
    """Return the bytes available without swapping, within the limit of a container; None if unknown."""
    limits = [_cgroup()]
    with suppress(OSError, NotImplementedError):  # As in a container without /proc.
        limits.append(psutil.virtual_memory().available)
    return min((limit for limit in limits if limit is not None), default=None)


def _view_bytes(frame: Frame) -> int:
    depth = _DEPTH if frame.depth_path is not None else 0
    masked = frame.mask_path is not None or not distortion.is_pinhole(frame.lens)
    return _RGB + depth + (_MASK if masked else 0)


def _loading_bytes(frame: Frame) -> int:
    peak = _DEPTH_PEAK if frame.depth_path is not None else _RGB_PEAK
    peak = peak if distortion.is_pinhole(frame.lens) else _DISTORTED_PEAK
    return frame.camera.height * frame.camera.width * peak


def _view_size(frame: Frame, max_side: int | None) -> tuple[int, int]:
    """Return ``(height, width)`` of a view."""
    height, width = frame.camera.height, frame.camera.width
    scale = 1.0 if max_side is None else min(1.0, max_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _sizes(frames: Sequence[Frame], max_side: int | None) -> str:
    sizes = {_view_size(frame, max_side) for frame in frames}
    height, width = max(sizes, key=math.prod)
    return f"{width}x{height}" if len(sizes) == 1 else f"up to {width}x{height}"


def _smaller(longest: int, needed: int, free: int) -> int:
    """Return a longer side at which the views would fit: bytes grow with its square."""
    side = longest * math.sqrt(0.8 * free / needed)
    return max(1, int(side // 10 * 10) or int(side))


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def _cgroup(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes left of a container's memory limit, None without a readable limit."""
    for limit, used in _CGROUP_FILES:
        try:
            left = int((root / limit).read_text()) - int((root / used).read_text())
            stat = (root / limit).with_name("memory.stat").read_text()
        except (OSError, ValueError):
            continue
        caches = re.search(r"^(?:total_)?inactive_file (\d+)", stat, re.MULTILINE)
        return max(0, left + (0 if caches is None else int(caches.group(1))))
    return None
