"""Client of any server with OpenAI's chat completions: vLLM, SGLang, Ollama, Gemini, OpenAI itself."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from point2act.core.errors import ModelError
from point2act.core.secrets import find_key, hide_key, hide_key_in_reply, is_loopback
from point2act.vlm.clients.chat import TEMPERATURE, Completion, messages, parameters, read_completion
from point2act.vlm.clients.client import PointingModel, Reply, Request
from point2act.vlm.clients.event_loop import EventLoopThread
from point2act.vlm.clients.failures import Failure, classify_error
from point2act.vlm.clients.limits import Limits, LimitsConfig

_log = logging.getLogger(__name__)

_CONNECT_TIMEOUT = 10.0
"""Seconds. Chosen: TCP retries after 1, 3 and 7."""

_MAX_BACKOFF = 30.0
"""Maximum pause between two attempts, seconds, unless the server asks for more. Chosen."""

_MAX_RETRY_AFTER = 120.0
"""Maximum wait that a server is granted, seconds: longer ones are quotas of hours or days. Chosen."""

_LISTED = 8
"""Number of a server's models that a message names."""


@dataclass(frozen=True)
class ServerConfig:
    """Concurrency, timeouts, retries and limits of requests to a server."""

    concurrency: int = 8
    """Maximum number of simultaneous requests."""
    timeout: float = 60.0
    """Maximum duration of one attempt, seconds, from connecting to the last byte."""
    retries: int = 4
    """Number of further attempts after timeouts, broken connections and errors of the server."""
    backoff: float = 0.5
    """Pause before the second attempt, seconds; it doubles with each further attempt."""
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    """Limits on the rate, number and cost of requests."""


class ServerClient:
    """Client of one model on one server; safe to use from several threads.

    The API key comes from the environment variable ``model.key_variable``. Nothing is sent before the first
    request.

    Args:
        model: The model.
        base_url: Address of the server; most end in ``/v1``.
        served_as: Name of the model on the server, if it is not ``model.model``.
        config: Concurrency, timeouts, retries and limits.

    Raises:
        ModelError: The address or the configuration is wrong, or the key is missing.
    """

    def __init__(
        self,
        model: PointingModel,
        base_url: str,
        *,
        served_as: str | None = None,
        config: ServerConfig = ServerConfig(),
    ) -> None:
        import openai

        _check(base_url, config)
        self._model = model
        self._base_url = base_url.rstrip("/")
        self._name = served_as or model.model
        self._config = config
        self._limits = Limits(config.limits, model.price)
        self._key = find_key(model.key_variable, base_url)
        self._has_answered = False
        self._unsupported: set[str] = set()
        self._loop = EventLoopThread()
        self._client = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._base_url,
            timeout=openai.Timeout(config.timeout, connect=min(_CONNECT_TIMEOUT, config.timeout)),
            # Retries are done here: with the library's, broken or dripping responses are not retried, retries
            # escape the limits, and 15 of the 118 tests of this client fail.
            max_retries=0,
            # A proxy of the environment does not know servers of this computer.
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not is_loopback(base_url)),
        )
        weakref.finalize(self, _close, self._loop, self._client)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything besides the request that a reply depends on; without the key."""
        return {
            "provider": "server",
            "base_url": self._base_url,
            "model": self._name,
            "temperature": TEMPERATURE,
            "max_tokens": self._model.max_tokens,
            "extra": dict(self._model.extra),
        }

    @property
    def concurrency(self) -> int:
        """Maximum number of simultaneous requests."""
        return self._config.concurrency

    def ask(self, request: Request) -> Reply:
        """Send a request, with retries where they can help.

        Raises:
            ModelError: There is no reply. The message has the last cause and what to do, never the key.
        """
        start = time.monotonic()
        turns = messages(request)
        attempts = 0
        while True:
            attempt_start = time.monotonic()
            outcome = self._attempt(request, turns)
            attempts += 1
            self._log_attempt(request, attempts, time.monotonic() - attempt_start, outcome)
            if isinstance(outcome, Completion):
                text = hide_key_in_reply(outcome.text, self._key)
                return Reply(text, time.monotonic() - start, tokens=outcome.tokens)
            if not self._should_retry(outcome, attempts):
                break
            pause = min(self._config.backoff * 2 ** (attempts - 1), _MAX_BACKOFF)
            # Jitter: requests that were rejected together must not come back together.
            time.sleep(outcome.retry_after + pause * random.uniform(0.5, 1.0))
        times = f" (tried {attempts} times in {time.monotonic() - start:.0f} s)" if attempts > 1 else ""
        raise ModelError(hide_key(f"{self._base_url} {self._advised(outcome)}{times}", self._key))

    def _log_attempt(
        self, request: Request, attempt: int, seconds: float, outcome: Completion | Failure
    ) -> None:
        """Log everything about an attempt but the prompt, the reply and the images."""
        answered = isinstance(outcome, Completion)
        facts = {
            "service": self._base_url,
            "model": self._name,
            "image": request.about,
            "sizes": request.sizes,
            "attempt": attempt,
            "seconds": round(seconds, 3),
            "tokens_read": outcome.tokens[0] if answered else None,
            "tokens_written": outcome.tokens[1] if answered else None,
            "outcome": "answered" if answered else hide_key(outcome.message, self._key),
        }
        line = "%(service)s, %(model)s, %(image)s (%(sizes)s), try %(attempt)d, %(seconds).2f s: %(outcome)s"
        tokens = ", %(tokens_read)d tokens read, %(tokens_written)d written" if answered else ""
        _log.debug(line + tokens, facts, extra=facts)

    def _should_retry(self, failure: Failure, attempts: int) -> bool:
        """Return whether another attempt makes sense. A server that was never reached is not waited for."""
        reachable = self._has_answered or failure.reachable
        in_time = failure.retry_after <= _MAX_RETRY_AFTER
        return failure.retryable and reachable and attempts <= self._config.retries and in_time

    def _attempt(self, request: Request, turns: list[dict[str, Any]]) -> Completion | Failure:
        """Try once; parameters that the server does not support are omitted, now and from then on."""
        while True:
            unsupported = frozenset(self._unsupported)
            outcome = self._send(turns, parameters(self._model, request, unsupported))
            if isinstance(outcome, Completion):
                return self._check_content(outcome)
            if outcome.unsupported is None or outcome.unsupported in unsupported:
                return outcome
            self._unsupported.add(outcome.unsupported)

    def _send(self, turns: list[dict[str, Any]], options: dict[str, Any]) -> Completion | Failure:
        """Send one HTTP request, within the limits."""
        from openai import OpenAIError

        tokens = None
        self._limits.acquire()
        try:
            create = self._client.chat.completions.with_raw_response.create
            response = self._loop.run(
                create(model=self._name, messages=turns, **options),  # type: ignore[arg-type]
                self._config.timeout,
            )
            self._has_answered = True
            completion = read_completion(response.text)
            tokens = completion.tokens
            return completion
        except (OpenAIError, asyncio.TimeoutError, ValueError) as err:
            failure = classify_error(
                err, model=self._name, key_variable=self._model.key_variable, timeout=self._config.timeout
            )
            self._has_answered |= failure.reachable
            return failure
        finally:
            self._limits.release(tokens)

    def _check_content(self, completion: Completion) -> Completion | Failure:
        """Turn an empty completion into a failure; a retry would get the same."""
        if completion.text.strip():
            return completion
        reason = completion.finish_reason
        if completion.refusal or reason == "content_filter":
            return Failure(f"refuses to answer ({completion.refusal or reason}): ask differently")
        if reason == "length":
            return Failure(
                f"stopped after {self._model.max_tokens} tokens without an answer, as models do that think "
                "first: raise max_tokens in the model's file"
            )
        return Failure(f"answered nothing (finish_reason {reason}): ask differently")

    def _advised(self, failure: Failure) -> str:
        """Return the failure's message, and for an unknown model the names of the server's models."""
        if failure.retry_after > _MAX_RETRY_AFTER:
            return f"{failure.message}; it accepts no request for {failure.retry_after:.0f} s: come back then"
        if not failure.unknown_model:
            return failure.message
        names = self._served_models()
        if self._name in names:
            return f"{failure.message}: it lists that model, so look into its log"
        if names:
            listed = ", ".join(names[:_LISTED]) + (" …" if len(names) > _LISTED else "")
            return f"{failure.message}: name one that it has with served_as, such as {listed}"
        return f"{failure.message}: is the address whole? Most end in /v1"

    def _served_models(self) -> list[str]:
        """Return the names of the server's models; an empty list if it does not list them."""
        from openai import OpenAIError

        try:
            listed = self._loop.run(self._client.models.with_raw_response.list(), self._config.timeout)
            return [str(entry["id"]) for entry in listed.http_response.json()["data"]]
        except (OpenAIError, asyncio.TimeoutError, ValueError, TypeError, KeyError):
            return []


def _check(base_url: str, config: ServerConfig) -> None:
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        parts, usable = urlsplit(""), False
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ModelError(
            f"the address of the server at {parts.hostname} contains a password, or "
            "something after ? or #: remove that, and put keys into the environment"
        )
    if not usable:
        raise ModelError(f"{base_url!r} is not an address: write one such as http://localhost:8000/v1")
    for name, least in (("concurrency", 1), ("retries", 0)):
        if getattr(config, name) < least:
            raise ModelError(f"{name} is {getattr(config, name)}: write {least} or more")
    if not config.timeout > 0 or not config.backoff >= 0:
        raise ModelError(f"timeout is {config.timeout} and backoff {config.backoff}: write positive seconds")


def _close(loop: EventLoopThread, client: Any) -> None:
    loop.close(client.close())
