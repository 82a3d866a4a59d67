"""Pointers: what locates a query in one image, whether a model, a plain function or a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from point2act.core.errors import ModelError
from point2act.core.types import Answer, Query
from point2act.data.crops import Crop
from point2act.vlm.clients.cache import ReplyCache, ask_with_cache
from point2act.vlm.clients.client import ModelClient, PointingModel, Reply, Request
from point2act.vlm.parsers import parse_reply

Points = Sequence[tuple[float, float]] | Float[np.ndarray, "n 2"]
"""Pixels ``(x, y)``."""

PointFunction = Callable[[UInt8[np.ndarray, "h w 3"], str], Points | None]
"""A function from an RGB image and the text of a query to pixels of that image."""


@dataclass(frozen=True, eq=False)
class PointerReply:
    """A pointer's reply to one crop."""

    points: Float[np.ndarray, "n 2"]
    """Pixels ``(x, y)`` of the crop; empty for "not visible"."""
    raw: str = ""
    """Text of the reply."""
    seconds: float = 0.0
    """Duration of the original request."""
    cached: bool = False
    """Whether the reply was read from the cache."""


@runtime_checkable
class Pointer(Protocol):
    """Interface of everything that can point: a model, a simulated model, a function, a person."""

    @property
    def name(self) -> str:
        """Name that points.json gives as the answers' model."""
        ...

    @property
    def concurrency(self) -> int:
        """Maximum number of simultaneous calls of ``point``, each from its own thread."""
        ...

    def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
        """Point at what a query asks for.

        Args:
            query: The query.
            image: Name of the frame, for messages.
            crop: The crop that is shown.

        Raises:
            Point2ActError: There is no answer.
        """
        ...


def point_at(pointer: Pointer, query: Query, image: str, crop: Crop) -> tuple[Answer, bool]:
    """Ask a pointer about one crop.

    Args:
        pointer: The pointer to ask.
        query: The query.
        image: Name of the frame.
        crop: The crop that is shown.

    Returns:
        The answer, in pixels of the image on disk, and whether the reply was read from the cache.

    Raises:
        Point2ActError: There is no answer.
    """
    reply = pointer.point(query, image, crop)
    answer = Answer(
        image=image,
        query=query.name,
        points=crop.to_disk(reply.points),
        visible=len(reply.points) > 0,
        model=pointer.name,
        raw=reply.raw,
        seconds=reply.seconds,
    )
    return answer, reply.cached


@dataclass(frozen=True, eq=False)
class FunctionPointer:
    """A pointer made from a plain Python function, such as a wrapper around a model of one's own.

    Args:
        function: Called with an RGB image (uint8, height x width x 3) and the text of the query. Returns the
            pixels ``(x, y)`` of that image at which the target is seen; an empty sequence or None if the
            target is not visible. It may raise ``Point2ActError`` where there is no answer; any other
            exception is a bug of the function and passes through.
        name: Name that points.json gives as the answers' model.
        concurrency: Maximum number of simultaneous calls, each from its own thread.
    """

    function: PointFunction
    name: str = "function"
    concurrency: int = 1

    def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
        """Call the function with the crop and the text of the query.

        Raises:
            ModelError: The function returned something other than finite pixels inside the crop.
        """
        found = self.function(crop.image, query.text)
        try:
            points = np.asarray([] if found is None else found, dtype=np.float64)
        except (TypeError, ValueError):
            points = np.full(1, np.nan)
        points = points.reshape(0, 2) if points.size == 0 else points
        height, width = crop.size
        if (
            points.ndim != 2
            or points.shape[1] != 2
            or not np.all((points >= 0) & (points <= [width, height]))
        ):
            raise ModelError(
                f"the pointer '{self.name}' returned {found!r} for '{query.text}' in {image}: return pixels "
                f"(x, y) of the {width}x{height} image that it was given, or an empty list"
            )
        return PointerReply(points)


@dataclass(frozen=True, eq=False)
class ModelPointer:
    """A vision-language model as a pointer, with an optional cache of its replies."""

    model: PointingModel
    client: ModelClient
    cache: ReplyCache | None = None

    @property
    def name(self) -> str:
        """Identifier of the model."""
        return self.model.model

    @property
    def concurrency(self) -> int:
        """Maximum number of simultaneous requests of the client."""
        return self.client.concurrency

    def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
        """Return the cached or newly requested reply; an unreadable reply is not cached."""
        request = Request(self.model.prompt.format(query=query.text), (crop.image,), about=image)

        def read(reply: Reply) -> Float[np.ndarray, "n 2"]:
            input_size = reply.input_sizes[0] if reply.input_sizes else None
            pixels = parse_reply(reply.text, self.model.dialect, image_size=crop.size, input_size=input_size)
            return np.array(pixels, dtype=np.float64).reshape(-1, 2)

        reply, points, cached = ask_with_cache(self.client, request, read, cache=self.cache)
        return PointerReply(points, reply.text, reply.seconds, cached)
