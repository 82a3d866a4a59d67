"""How a model of each dialect writes points of an image: the other side of point2act.vlm.parsers."""

from __future__ import annotations

import json
from collections.abc import Sequence

from point2act.vlm.parsers import qwen_input_size

Size = tuple[int, int]

# Half the side of the boxes that are written for points, in 0-1000 units.
_BOX = 12


def format_reply(
    points: Sequence[Sequence[float]], dialect: str, image_size: Size, input_size: Size | None = None
) -> str:
    """A reply that points at pixels ``(x, y)`` of an image of ``(height, width)``; none is a negative answer.

    Numbers are rounded as the dialect's models round them; see ``resolution``.
    """
    if not points:
        return _NOTHING[dialect]
    height, width = image_size
    across, down = span(dialect, image_size, input_size)
    places = _PLACES[dialect]
    written = [(f"{x / width * across:.{places}f}", f"{y / height * down:.{places}f}") for x, y in points]
    return _WRITERS[dialect](written)


def span(dialect: str, image_size: Size, input_size: Size | None = None) -> tuple[float, float]:
    """What the right and the lower border of the image are called in a dialect: ``(across, down)``."""
    if dialect == "qwen2_5_vl":
        height, width = input_size or qwen_input_size(image_size)
        return width, height
    if dialect == "robobrain2":
        return image_size[1], image_size[0]
    side = {"molmo": 100.0, "robopoint": 1.0, "moondream": 1.0}.get(dialect, 1000.0)
    return side, side


def resolution(dialect: str, image_size: Size, input_size: Size | None = None) -> tuple[float, float]:
    """Pixels, in x and y, that the last digit of a dialect's numbers stands for."""
    across, down = span(dialect, image_size, input_size)
    step = 10.0 ** -_PLACES[dialect]
    return step * image_size[1] / across, step * image_size[0] / down


# Digits after the point. Molmo's and RoboPoint's as in their published replies, Moondream's chosen.
_PLACES = {
    "molmo": 1, "molmo2": 0, "qwen2_vl": 0, "qwen2_5_vl": 0, "qwen3_vl": 0, "gemini": 0,
    "robopoint": 3, "robobrain2": 0, "internvl": 0, "moondream": 4,
}  # fmt: skip

_NOTHING = {
    "molmo": "There are none.",
    "molmo2": "There are none.",
    "qwen2_vl": "There are none.",
    "qwen2_5_vl": "```json\n[]\n```",
    "qwen3_vl": "[]",
    "gemini": "```json\n[]\n```",
    "robopoint": "[]",
    "robobrain2": "[]",
    "internvl": "The target is not visible in the image.",
    "moondream": '{"points": []}',
}

Written = list[tuple[str, str]]


def _molmo(points: Written) -> str:
    if len(points) == 1:
        return f' <point x="{points[0][0]}" y="{points[0][1]}" alt="target">target</point>'
    pairs = " ".join(f'x{i}="{x}" y{i}="{y}"' for i, (x, y) in enumerate(points, 1))
    return f' <points {pairs} alt="targets">targets</points>'


def _molmo2(points: Written) -> str:
    triples = " ".join(f"{i} {int(x):03d} {int(y):03d}" for i, (x, y) in enumerate(points, 1))
    return f'<points coords="1 {triples}">target</points>'


def _qwen2(points: Written) -> str:
    return "".join(f"<|object_ref_start|>target<|object_ref_end|>{_box(*point)}" for point in points)


def _box(x: str, y: str) -> str:
    """A box about a point, smaller where it would leave the image."""
    right, down = (min(_BOX, int(value), 1000 - int(value)) for value in (x, y))
    corners = f"({int(x) - right},{int(y) - down}),({int(x) + right},{int(y) + down})"
    return f"<|box_start|>{corners}<|box_end|>"


def _qwen(points: Written) -> str:
    return _fenced([{"point_2d": [int(x), int(y)], "label": "target"} for x, y in points])


def _gemini(points: Written) -> str:
    return _fenced([{"point": [int(y), int(x)], "label": "target"} for x, y in points])


def _fenced(entries: list[dict]) -> str:
    lines = ",\n  ".join(json.dumps(entry) for entry in entries)
    return f"```json\n[\n  {lines}\n]\n```"


def _tuples(points: Written) -> str:
    return "[" + ", ".join(f"({x}, {y})" for x, y in points) + "]"


def _internvl(points: Written) -> str:
    return "<ref>target</ref><point>[" + ", ".join(f"[{x}, {y}]" for x, y in points) + "]</point>"


def _moondream(points: Written) -> str:
    return json.dumps({"points": [{"x": float(x), "y": float(y)} for x, y in points]})


_WRITERS = {
    "molmo": _molmo,
    "molmo2": _molmo2,
    "qwen2_vl": _qwen2,
    "qwen2_5_vl": _qwen,
    "qwen3_vl": _qwen,
    "gemini": _gemini,
    "robopoint": _tuples,
    "robobrain2": _tuples,
    "internvl": _internvl,
    "moondream": _moondream,
}
