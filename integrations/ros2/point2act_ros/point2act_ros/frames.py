"""Colour and depth images of the same time, from callbacks in one thread to a reader in another."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import Any

_KEPT = 30
"""Number of images of each kind that wait for their partner: a second of a camera."""


def seconds(stamp: Any) -> float:
    """Return a builtin_interfaces/Time in seconds."""
    return stamp.sec + 1e-9 * stamp.nanosec


class Frames:
    """The latest pair of a colour and a depth image of nearly the same time, and the calibration.

    Args:
        max_time_difference: Largest difference of the stamps of a pair, seconds.
    """

    def __init__(self, max_time_difference: float):
        self._difference = max_time_difference
        self._waiting: dict[str, deque[Any]] = {"color": deque(maxlen=_KEPT), "depth": deque(maxlen=_KEPT)}
        self._pair: tuple[Any, Any] | None = None
        self._info: Any = None
        self._seen: set[str] = set()
        self._changed = Condition()

    def add(self, kind: str, message: Any) -> None:
        """Take over a message of the kind ``color``, ``depth`` or ``info``."""
        with self._changed:
            self._seen.add(kind)
            if kind == "info":
                self._info = message
            else:
                self._match(kind, message)
            self._changed.notify_all()

    def take(self, timeout: float) -> tuple[Any, Any, Any] | None:
        """Return colour, depth and calibration once there is a new pair; None after a time, seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: None not in (self._pair, self._info), timeout):
                return None
            assert self._pair is not None
            (color, depth), self._pair = self._pair, None
            return color, depth, self._info

    def missing(self) -> str:
        """Return in words what has not arrived."""
        absent = [kind for kind in ("color", "depth", "info") if kind not in self._seen]
        if absent:
            return f"no message on {' and '.join(f'{kind}_topic' for kind in absent)}"
        return "no colour and depth image with stamps within max_time_difference"

    def _match(self, kind: str, message: Any) -> None:
        """Make a pair with the nearest image of the other kind; older ones have no partner any more."""
        other = self._waiting["depth" if kind == "color" else "color"]
        time = seconds(message.header.stamp)
        nearest = min(other, key=lambda one: abs(seconds(one.header.stamp) - time), default=None)
        if nearest is None or abs(seconds(nearest.header.stamp) - time) > self._difference:
            self._waiting[kind].append(message)
            return
        while other.popleft() is not nearest:
            pass
        self._waiting[kind].clear()
        self._pair = (message, nearest) if kind == "color" else (nearest, message)
