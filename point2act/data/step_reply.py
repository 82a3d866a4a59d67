"""The JSON object with steps in a model's reply, which may have thoughts, prose and code fences around it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from point2act.core.files import unique_keys
from point2act.core.reply_text import after_thinking

if TYPE_CHECKING:
    import pydantic

M = TypeVar("M", bound="pydantic.BaseModel")

# Characters. A plan at all limits has under 60 000; a model that writes more repeats itself.
_MAX_REPLY = 100_000

_START = re.compile(r'\{\s*"steps"\s*:\s*\[')


class InvalidReplyError(ValueError):
    """The reason why a reply cannot be used."""


def read_steps(model: type[M], text: str) -> M:
    """Return the only JSON object with steps in a reply.

    Args:
        model: Model of the object.
        text: The reply.

    Raises:
        InvalidReplyError: There is none, there are different ones, or it does not follow the model.
    """
    from point2act.core.documents import check

    try:
        return check(model, _only_object(text), InvalidReplyError)
    except RecursionError:
        raise InvalidReplyError("it is nested too deeply") from None


def _only_object(text: str) -> dict[str, Any]:
    if len(text) > _MAX_REPLY:
        raise InvalidReplyError(f"it has {len(text)} characters, more than {_MAX_REPLY}: ask for less")
    answer = after_thinking(text)
    if answer is None:
        raise InvalidReplyError("it ends before the thinking does: allow more tokens")
    found = list(_objects(answer))
    if any(one != found[0] for one in found):
        raise InvalidReplyError(f"it has {len(found)} different lists of steps: only one is allowed")
    if found:
        return found[0]
    raise InvalidReplyError(
        'no JSON object {"steps": […]} can be read; if it is truncated, allow more tokens'
    )


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a text that start with steps and are not nested in one another."""
    decoder = json.JSONDecoder(object_pairs_hook=unique_keys)
    start = _START.search(text)
    while start:
        try:
            found, end = decoder.raw_decode(text, start.start())
            yield found
        except ValueError:
            end = start.end()
        start = _START.search(text, end)
