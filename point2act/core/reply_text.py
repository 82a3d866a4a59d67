"""Text processing shared by all parsers of model replies."""

from __future__ import annotations

# Characters of a reply that an error shows.
_MAX_SHOWN = 200


def after_thinking(text: str) -> str | None:
    """Return the text after ``</think>``, all of it without a think block, None if the block never ends."""
    _, closed, answer = text.rpartition("</think>")
    return None if not closed and "<think>" in answer else answer


def shown(text: str) -> str:
    """Return the start of a reply for an error: quoted, control characters escaped."""
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")
