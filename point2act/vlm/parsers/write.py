"""Replies as pointing models write them, the inverse of ``parse_reply``: targets to train a model on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from point2act.core.errors import ReplyError
from point2act.vlm.parsers.parse import Size, span

# The prompts of configs/models ask for it.
_LABEL = "target"

Written = Sequence[tuple[str, str]]
"""Coordinates x and y of points as text, in a dialect's units."""


@dataclass(frozen=True)
class _Writer:
    write: Callable[[Written], str]
    places: int
    """Digits after the point."""
    nothing: str
    """The reply where the target is not visible."""


def _molmo(points: Written) -> str:
    if len(points) == 1:
        ((x, y),) = points
        return f'<point x="{x}" y="{y}" alt="{_LABEL}">{_LABEL}</point>'
    pairs = " ".join(f'x{number}="{x}" y{number}="{y}"' for number, (x, y) in enumerate(points, start=1))
    return f'<points {pairs} alt="{_LABEL}">{_LABEL}</points>'


def _molmo2(points: Written) -> str:
    triples = " ".join(f"{number} {x:0>3} {y:0>3}" for number, (x, y) in enumerate(points, start=1))
    return f'<points coords="1 {triples}">{_LABEL}</points>'


def _qwen2_vl(points: Written) -> str:
    return "".join(
        f"<|object_ref_start|>{_LABEL}<|object_ref_end|><|box_start|>({x},{y})<|box_end|>" for x, y in points
    )


def _qwen(points: Written) -> str:
    entries = ", ".join(f'{{"point_2d": [{x}, {y}], "label": "{_LABEL}"}}' for x, y in points)
    return f"[{entries}]"


def _gemini(points: Written) -> str:
    entries = ", ".join(f'{{"point": [{y}, {x}], "label": "{_LABEL}"}}' for x, y in points)
    return f"[{entries}]"


def _tuples(points: Written) -> str:
    return "[" + ", ".join(f"({x}, {y})" for x, y in points) + "]"


def _internvl(points: Written) -> str:
    listed = ", ".join(f"[{x}, {y}]" for x, y in points)
    return f"<ref>{_LABEL}</ref><point>[{listed}]</point>"


def _moondream(points: Written) -> str:
    return json.dumps({"points": [{"x": float(x), "y": float(y)} for x, y in points]})


_NONE = "There are none."
# Digits as in the models' published replies; those of Moondream, which publishes none, are chosen.
_WRITERS = {
    "molmo": _Writer(_molmo, 1, _NONE),
    "molmo2": _Writer(_molmo2, 0, _NONE),
    "qwen2_vl": _Writer(_qwen2_vl, 0, _NONE),
    "qwen2_5_vl": _Writer(_qwen, 0, "[]"),
    "qwen3_vl": _Writer(_qwen, 0, "[]"),
    "gemini": _Writer(_gemini, 0, "[]"),
    "robopoint": _Writer(_tuples, 3, "[]"),
    "robobrain2": _Writer(_tuples, 0, "[]"),
    "internvl": _Writer(_internvl, 0, _NONE),
    "moondream": _Writer(_moondream, 4, '{"points": []}'),
}

WRITTEN_DIALECTS: tuple[str, ...] = tuple(_WRITERS)
"""Dialects in which replies can be written."""


def write_reply(
    points: Sequence[tuple[float, float]],
    dialect: str,
    *,
    image_size: Size,
    input_size: Size | None = None,
) -> str:
    """Write the reply of a pointing model, in its form, units and digits.

    Args:
        points: Pixels ``(x, y)`` in the image; none for "not visible".
        dialect: One of ``WRITTEN_DIALECTS``.
        image_size: ``(height, width)`` of the image that is shown, pixels.
        input_size: As in ``parse_reply``.

    Returns:
        The reply, which ``parse_reply`` reads as the points rounded to its last digit.

    Raises:
        ReplyError: There is no such dialect.
    """
    writer = _WRITERS.get(dialect)
    if writer is None:
        raise ReplyError(
            f"replies cannot be written in the dialect {dialect!r}: use one of {', '.join(WRITTEN_DIALECTS)}"
        )
    if not points:
        return writer.nothing
    height, width = image_size
    across, down = span(dialect, image_size, input_size)
    return writer.write(
        [
            (f"{x / width * across:.{writer.places}f}", f"{y / height * down:.{writer.places}f}")
            for x, y in points
        ]
    )
