"""Set-of-mark prompting: a model names one of the labels drawn on an image (Yang et al. 2023)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from point2act.core.errors import ReplyError
from point2act.core.reply_text import after_thinking, shown
from point2act.core.types import Query
from point2act.data.crops import Crop
from point2act.vlm.clients.cache import ReplyCache, ask_with_cache
from point2act.vlm.clients.client import ModelClient, Reply, Request
from point2act.vlm.parsers.values import UnreadableError, read_blocks
from point2act.vlm.pointing.point import ModelPointer

NONE = "0"
"""Label that stands for "none of them"."""
# Maximum number of characters of a wrong label in an error message.
_SHOWN = 200

_REPLY = """\
Reply with one JSON object and with nothing else: {{"choice": "{example}"}}, with one of {labels}; \
or {{"choice": "{none}"}} if it is none of them."""


@dataclass(frozen=True, eq=False)
class MarkQuestion:
    """An image with labels, and the prompt that asks for one of them."""

    query: Query
    image: str
    """Name of the frame."""
    crop: Crop
    """The image that is shown, with the labels drawn on it."""
    places: Mapping[str, Float[np.ndarray, "_ 2"]]
    """Pixels of the image on disk that each label stands for."""
    prompt: str


@dataclass(frozen=True)
class MarkChoice:
    """A selector's reply to one question."""

    label: str | None
    """None if no label is right."""
    raw: str = ""
    """Text of the reply."""
    seconds: float = 0.0
    """Duration of the original request."""
    cached: bool = False
    """Whether the reply was read from the cache."""


@runtime_checkable
class MarkSelector(Protocol):
    """Interface of everything that can select a label: a model, a simulated model, a person."""

    @property
    def name(self) -> str:
        """Name that points.json gives as the answers' model."""
        ...

    @property
    def concurrency(self) -> int:
        """Maximum number of simultaneous calls of ``select``, each from its own thread."""
        ...

    def select(self, question: MarkQuestion) -> MarkChoice:
        """Select a label, or none.

        Raises:
            Point2ActError: There is no answer.
        """
        ...


@dataclass(frozen=True, eq=False)
class ModelMarkSelector:
    """A vision-language model as a selector, with an optional cache of its replies."""

    name: str
    client: ModelClient
    cache: ReplyCache | None = None

    @staticmethod
    def of(pointer: ModelPointer) -> ModelMarkSelector:
        """Return a selector that uses the model of a pointer."""
        return ModelMarkSelector(pointer.name, pointer.client, pointer.cache)

    @property
    def concurrency(self) -> int:
        """Maximum number of simultaneous requests of the client."""
        return self.client.concurrency

    def select(self, question: MarkQuestion) -> MarkChoice:
        """Return the cached or newly requested reply; an unreadable reply is not cached."""
        labels = tuple(question.places)
        schema = {
            "type": "object",
            "properties": {"choice": {"type": "string", "enum": [*labels, NONE]}},
            "required": ["choice"],
            "additionalProperties": False,
        }
        request = Request(question.prompt, (question.crop.image,), schema, about=question.image)

        def read(reply: Reply) -> str | None:
            return parse_choice(reply.text, labels)

        reply, label, cached = ask_with_cache(self.client, request, read, cache=self.cache)
        return MarkChoice(label, reply.text, reply.seconds, cached)


def parse_choice(text: str, labels: Sequence[str]) -> str | None:
    """Read the label that a reply names in a JSON object such as ``{"choice": "3"}``.

    Prose and code fences around the object and reasoning before it are skipped; numbers may be without
    quotation marks, and letters in lower case.

    Args:
        text: The reply.
        labels: Labels to choose from.

    Returns:
        The label, or None for ``"0"``, none of them.

    Raises:
        ReplyError: There is no such object, there are several different ones, or the label is unknown.
    """
    answer = after_thinking(text)
    try:
        if answer is None:
            raise UnreadableError("it ends before the thinking does: allow more tokens")
        found = [block.value for block in read_blocks(answer, "{")[0]]
        named = {_label(value["choice"]) for value in found if isinstance(value, dict) and "choice" in value}
        if len(named) != 1:
            raise UnreadableError(f"it makes {len(named)} choices: one is wanted")
        (label,) = named
        if label not in (*labels, NONE):
            raise UnreadableError(f"{label!r} is none of {', '.join(labels)} or {NONE}")
    except UnreadableError as err:
        raise ReplyError(f"the reply is no choice: {err}. The reply: {shown(text)}") from None
    return None if label == NONE else label


def _label(value: object) -> str:
    """Return a label as text; JSON's ``true`` is not the number 1."""
    if isinstance(value, str):
        return value.strip().upper()
    return str(value) if type(value) is int else json.dumps(value)[:_SHOWN]


def reply_instruction(labels: Sequence[str]) -> str:
    """Return the end of a prompt that asks for one of the labels in the format of ``parse_choice``."""
    return _REPLY.format(example=labels[0], labels=", ".join(labels), none=NONE)
