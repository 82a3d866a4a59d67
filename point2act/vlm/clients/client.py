"""Requests to a vision-language model, its replies, and the interface of the clients that exchange them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True, eq=False)
class Request:
    """One request; every request is complete in itself."""

    prompt: str
    images: tuple[UInt8[np.ndarray, "_h _w 3"], ...] = ()
    """RGB images that come before the prompt; they are sent without rotation."""
    schema: Mapping[str, Any] | None = None
    """JSON Schema of the reply, for servers with structured output; the prompt describes it, too."""
    max_tokens: int | None = None
    """Maximum length of the reply; None for the model's own limit for pointing."""
    about: str = ""
    """Name of the frame that is shown, for the log."""

    @property
    def sizes(self) -> str:
        """Width and height of the images, as text."""
        return ", ".join(f"{image.shape[1]}x{image.shape[0]}" for image in self.images) or "no image"


@dataclass(frozen=True)
class Reply:
    """A model's reply."""

    text: str
    seconds: float
    """Duration from sending the request to the end of the reply, including waiting and retries."""
    input_sizes: tuple[tuple[int, int], ...] = ()
    """``(height, width)`` of each image after resizing by the model's processor; empty if unknown. Dialects
    that count in pixels of the resized input (Qwen2.5-VL) need it."""
    tokens: tuple[int, int] = (0, 0)
    """Number of tokens read and written, as the server counts them; zeros if it does not."""


@runtime_checkable
class ModelClient(Protocol):
    """Interface of a client: a model on a server, in this process, or a scripted one."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything besides the request that a reply depends on: model, provider, parameters. JSON."""
        ...

    @property
    def concurrency(self) -> int:
        """Maximum number of simultaneous calls of ``ask``, each from its own thread."""
        ...

    def ask(self, request: Request) -> Reply:
        """Send a request and wait for the reply; safe to call from several threads.

        Raises:
            ModelError: There is no reply, after all retries.
        """
        ...


@dataclass(frozen=True)
class PointingModel:
    """Description of a pointing model: one file of ``configs/models``."""

    name: str
    model: str
    """Identifier on Hugging Face, or the server's own."""
    dialect: str
    """Format in which the model writes points, see ``parse_reply``."""
    prompt: str
    """Prompt for pointing, with ``{query}`` in place of the query."""
    memory: str
    """Memory that the model needs, as text."""
    source: str
    """Source of the prompt and the format."""
    server: str | None = None
    """Address of the service that hosts the model (``https://…/v1``); None for models to run oneself."""
    # Not a service's own variable: a server that a third party runs must not receive that key.
    key_variable: str = "POINT2ACT_API_KEY"
    """Environment variable that holds the server's API key."""
    max_tokens: int = 512
    """Maximum length of a reply to a pointing request, tokens."""
    image_side: int = 1280
    """Longer side of the images that are sent, pixels; smaller images are sent as they are."""
    local: bool = True
    """Whether transformers supports the model."""
    adapter: Path | None = None
    """Folder of an adapter of the model's weights (PEFT), such as ``point2act teach train`` writes."""
    structured: bool = False
    """Whether the service supports structured output by a JSON Schema."""
    price: tuple[float, float] | None = None
    """US dollars per million tokens read and written; None if unknown or free."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every request to the service (``extra_body``)."""
