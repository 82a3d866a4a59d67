"""What a page shows as one line of text, which can be kept and restored."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode

import numpy as np

from point2act.core.errors import Point2ActError
from point2act.visualization.viewer.photos import BrowserCamera

# Smallest angle of view, radians: below it nothing can be seen. Chosen.
_NARROWEST = 0.01


@dataclass(frozen=True)
class ShownState:
    """Names of what is shown, and from where."""

    query: str
    """Name of the query."""
    gripper: str
    grasp: int
    """Index of the grasp, 0 being the best."""
    camera: BrowserCamera | None = None
    """Camera of the browser, world frame; None leaves it where it is."""


def to_text(state: ShownState) -> str:
    """Write a state as one line without spaces."""
    values = {"query": state.query, "gripper": state.gripper, "grasp": str(state.grasp + 1)}
    if state.camera is not None:
        camera = state.camera
        numbers = (*camera.position, *camera.look_at, *camera.up, camera.fov)
        values["camera"] = ",".join(f"{number:.5g}" for number in numbers)
    return urlencode(values, safe=",")


def from_text(text: str) -> ShownState:
    """Read a state that ``to_text`` wrote.

    Raises:
        Point2ActError: The text is another one.
    """
    parsed = parse_qs(text.strip().strip("`?"), keep_blank_values=True)
    values = {name: found[-1] for name, found in parsed.items()}
    number = values.get("grasp", "")
    named = set(values) - {"camera"} == {"query", "gripper", "grasp"}
    if not named or not number.isdecimal() or int(number) < 1:
        raise Point2ActError("this is no state of a page: copy the whole line under Export, from query= on")
    camera = _camera(values["camera"]) if "camera" in values else None
    return ShownState(values["query"], values["gripper"], int(number) - 1, camera)


def _camera(text: str) -> BrowserCamera:
    try:
        numbers = np.array([float(number) for number in text.split(",")])
    except ValueError:
        numbers = np.array([])
    if len(numbers) != 10 or not np.isfinite(numbers).all():
        raise Point2ActError("the camera of this line is not complete: copy the whole line under Export")
    position, look_at, up, fov = numbers[:3], numbers[3:6], numbers[6:9], float(numbers[9])
    sideways = np.cross(look_at - position, up)
    if not np.linalg.norm(sideways) or not _NARROWEST < fov < np.pi:
        raise Point2ActError("the camera of this line faces nothing: copy the whole line under Export")
    return BrowserCamera(position, look_at, up, fov)
