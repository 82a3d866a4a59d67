"""Small pieces of HTML that several sections use. Text from outside is escaped here."""

from __future__ import annotations

from html import escape

import numpy as np
from jaxtyping import Float

from point2act.core.types import QueryResult, Reason
from point2act.visualization.drawing import Color

_HEADLINES: dict[Reason, str] = {
    "no_points": "The model pointed at nothing",
    "no_agreement": "The views do not agree on one place",
    "no_geometry": "No geometry that grasps could be planned on",
    "no_contact_pair": "No two opposing surfaces to close on",
    "too_wide": "Too wide for this gripper",
    "all_collide": "The hand would hit something in every grasp",
    "unreachable": "No grasp is within reach",
}


def title(result: QueryResult, color: Color, aside: str = "") -> str:
    """A query's text with its colour; ``aside`` is HTML."""
    return (
        f'<div class="title" style="{mark(color)}"><span class="dot"></span>'
        f"<h3>{escape(result.query.text)}</h3>{aside}</div>"
    )


def mark(color: Color) -> str:
    """The CSS that gives an element and its children a query's colour."""
    return f"--mark: rgb({color[0]} {color[1]} {color[2]})"


def pill(words: str, kind: str = "") -> str:
    """A word in a rounded frame."""
    return f'<span class="pill {kind}">{escape(words)}</span>'


def bar(*parts: tuple[float, str]) -> str:
    """A bar made of parts, each a share of the whole in [0, 1] and a CSS class."""
    pieces = "".join(
        f'<i class="{kind}" style="width: {100 * min(max(share, 0.0), 1.0):.1f}%"></i>'
        for share, kind in parts
    )
    return f'<div class="bar">{pieces}</div>'


def why_empty(result: QueryResult) -> str:
    """Why there is no action point or no grasp; nothing where there is no reason."""
    if result.reason is None:
        return ""
    return (
        f'<div class="why"><b>{_HEADLINES[result.reason]}</b>{escape(result.detail or "")} '
        f"<code>{result.reason}</code></div>"
    )


def what_for(result: QueryResult, metric: bool) -> str:
    """What was found to set something down on, or to keep away from; nothing for what is to be grasped."""
    if result.query.role == "avoid" and result.region is not None:
        return "To be avoided: the hands of all grasps keep away from here."
    if result.place is None:
        return ""
    place = result.place
    rough = f"{1000 * place.roughness:.1f} mm" if metric else f"{place.roughness:.4f}"
    return (
        f"A place to set something down: a disc with a radius of {length(place.flat_radius, metric)} is free "
        f"and flat, rough by {rough}; its normal is ({direction(place.normal)})."
    )


def seconds(value: float) -> str:
    """A duration as people say it."""
    if value >= 60:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest:02d} s"
    return f"{value:.1f} s" if value >= 0.95 else f"{1000 * value:.0f} ms"


def length(value: float, metric: bool) -> str:
    """A small length: millimetres, or the capture's own unit."""
    return f"{1000 * value:.0f} mm" if metric else f"{value:.3f}"


def direction(vector: Float[np.ndarray, " 3"]) -> str:
    """Three numbers, none of them a minus zero."""
    return ", ".join(f"{x:.2f}" for x in np.round(vector, 2) + 0.0)


def count(number: int, one: str, many: str) -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else many}"
