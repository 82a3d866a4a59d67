"""What is asked of a multimodal model and what comes back, whoever answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True, eq=False)
class Request:
    """One question, complete in itself."""

    prompt: str
    images: tuple[UInt8[np.ndarray, "_h _w 3"], ...] = ()
    """What the model is shown, before the prompt; pixels as they are, without any rotation."""
    schema: Mapping[str, Any] | None = None
    """JSON Schema that the reply has to follow. Servers that can are held to it; the prompt says it too."""
    max_tokens: int | None = None
    """Longest reply; by default what is enough for the model to point."""
    about: str = ""
    """What is shown, for those who read the log: the frame's name."""

    @property
    def sizes(self) -> str:
        """The images' widths and heights, in words."""
        return ", ".join(f"{image.shape[1]}x{image.shape[0]}" for image in self.images) or "no image"


@dataclass(frozen=True)
class Reply:
    """What a model said, word for word."""

    text: str
    seconds: float
    """From sending the question to the end of the reply, waiting and retries included."""
    input_sizes: tuple[tuple[int, int], ...] = ()
    """``(height, width)`` of each image as the model's own processor resized it, where that is known.
    Coordinates in pixels of the resized input (Qwen2.5-VL) are read with it."""
    tokens: tuple[int, int] = (0, 0)
    """Read and written, as the server counts them; zeros where it does not."""


@runtime_checkable
class ModelClient(Protocol):
    """Whoever answers requests."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything but the request that the reply depends on: model, provider, parameters. JSON."""
        ...

    @property
    def concurrency(self) -> int:
        """How many requests may be asked at the same time, from as many threads."""
        ...

    def ask(self, request: Request) -> Reply:
        """Answer; safe to call from several threads.

        Raises ``ModelError`` where no reply can be had, after all retries.
        """
        ...


@dataclass(frozen=True)
class PointingModel:
    """A file of ``configs/models``: who can be asked, and how it wants to be asked."""

    name: str
    model: str
    """Its identifier: the one on Hugging Face, or the server's own."""
    dialect: str
    """How it writes points, see ``parse_reply``."""
    prompt: str
    """How it is asked to point, with ``{query}`` for the words."""
    memory: str
    """What it takes to run, for people."""
    source: str
    """Where the prompt and the format come from."""
    server: str | None = None
    """Address of the service that has it (``https://…/v1``); None for models that one runs oneself."""
    key_variable: str = "POINT2ACT_API_KEY"
    """Environment variable with the server's key: not a service's own, which a server that somebody else
    runs must not get to see."""
    max_tokens: int = 512
    """Longest reply to a pointing question."""
    image_side: int = 1280
    """Longer side of the images that are sent, pixels; smaller ones are sent as they are."""
    local: bool = True
    """Whether transformers has it."""
    structured: bool = False
    """Whether its service holds replies to a JSON Schema."""
    price: tuple[float, float] | None = None
    """US dollars for a million tokens read and written; None where it is not known or costs nothing."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every request to the service (``extra_body``)."""
