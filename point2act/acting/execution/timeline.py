"""What happened in a run, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from point2act.core.types import View

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


@runtime_checkable
class Observer(Protocol):
    """Follows a run while it lasts, such as a page that shows it; its methods return at once."""

    def view(self, view: View) -> None:
        """Take an image of the robot's camera, with the poses of the base frame."""
        ...

    def event(self, event: Event) -> None:
        """Take what has happened."""
        ...


class NoObserver:
    """Follows nothing."""

    def view(self, view: View) -> None:
        """Ignore an image."""

    def event(self, event: Event) -> None:
        """Ignore what has happened."""
