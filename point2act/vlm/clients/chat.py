"""Requests and replies in the words of OpenAI's chat completions, which most servers speak."""

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
"""The likeliest words: the same question gets the same answer, as far as a server can."""

_QUALITY = 95
"""Of JPEG, with full colour resolution: a fraction of PNG's bytes, and little to see of it. Chosen."""


@dataclass(frozen=True)
class Completion:
    """What a server answered."""

    text: str
    tokens: tuple[int, int]
    """Read and written, as the server counts them; zeros where it does not."""
    finish: str | None
    """Why the model stopped; ``"stop"`` when it had said all."""
    refusal: str | None


def messages(request: Request) -> list[dict[str, Any]]:
    """One turn of the user: images first, then the prompt."""
    images = [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in request.images]
    return [{"role": "user", "content": [*images, {"type": "text", "text": request.prompt}]}]


def parameters(model: PointingModel, request: Request, without: Collection[str]) -> dict[str, Any]:
    """How a model is to answer, leaving out what the server refused before.

    ``max_tokens`` is not left out but called ``max_completion_tokens``, as OpenAI's newer models want it.
    """
    longest = "max_completion_tokens" if "max_tokens" in without else "max_tokens"
    found: dict[str, Any] = {longest: request.max_tokens or model.max_tokens, "extra_body": dict(model.extra)}
    if "temperature" not in without:
        found["temperature"] = TEMPERATURE
    if request.schema is not None and model.structured and "response_format" not in without:
        form = {"name": "reply", "schema": dict(request.schema), "strict": True}
        found["response_format"] = {"type": "json_schema", "json_schema": form}
    return found


def read_completion(body: str) -> Completion:
    """Read the body of a server's answer. Raises ValueError, in words, where it is no completion."""
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
        text=_whole(text or ""),
        tokens=_tokens(document.get("usage")),
        finish=finish if isinstance(finish, str) else None,
        refusal=_whole(refusal) if isinstance(refusal, str) and refusal else None,
    )


def _data_url(image: UInt8[np.ndarray, "h w 3"]) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _tokens(usage: Any) -> tuple[int, int]:
    counts = usage if isinstance(usage, dict) else {}
    read, written = counts.get("prompt_tokens"), counts.get("completion_tokens")
    return (read if isinstance(read, int) else 0, written if isinstance(written, int) else 0)


def _whole(text: str) -> str:
    """Text that can be written as UTF-8: a reply cut off inside a character ends in half of it."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _start(body: str) -> str:
    return f"{body[:200]!r}{' …' if len(body) > 200 else ''}"
