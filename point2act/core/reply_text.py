"""What all replies of models have in common, whatever was asked."""

from __future__ import annotations

# Characters of a reply that an error shows.
_SHOWN = 200


def after_thinking(text: str) -> str | None:
    """What a model wrote after ``</think>``, or all where it did not think; None where it only thought."""
    _, closed, answer = text.rpartition("</think>")
    return None if not closed and "<think>" in answer else answer


def shown(text: str) -> str:
    """The beginning of a reply as an error may show it: in quotation marks, control characters visible."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
