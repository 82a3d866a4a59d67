"""Requests and replies in the format of OpenAI's chat completions, which most servers support."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from point2act.vlm.clients.client import PointingModel, Request

TEMPERATURE = 0.0
"""Greedy decoding: the same request gets the same reply, as far as the server is deterministic."""

_QUALITY = 95
"""JPEG quality, without chroma subsampling: a fraction of the size of PNG, without visible loss. Chosen."""


@dataclass(frozen=True)
class Completion:
    """A server's reply."""

    text: str
    tokens: tuple[int, int]
    """Number of tokens read and written, as the server counts them; zeros if it does not."""
    finish_reason: str | None
    """Why the model stopped: ``"stop"`` at the end of the reply, ``"length"``, ``"content_filter"``."""
    refusal: str | None
    """The model's refusal to answer; None if it did not refuse."""


def messages(request: Request) -> list[dict[str, Any]]:
    """Return the messages of a request: one turn of the user, images first, then the prompt."""
    images = [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in request.images]
    return [{"role": "user", "content": [*images, {"type": "text", "text": request.prompt}]}]


def parameters(model: PointingModel, request: Request, unsupported: Collection[str]) -> dict[str, Any]:
    """Return the generation parameters of a request, without those that the server does not support.

    ``max_tokens`` is not omitted but renamed to ``max_completion_tokens``, as OpenAI's newer models require.
    """
    limit = "max_completion_tokens" if "max_tokens" in unsupported else "max_tokens"
    found: dict[str, Any] = {limit: request.max_tokens or model.max_tokens, "extra_body": dict(model.extra)}
    if "temperature" not in unsupported:
        found["temperature"] = TEMPERATURE
    if request.schema is not None and model.structured and "response_format" not in unsupported:
        schema = {"name": "reply", "schema": dict(request.schema), "strict": True}
        found["response_format"] = {"type": "json_schema", "json_schema": schema}
    return found


def read_completion(body: str) -> Completion:
    """Read a completion from the body of a server's response.

    Raises:
        ValueError: The body is not a completion.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as err:
        raise ValueError(f"something that is not JSON: {_start(body)}") from err
    choices = document.get("choices") if isinstance(document, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise ValueError(f"no choice to read: {_start(body)}")
    text, refusal, finish = message.get("content"), message.get("refusal"), choice.get("finish_reason")
    if not (text is None or isinstance(text, str)):
        raise ValueError(f"content that is not text: {_start(body)}")
    return Completion(
        text=_encodable(text or ""),
        tokens=_tokens(document.get("usage")),
        finish_reason=finish if isinstance(finish, str) else None,
        refusal=_encodable(refusal) if isinstance(refusal, str) and refusal else None,
    )


def _data_url(image: UInt8[np.ndarray, "h w 3"]) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _tokens(usage: Any) -> tuple[int, int]:
    counts = usage if isinstance(usage, dict) else {}
    read, written = counts.get("prompt_tokens"), counts.get("completion_tokens")
    return (read if isinstance(read, int) else 0, written if isinstance(written, int) else 0)


def _encodable(text: str) -> str:
    """Replace lone surrogates, in which a truncated reply can end, so that UTF-8 can encode the text."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _start(body: str) -> str:
    return f"{body[:200]!r}{' …' if len(body) > 200 else ''}"
