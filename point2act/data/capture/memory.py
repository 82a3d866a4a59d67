"""Whether the views of a capture fit into memory, told from its headers before anything is loaded."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from point2act.core.errors import CaptureError
from point2act.core.types import Frame
from point2act.data.capture import distortion

# Bytes a pixel of a view: colours, depth as float32, mask.
_RGB, _DEPTH, _MASK = 3, 4, 1
# Bytes a pixel of the image on disk at the worst moment while one is loaded: colours as Pillow decodes and
# converts them; depth as float64 beside them; the rays of a lens. Measured: 14, 26 and 123 (tracemalloc, and
# what Pillow allocates itself).
_COLORS, _DEPTHS, _RAYS = 14, 26, 125
# What control groups call their limit and what is taken of it, version 2 and version 1 (the kernel's manual).
_CGROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
_SPARE = 0.95  # The share of what is free that may be taken: the rest of the program grows meanwhile. Chosen.


def check_memory(frames: Sequence[Frame], *, max_side: int | None = None, beside: int = 0) -> None:
    """Raise ``CaptureError`` where the views of frames will not fit into what memory is free.

    ``beside`` is what the caller keeps besides, bytes for each pixel of all views. Where the system does not
    say how much is free, nothing is checked.
    """
    free = free_bytes()
    needed = needed_bytes(frames, max_side=max_side, beside=beside)
    if free is None or needed <= _SPARE * free:
        return
    longest = max(max(_view_size(frame, max_side)) for frame in frames)
    raise CaptureError(
        f"{len(frames)} views of {_sizes(frames, max_side)} need about {needed / 1e9:.2g} GB and "
        f"{free / 1e9:.2g} GB are free: give --max-side {_smaller(longest, needed, free)} or keep every "
        f"{_ordinal(math.ceil(needed / max(_SPARE * free, 1)))} image"
    )


def needed_bytes(frames: Sequence[Frame], *, max_side: int | None = None, beside: int = 0) -> int:
    """Bytes that loading frames takes: all their views, and the largest image while it is loaded."""
    views = sum(math.prod(_view_size(frame, max_side)) * (_view_bytes(frame) + beside) for frame in frames)
    return views + max((_loading_bytes(frame) for frame in frames), default=0)


def free_bytes() -> int | None:
    """Bytes that can be had without swapping, also within a container's limit; None where nobody says."""
    limits = [_meminfo(), _cgroup()]
    return min((limit for limit in limits if limit is not None), default=None)


def _view_bytes(frame: Frame) -> int:
    depth = _DEPTH if frame.depth_path is not None else 0
    masked = frame.mask_path is not None or not distortion.is_pinhole(frame.lens)
    return _RGB + depth + (_MASK if masked else 0)


def _loading_bytes(frame: Frame) -> int:
    worst = _DEPTHS if frame.depth_path is not None else _COLORS
    worst = worst if distortion.is_pinhole(frame.lens) else _RAYS
    return frame.camera.height * frame.camera.width * worst


def _view_size(frame: Frame, max_side: int | None) -> tuple[int, int]:
    """``(height, width)`` of a view."""
    height, width = frame.camera.height, frame.camera.width
    scale = 1.0 if max_side is None else min(1.0, max_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _sizes(frames: Sequence[Frame], max_side: int | None) -> str:
    sizes = {_view_size(frame, max_side) for frame in frames}
    height, width = max(sizes, key=math.prod)
    return f"{width}x{height}" if len(sizes) == 1 else f"up to {width}x{height}"


def _smaller(longest: int, needed: int, free: int) -> int:
    """A side with which it would fit, were there only views: bytes go with its square."""
    side = longest * math.sqrt(0.8 * free / needed)
    return max(1, int(side // 10 * 10) or int(side))


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def _meminfo() -> int | None:
    """What Linux says is available: free, or in caches that can be dropped."""
    try:
        found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    if found is not None:
        return int(found.group(1)) * 1024
    names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
    if "SC_AVPHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _cgroup(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What is left of the limit of a container, as seen from inside; None without one that can be read."""
    for limit, used in _CGROUP_FILES:
        try:
            left = int((root / limit).read_text()) - int((root / used).read_text())
            stat = (root / limit).with_name("memory.stat").read_text()
        except (OSError, ValueError):
            continue
        caches = re.search(r"^(?:total_)?inactive_file (\d+)", stat, re.MULTILINE)
        return max(0, left + (0 if caches is None else int(caches.group(1))))
    return None
