"""Why a request failed, what the user can do about it, and whether asking again can help."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

_TRY_AGAIN = {408, 409, 425, 429}
"""Besides 500 and above: what OpenAI's own client asks again after, and "too early" (RFC 8470)."""

_ADAPTABLE = ("max_tokens", "temperature", "response_format")
"""Parameters that can be left out or called by another name when a server refuses them."""

_UNSUPPORTED = re.compile(r"(\bnot|n't|\bun)\s?support|invalid schema", re.IGNORECASE)

_LONGEST_WORDS = 400


@dataclass(frozen=True)
class Failure:
    """One try that brought no answer."""

    words: str
    """What went wrong and what to do, beginning in the middle of a sentence."""
    retry: bool = False
    """Whether the same may work a little later."""
    wait: float = 0.0
    """Seconds that the server wants to be left alone."""
    refused: str | None = None
    """The parameter that the server does not take."""
    reached: bool = True
    """Whether there is a server at all."""
    unknown_model: bool = False
    """Whether the server may have other models."""


def failure_of(err: Exception, *, model: str, key_variable: str, timeout: float) -> Failure:
    """Understand what the client raised, or ValueError for an answer that is no completion."""
    from openai import APIConnectionError, APIStatusError, APITimeoutError

    if isinstance(err, APIStatusError):
        return _refusal(err, model, key_variable)
    if isinstance(err, APITimeoutError) and type(err.__cause__).__name__ == "ConnectTimeout":
        return _unreachable("it does not answer", model)
    if isinstance(err, (APITimeoutError, asyncio.TimeoutError)):
        return Failure(
            f"gave no whole answer within {timeout:g} s: ask fewer at a time (concurrency), or allow more "
            "(timeout)",
            retry=True,
        )
    if isinstance(err, APIConnectionError):
        cause = err.__cause__ or err
        if type(cause).__name__ == "ConnectError":
            return _unreachable(str(cause), model)
        words = str(cause) or type(cause).__name__
        return Failure(f"broke the connection ({words}): look into its log", retry=True)
    return Failure(f"answered with {err}: look into its log", retry=True)


def _unreachable(cause: str, model: str) -> Failure:
    return Failure(
        f"cannot be reached ({cause}): is it running, and the address right? `vllm serve {model}` starts a "
        "server on http://localhost:8000/v1",
        retry=True,
        reached=False,
    )


def _refusal(err: Any, model: str, key_variable: str) -> Failure:
    """What an answer with an HTTP error says."""
    status, body = err.status_code, err.response.text
    words = _shorten(_said(body) or body.strip() or err.response.reason_phrase)
    # Google answers 400 to a key that it does not know.
    if status in (401, 403) or (status == 400 and "api key" in words.lower()):
        return Failure(
            f"refuses the key ({status}: {words}): put a valid one into the environment variable "
            f"{key_variable}"
        )
    if status == 404:
        return Failure(f"finds no model {model!r} (404: {words})", unknown_model=True)
    if status == 429 and "insufficient_quota" in body:
        return Failure(f"has no credit left for you (429: {words}): add some there")
    if status in _TRY_AGAIN or status >= 500:
        advice = (
            "ask fewer at a time (concurrency, per_minute)"
            if status == 429
            else "look into its log, or ask later"
        )
        return Failure(f"failed ({status}: {words}): {advice}", retry=True, wait=_retry_after(err))
    return Failure(
        f"refuses the request ({status}: {words}): mend the model's file, or ask another server",
        refused=_refused_parameter(words),
    )


def _refused_parameter(words: str) -> str | None:
    named = [name for name in _ADAPTABLE if name in words]
    return named[0] if named and _UNSUPPORTED.search(words) else None


def _said(body: str) -> str:
    """The message in the body of an error: OpenAI's, Google's (in a list), Ollama's, FastAPI's."""
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
    """Seconds; 0 where the server does not say. Source: RFC 9110, 10.2.3, and the milliseconds of Azure."""
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


def _shorten(words: str) -> str:
    words = " ".join(words.split())
    return words if len(words) <= _LONGEST_WORDS else f"{words[:_LONGEST_WORDS]} …"
