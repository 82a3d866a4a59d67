"""One question about one look: where is it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from point2act.core.types import Answer, Query
from point2act.data.crops import Look
from point2act.vlm.clients.cache import ReplyCache, ask_or_recall
from point2act.vlm.clients.client import Asker, PointingModel, Reply, Request
from point2act.vlm.parsers import parse_reply


@dataclass(frozen=True, eq=False)
class Said:
    """What was said to one look."""

    points: Float[np.ndarray, "n 2"]
    """Pixels of what was shown, ``(x, y)``; none for "not visible"."""
    raw: str = ""
    """The reply, word for word."""
    seconds: float = 0.0
    """What it took when it was asked."""
    cached: bool = False
    """Whether it was remembered from an earlier time."""


@runtime_checkable
class Pointer(Protocol):
    """Whoever points: a model, a simulated one, a person."""

    @property
    def name(self) -> str:
        """Written into points.json as the answers' model."""
        ...

    @property
    def concurrency(self) -> int:
        """How many looks it may be given at the same time, from as many threads."""
        ...

    def point(self, query: Query, image: str, look: Look) -> Said:
        """Point at what the query asks for; ``image`` is the frame's name, for messages.

        Raises a ``Point2ActError`` where there is no answer.
        """
        ...


def look_for(pointer: Pointer, query: Query, image: str, look: Look) -> Answer:
    """Have one look pointed at; the answer is in pixels of the image on disk.

    Raises what the pointer raises where there is no answer.
    """
    said = pointer.point(query, image, look)
    return Answer(
        image=image,
        query=query.name,
        points=look.to_disk(said.points),
        visible=len(said.points) > 0,
        model=pointer.name,
        raw=said.raw,
        seconds=said.seconds,
    )


@dataclass(frozen=True, eq=False)
class ModelPointer:
    """A pointing model and what it said before."""

    model: PointingModel
    asker: Asker
    cache: ReplyCache | None = None

    @property
    def name(self) -> str:
        """The model's own identifier."""
        return self.model.model

    @property
    def concurrency(self) -> int:
        """The asker's."""
        return self.asker.concurrency

    def point(self, query: Query, image: str, look: Look) -> Said:
        """Ask, or remember; a reply that cannot be read is not remembered."""
        request = Request(self.model.prompt.format(query=query.text), (look.image,), about=image)

        def read(reply: Reply) -> Float[np.ndarray, "n 2"]:
            seen = reply.input_sizes[0] if reply.input_sizes else None
            pixels = parse_reply(reply.text, self.model.dialect, image_size=look.size, input_size=seen)
            return np.array(pixels, dtype=np.float64).reshape(-1, 2)

        reply, points, cached = ask_or_recall(self.asker, request, read, cache=self.cache)
        return Said(points, reply.text, reply.seconds, cached)
