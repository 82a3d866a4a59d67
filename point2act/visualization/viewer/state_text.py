"""What a page shows as one line of text, which can be kept and restored."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode

from point2act.core.errors import Point2ActError


@dataclass(frozen=True)
class ShownState:
    """Names of what is shown."""

    query: str
    """Name of the query."""
    gripper: str
    grasp: int
    """Index of the grasp, 0 being the best."""


def to_text(state: ShownState) -> str:
    """Write a state as one line without spaces."""
    return urlencode({"query": state.query, "gripper": state.gripper, "grasp": state.grasp + 1})


def from_text(text: str) -> ShownState:
    """Read a state that ``to_text`` wrote.

    Raises:
        Point2ActError: The text is another one.
    """
    values = {name: found[-1] for name, found in parse_qs(text.strip().strip("`?")).items()}
    number = values.get("grasp", "")
    if set(values) != {"query", "gripper", "grasp"} or not number.isdecimal() or int(number) < 1:
        raise Point2ActError("this is no state of a page: copy the whole line under Export, from query= on")
    return ShownState(values["query"], values["gripper"], int(number) - 1)
