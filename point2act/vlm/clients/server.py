"""Asking any server that speaks OpenAI's chat completions: vLLM, SGLang, Ollama, Gemini, OpenAI itself."""

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
from point2act.vlm.clients.failures import Failure, failure_of
from point2act.vlm.clients.limits import Limits, LimitsConfig

_log = logging.getLogger(__name__)

_CONNECT = 10.0
"""Seconds to connect within, at most. Chosen: TCP tries again after 1, 3 and 7."""

_LONGEST_PAUSE = 30.0
"""Seconds between two tries at most, unless the server asks for more. Chosen."""

_LONGEST_WAIT = 120.0
"""Longest wait, in seconds, that a server is granted: longer ones are quotas of hours or days. Chosen."""

_LISTED = 8
"""How many of a server's models a message names."""


@dataclass(frozen=True)
class ServerConfig:
    """How a server is asked."""

    concurrency: int = 8
    """Requests at the same time."""
    timeout: float = 60.0
    """Seconds for one try, from connecting to the last byte."""
    retries: int = 4
    """Further tries after time-outs, broken connections and the server's own errors."""
    backoff: float = 0.5
    """Seconds before the second try; twice as long before each further one."""
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    """What asking may come to."""


class ServerClient:
    """Asks one model of one server; safe to use from several threads.

    ``base_url`` as servers print it, ending in ``/v1`` for most; ``served_as`` is the model's name there
    where that is not ``model.model``. The key comes from the environment variable ``model.key_variable``.
    Raises ``ModelError`` where the address or the configuration is wrong, or a key is missing. Nothing
    is sent before the first request.
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
        self._answers = False
        self._refused: set[str] = set()
        self._loop = EventLoopThread()
        self._client = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._base_url,
            timeout=openai.Timeout(config.timeout, connect=min(_CONNECT, config.timeout)),
            max_retries=0,  # One loop of tries, ours: it also knows broken answers and limits.
            # A proxy of the environment does not know this machine's own servers.
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not is_loopback(base_url)),
        )
        weakref.finalize(self, _close, self._loop, self._client)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything but the request that a reply depends on; no key."""
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
        """How many requests may be asked at the same time."""
        return self._config.concurrency

    def ask(self, request: Request) -> Reply:
        """Ask, and ask again where that can help.

        Raises ``ModelError``, which says what to do, where there is no answer. It names the last cause
        and never the key.
        """
        start = time.monotonic()
        turns = messages(request)
        tries = 0
        while True:
            begin = time.monotonic()
            outcome = self._try(request, turns)
            self._log_try(request, tries + 1, time.monotonic() - begin, outcome)
            if isinstance(outcome, Completion):
                text = hide_key_in_reply(outcome.text, self._key)
                return Reply(text, time.monotonic() - start, tokens=outcome.tokens)
            tries += 1
            if not self._again(outcome, tries):
                break
            pause = min(self._config.backoff * 2 ** (tries - 1), _LONGEST_PAUSE)
            # Spread, so that those who were turned away together do not come back together.
            time.sleep(outcome.wait + pause * random.uniform(0.5, 1.0))
        times = f" (tried {tries} times in {time.monotonic() - start:.0f} s)" if tries > 1 else ""
        raise ModelError(hide_key(f"{self._base_url} {self._advised(outcome)}{times}", self._key))

    def _log_try(self, request: Request, attempt: int, seconds: float, outcome: Completion | Failure) -> None:
        """For those who hunt a problem: everything but the words and the picture."""
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
            "outcome": "answered" if answered else hide_key(outcome.words, self._key),
        }
        words = "%(service)s, %(model)s, %(image)s (%(sizes)s), try %(attempt)d, %(seconds).2f s: %(outcome)s"
        counted = ", %(tokens_read)d tokens read, %(tokens_written)d written" if answered else ""
        _log.debug(words + counted, facts, extra=facts)

    def _again(self, failure: Failure, tries: int) -> bool:
        """Whether another try makes sense. A server that was never there need not be waited for."""
        there = self._answers or failure.reached
        return failure.retry and there and tries <= self._config.retries and failure.wait <= _LONGEST_WAIT

    def _try(self, request: Request, turns: list[dict[str, Any]]) -> Completion | Failure:
        """One try; parameters that the server does not take are left out, then and from then on."""
        while True:
            without = frozenset(self._refused)
            outcome = self._send(turns, parameters(self._model, request, without))
            if isinstance(outcome, Completion):
                return self._check_content(outcome)
            if outcome.refused is None or outcome.refused in without:
                return outcome
            self._refused.add(outcome.refused)

    def _send(self, turns: list[dict[str, Any]], options: dict[str, Any]) -> Completion | Failure:
        """One request over the wire, within the limits."""
        from openai import OpenAIError

        tokens = None
        self._limits.begin()
        try:
            create = self._client.chat.completions.with_raw_response.create
            answer = self._loop.run(
                create(model=self._name, messages=turns, **options),  # type: ignore[arg-type]
                self._config.timeout,
            )
            self._answers = True
            completion = read_completion(answer.text)
            tokens = completion.tokens
            return completion
        except (OpenAIError, asyncio.TimeoutError, ValueError) as err:
            failure = self._understand(err)
            self._answers |= failure.reached
            return failure
        finally:
            self._limits.end(tokens)

    def _understand(self, err: Exception) -> Failure:
        variable, timeout = self._model.key_variable, self._config.timeout
        return failure_of(err, model=self._name, key_variable=variable, timeout=timeout)

    def _check_content(self, completion: Completion) -> Completion | Failure:
        """An answer without words is none; the same question would get the same."""
        if completion.text.strip():
            return completion
        if completion.refusal or completion.finish == "content_filter":
            return Failure(f"refuses to answer ({completion.refusal or completion.finish}): ask differently")
        if completion.finish == "length":
            return Failure(
                f"stopped after {self._model.max_tokens} tokens without an answer, as models do that think "
                "first: raise max_tokens in the model's file"
            )
        return Failure(f"answered nothing (finish_reason {completion.finish}): ask differently")

    def _advised(self, failure: Failure) -> str:
        """The failure's words, and for an unknown model the names of those that the server has."""
        if failure.wait > _LONGEST_WAIT:
            return f"{failure.words}; it wants to be left alone for {failure.wait:.0f} s: come back then"
        if not failure.unknown_model:
            return failure.words
        names = self._served()
        if self._name in names:
            return f"{failure.words}: it lists that model, so look into its log"
        if names:
            listed = ", ".join(names[:_LISTED]) + (" …" if len(names) > _LISTED else "")
            return f"{failure.words}: name one that it has with served_as, such as {listed}"
        return f"{failure.words}: is the address whole? Most end in /v1"

    def _served(self) -> list[str]:
        """Names of the server's models; none where it does not say."""
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
            f"the address of the server at {parts.hostname} holds more than a place (a password, or what "
            "comes after ? or #): leave that out, and put keys into the environment"
        )
    if not usable:
        raise ModelError(f"{base_url!r} is no address: write one such as http://localhost:8000/v1")
    for name, least in (("concurrency", 1), ("retries", 0)):
        if getattr(config, name) < least:
            raise ModelError(f"{name} is {getattr(config, name)}: write a number from {least} on")
    if not config.timeout > 0 or not config.backoff >= 0:
        raise ModelError(f"timeout is {config.timeout} and backoff {config.backoff}: write positive seconds")


def _close(loop: EventLoopThread, client: Any) -> None:
    loop.close(client.close())
