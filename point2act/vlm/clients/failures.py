"""Classification of failed requests: the cause, what the user can do, and whether a retry can help."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

_RETRYABLE = {408, 409, 425, 429}
"""Status codes to retry besides 500 and above: those of OpenAI's client, and "too early" (RFC 8470)."""

_ADAPTABLE = ("max_tokens", "temperature", "response_format")
"""Parameters that can be omitted or renamed if a server does not support them."""

_UNSUPPORTED = re.compile(r"(\bnot|n't|\bun)\s?support|invalid schema", re.IGNORECASE)

_MAX_MESSAGE = 400


@dataclass(frozen=True)
class Failure:
    """One failed attempt of a request."""

    message: str
    """What went wrong and what to do; a predicate whose subject is the server."""
    retryable: bool = False
    """Whether the same request may succeed later."""
    retry_after: float = 0.0
    """Minimum wait before a retry that the server asks for, seconds."""
    unsupported: str | None = None
    """Name of the parameter that the server does not support."""
    reachable: bool = True
    """Whether the server could be reached."""
    unknown_model: bool = False
    """Whether the server does not have the model."""


def classify_error(err: Exception, *, model: str, key_variable: str, timeout: float) -> Failure:
    """Classify an error of the client, or a ``ValueError`` for a response that is not a completion."""
    from openai import APIConnectionError, APIStatusError, APITimeoutError

    if isinstance(err, APIStatusError):
        return _status_failure(err, model, key_variable)
    if isinstance(err, APITimeoutError) and type(err.__cause__).__name__ == "ConnectTimeout":
        return _unreachable("it does not answer", model)
    if isinstance(err, (APITimeoutError, asyncio.TimeoutError)):
        return Failure(
            f"gave no whole answer within {timeout:g} s: ask fewer at a time (concurrency), or allow more "
            "(timeout)",
            retryable=True,
        )
    if isinstance(err, APIConnectionError):
        cause = err.__cause__ or err
        if type(cause).__name__ == "ConnectError":
            return _unreachable(str(cause), model)
        message = str(cause) or type(cause).__name__
        return Failure(f"broke the connection ({message}): look into its log", retryable=True)
    return Failure(f"answered with {err}: look into its log", retryable=True)


def _unreachable(cause: str, model: str) -> Failure:
    return Failure(
        f"cannot be reached ({cause}): is it running, and the address right? `vllm serve {model}` starts a "
        "server on http://localhost:8000/v1",
        retryable=True,
        reachable=False,
    )


def _status_failure(err: Any, model: str, key_variable: str) -> Failure:
    """Classify a response with an HTTP error."""
    status, body = err.status_code, err.response.text
    message = _shorten(_error_message(body) or body.strip() or err.response.reason_phrase)
    # Google answers 400 to a key that it does not know.
    if status in (401, 403) or (status == 400 and "api key" in message.lower()):
        return Failure(
            f"refuses the key ({status}: {message}): put a valid one into the environment variable "
            f"{key_variable}"
        )
    if status == 404:
        return Failure(f"finds no model {model!r} (404: {message})", unknown_model=True)
    if status == 429 and "insufficient_quota" in body:
        return Failure(f"has no credit left for you (429: {message}): add some there")
    if status in _RETRYABLE or status >= 500:
        advice = (
            "ask fewer at a time (concurrency, per_minute)"
            if status == 429
            else "look into its log, or ask later"
        )
        return Failure(
            f"failed ({status}: {message}): {advice}", retryable=True, retry_after=_retry_after(err)
        )
    return Failure(
        f"refuses the request ({status}: {message}): fix the model's file, or ask another server",
        unsupported=_unsupported_parameter(message),
    )


def _unsupported_parameter(message: str) -> str | None:
    named = [name for name in _ADAPTABLE if name in message]
    return named[0] if named and _UNSUPPORTED.search(message) else None


def _error_message(body: str) -> str:
    """Return the message in the body of an error of OpenAI, Google (in a list), Ollama or FastAPI."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    for _ in range(4):
        if isinstance(found, list) and found:
            found = found[0]
        elif isinstance(found, dict):
            found = next((found[key] for key in ("error", "message", "detail", "msg") if found.get(key)), "")
    return found if isinstance(found, str) else ""


def _retry_after(err: Any) -> float:
    """Return the wait that the server asks for, seconds. Source: RFC 9110, 10.2.3; Azure's milliseconds."""
    headers = err.response.headers
    try:
        if "retry-after-ms" in headers:
            wait = float(headers["retry-after-ms"]) / 1e3
        else:
            wait = float(headers.get("retry-after", 0))
    except ValueError:
        try:
            wait = parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time()
        except (ValueError, TypeError, KeyError):
            wait = 0.0
    return wait if math.isfinite(wait) and wait > 0 else 0.0


def _shorten(message: str) -> str:
    message = " ".join(message.split())
    return message if len(message) <= _MAX_MESSAGE else f"{message[:_MAX_MESSAGE]} …"
