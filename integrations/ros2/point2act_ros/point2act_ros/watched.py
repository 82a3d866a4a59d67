"""Questions that report that they are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from point2act.core.types import Query
from point2act.data.crops import Crop
from point2act.vlm.pointing.point import Pointer, PointerReply


@dataclass(frozen=True, eq=False)
class WatchedPointer:
    """A pointer that calls a function before each question; an exception of it ends the asking."""

    pointer: Pointer
    on_question: Callable[[], None]

    @property
    def name(self) -> str:
        """Name of the pointer."""
        return self.pointer.name

    @property
    def concurrency(self) -> int:
        """Maximum number of simultaneous questions."""
        return self.pointer.concurrency

    def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
        """Report and ask, see ``Pointer``."""
        self.on_question()
        return self.pointer.point(query, image, crop)
