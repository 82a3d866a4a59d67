"""A picture with labels, of which a model names one: the question, who answers it, and how that is read."""

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
from point2act.vlm.parsers.blocks import read_blocks
from point2act.vlm.parsers.reading import UnreadableError
from point2act.vlm.pointing.point import ModelPointer

NONE = "0"
"""What is answered where no label is right."""
# Characters of a wrong label that an error shows.
_SHOWN = 200

_REPLY = """\
Reply with one JSON object and with nothing else: {{"choice": "{example}"}}, with one of {labels}; \
or {{"choice": "{none}"}} if it is none of them."""


@dataclass(frozen=True, eq=False)
class MarkQuestion:
    """A picture with labels, of which one is to be named."""

    query: Query
    image: str
    """The frame's name."""
    crop: Crop
    """With the labels drawn."""
    places: Mapping[str, Float[np.ndarray, "_ 2"]]
    """What each label stands for: pixels of the image on disk."""
    prompt: str


@dataclass(frozen=True)
class MarkChoice:
    """What was named."""

    label: str | None
    """None where none of them is right."""
    raw: str = ""
    seconds: float = 0.0
    cached: bool = False
    """Whether it was remembered from an earlier time."""


@runtime_checkable
class MarkSelector(Protocol):
    """Whoever chooses: a model, a simulated one, a person."""

    @property
    def name(self) -> str:
        """Written into points.json as the answers' model."""
        ...

    @property
    def concurrency(self) -> int:
        """How many questions it may be given at the same time, from as many threads."""
        ...

    def select(self, question: MarkQuestion) -> MarkChoice:
        """Name a label, or none.

        Raises a ``Point2ActError`` where there is no answer.
        """
        ...


@dataclass(frozen=True, eq=False)
class ModelMarkSelector:
    """A model and what it said before."""

    name: str
    client: ModelClient
    cache: ReplyCache | None = None

    @staticmethod
    def of(pointer: ModelPointer) -> ModelMarkSelector:
        """The model that points, choosing."""
        return ModelMarkSelector(pointer.name, pointer.client, pointer.cache)

    @property
    def concurrency(self) -> int:
        """The client's."""
        return self.client.concurrency

    def select(self, question: MarkQuestion) -> MarkChoice:
        """Ask, or remember; a reply that cannot be read is not remembered."""
        labels = tuple(question.places)
        choice = {"type": "string", "enum": [*labels, NONE]}
        schema = {
            "type": "object",
            "properties": {"choice": choice},
            "required": ["choice"],
            "additionalProperties": False,
        }
        request = Request(question.prompt, (question.crop.image,), schema, about=question.image)

        def read(reply: Reply) -> str | None:
            return parse_choice(reply.text, labels)

        reply, label, cached = ask_with_cache(self.client, request, read, cache=self.cache)
        return MarkChoice(label, reply.text, reply.seconds, cached)


def parse_choice(text: str, labels: Sequence[str]) -> str | None:
    """The label that a reply names in its JSON object ``{"choice": "3"}``; None for ``"0"``, none of them.

    Prose and fences around the object and thinking before it are passed over; numbers may be without
    quotation marks, letters small. Raises ``ReplyError``, which shows the reply, where there is no such
    object, several that differ, or another label.
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
    """A label as it is written; JSON's true is not the number 1."""
    if isinstance(value, str):
        return value.strip().upper()
    return str(value) if type(value) is int else json.dumps(value)[:_SHOWN]


def reply_instruction(labels: Sequence[str]) -> str:
    """The words that ask for one of the labels, as ``parse_choice`` reads it."""
    return _REPLY.format(example=labels[0], labels=", ".join(labels), none=NONE)
