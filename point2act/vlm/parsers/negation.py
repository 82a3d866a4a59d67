"""Detection of replies which say that the target is not visible."""

from __future__ import annotations

import re

# English only, like the prompts. Every repetition is bounded, or of one class of characters and followed by
# another class, so that matching takes linear time.
_ABSENT = r"(?:visible|present|shown|found|seen|detected|depicted|pictured|there|in\s(?:the|this)\s\w{1,20})"
_NONE = re.compile(
    rf"""
      \bthere(?:'s|\s(?:is|are|was|were|appears?\sto\sbe|seems?\sto\sbe))\s(?:none|nothing|no\b|not\s(?:an?|any)\b)
    | \bthere\s(?:is|are|was|were)n't\s(?:an?|any)\b
    | ^\W{{0,9}}(?:none|nothing|null|n/a|not\sapplicable)\W{{0,9}}$
    | \b(?:none|nothing)\s(?:of|is|are|was|were|{_ABSENT})\b
    | (?:\bnot|n't)\s(?:(?:be|actually|currently|directly)\s){{0,2}}{_ABSENT}\b
    | \bno\s[^.,;:!?\n]{{1,80}}?\s{_ABSENT}\b
    | (?:\bcannot|\bcan\snot|n't|\bnot|\bunable\sto|\bnot\sable\sto)\s
      (?:see|find|locate|identify|detect|spot|contain|show|have|include|depict)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_RESERVED = re.compile(
    r"\b(?:but|however|although|though|except|unless|only|part(?:ial)?ly|perhaps|maybe|possibly|might)\b",
    re.IGNORECASE,
)
# Two numbers with only separators of coordinates between them.
_COORDINATES = re.compile(r"\d[\s,;xy=:\"'-]+\d", re.IGNORECASE)


def says_none(prose: str) -> bool:
    """Return whether the text contains "There are none.", "not visible", "I cannot see a mug" or the like."""
    return _NONE.search(_plain(prose)) is not None


def says_only_none(prose: str) -> bool:
    """Return whether it does so without a reservation such as "but", and without coordinates."""
    return says_none(prose) and not _RESERVED.search(_plain(prose)) and not has_coordinates(prose)


def has_coordinates(prose: str) -> bool:
    """Return whether the text contains two adjacent numbers, as in coordinates."""
    return _COORDINATES.search(prose) is not None


def _plain(prose: str) -> str:
    """Replace typographic apostrophes and collapse spaces."""
    return " ".join(prose.replace("\u2019", "'").split())
