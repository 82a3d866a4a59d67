"""Asking again with the error where a reply cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from point2act.core.errors import ReplyError
from point2act.vlm.clients.cache import ReplyCache, ask_with_cache
from point2act.vlm.clients.client import ModelClient, Reply, Request

T = TypeVar("T")

# Characters of an unreadable reply that the next request shows. Chosen: a plan is rarely longer.
_MAX_REPLY_SHOWN = 6000

_AGAIN = """\
{prompt}
An earlier reply to this was:
{reply}

It cannot be used: {problem}

Reply again, with a JSON object that follows the schema and with nothing else."""


def ask_until_readable(
    client: ModelClient,
    request: Request,
    read: Callable[[Reply], T],
    *,
    attempts: int,
    cache: ReplyCache | None,
) -> T:
    """Ask a model until its reply can be read, each time showing the earlier replies and their errors.

    Args:
        client: The client to ask.
        request: The first request.
        read: Function that parses a reply, or refuses it with ``ReplyError``.
        attempts: Largest number of requests.
        cache: Cache of replies; None to always send the requests.

    Raises:
        ModelError: There is no reply.
        ReplyError: The last reply is unreadable, too.
    """
    for _ in range(attempts - 1):
        # Cached even if it is unreadable: it is a part of the next request.
        reply = ask_with_cache(client, request, lambda reply: reply, cache=cache)[0]
        try:
            return read(reply)
        except ReplyError as err:
            request = replace(request, prompt=_again(request.prompt, reply.text, str(err)))
    return ask_with_cache(client, request, read, cache=cache)[1]


def _again(prompt: str, reply: str, problem: str) -> str:
    """Return the prompt again, with the reply and its error."""
    # Replies can contain a lone surrogate, which cannot be sent.
    shown = reply[:_MAX_REPLY_SHOWN].encode("utf-8", "replace").decode("utf-8")
    return _AGAIN.format(prompt=prompt, reply=shown, problem=problem)
