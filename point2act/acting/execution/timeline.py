"""What happened in a run, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventKind = Literal[
    "stage",
    "done",
    "violated",
    "back",
    "moved",
    "lost",
    "found",
    "asked",
    "waits",
    "stopped",
    "failed",
]


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    time: float
    """Seconds since the start of the run, on the robot's clock."""
    kind: EventKind
    detail: str
    """One sentence."""
