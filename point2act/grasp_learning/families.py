"""Families of objects whose sizes are drawn by chance: what grasp networks learn from.

Sizes are those of household things and tools, as ranges, metres; z is up. Every family has parts that a
person would ask for. Objects are tables of a scene file, see ``simulation.layout``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from point2act.physics.layout import SceneObject, parse_object

_Shape = dict[str, Any]
_Parts = dict[str, Sequence[_Shape]]
_Draw = Callable[[float, float], float]
"""Draws a length between two, metres."""
# Pieces of a round wall; the shipped scenes have 24 to 36.
_PIECES = 24
_MASS, _FRICTION = (0.08, 0.6), (0.5, 0.8)
"""Kilograms; friction is that of glass, steel, wood, plastic and rubber, as in the shipped scenes."""


def draw_object(family: str, name: str, rng: np.random.Generator) -> SceneObject:
    """Draw an object of a family, grey: depth is all that is used of it."""
    parts = FAMILIES[family](rng.uniform)
    entry = {
        "mass": rng.uniform(*_MASS),
        "friction": rng.uniform(*_FRICTION),
        "position": [0.0, 0.0],
        "parts": {part: {"color": [0.6, 0.6, 0.6], "shapes": list(shapes)} for part, shapes in parts.items()},
    }
    return parse_object(name, entry)


def _box(size: Sequence[float], center: Sequence[float], *, turned: float = 0.0) -> _Shape:
    return {"type": "box", "size": list(size), "center": list(center), "angles": [0.0, 0.0, turned]}


def _upright(radius: float, length: float, low: float) -> _Shape:
    """Return a vertical cylinder that starts at a height."""
    return {"type": "cylinder", "radius": radius, "length": length, "center": [0.0, 0.0, low + length / 2]}


def _level(radius: float, length: float, center: Sequence[float]) -> _Shape:
    """Return a cylinder along x."""
    return {
        "type": "cylinder",
        "radius": radius,
        "length": length,
        "center": list(center),
        "angles": [0.0, 90.0, 0.0],
    }


def _wall(radius: float, thickness: float, height: float, low: float) -> _Shape:
    center = [0.0, 0.0, low + height / 2]
    return {
        "type": "ring",
        "radius": radius,
        "thickness": thickness,
        "height": height,
        "pieces": _PIECES,
        "center": center,
    }


def _vessel(radius: float, height: float, thickness: float) -> list[_Shape]:
    """Return an open vessel with a floor."""
    floor = 0.006
    return [_upright(radius, floor, 0.0), _wall(radius, thickness, height - 0.002, 0.002)]


def _handle(at: float, reach: float, thick: float, low: float, high: float) -> list[_Shape]:
    """Return a handle with corners beside a vessel: two level bars and an upright one."""
    wide, outer = 1.4 * thick, at + reach
    bars = [_box([reach, wide, thick], [at + reach / 2, 0.0, z]) for z in (low, high)]
    return [*bars, _box([thick, wide, high - low + thick], [outer, 0.0, (low + high) / 2])]


def _block(draw: _Draw) -> _Parts:
    size = [draw(0.025, 0.07), draw(0.03, 0.10), draw(0.04, 0.15)]
    return {"block": [_box(size, [0.0, 0.0, size[2] / 2])]}


def _can(draw: _Draw) -> _Parts:
    return {"can": [_upright(draw(0.018, 0.04), draw(0.06, 0.16), 0.0)]}


def _bottle(draw: _Draw) -> _Parts:
    body, neck = draw(0.10, 0.17), draw(0.03, 0.06)
    radius = draw(0.026, 0.04)
    return {"body": [_upright(radius, body, 0.0)], "neck": [_upright(draw(0.011, 0.016), neck, body)]}


def _mug(draw: _Draw) -> _Parts:
    radius, height = draw(0.032, 0.045), draw(0.08, 0.11)
    handle = _handle(radius, draw(0.026, 0.04), draw(0.008, 0.012), 0.2 * height, 0.8 * height)
    return {"body": _vessel(radius, height, draw(0.004, 0.006)), "handle": handle}


def _bowl(draw: _Draw) -> _Parts:
    return {"bowl": _vessel(draw(0.045, 0.075), draw(0.035, 0.06), draw(0.004, 0.007))}


def _hammer(draw: _Draw) -> _Parts:
    length, thick = draw(0.18, 0.28), draw(0.022, 0.032)
    tall = draw(0.024, 0.032)
    head = [tall, draw(0.08, 0.12), tall]
    handle = _box([length, thick, 0.8 * tall], [-length / 2, 0.0, tall / 2])
    return {"handle": [handle], "head": [_box(head, [tall / 2, 0.0, tall / 2])]}


def _screwdriver(draw: _Draw) -> _Parts:
    grip, shaft, thick = draw(0.08, 0.12), draw(0.07, 0.13), draw(0.022, 0.034)
    return {
        "handle": [_box([grip, thick, thick], [-grip / 2, 0.0, thick / 2])],
        "shaft": [_level(draw(0.003, 0.005), shaft, [shaft / 2, 0.0, thick / 2])],
    }


def _pan(draw: _Draw) -> _Parts:
    radius, length, thick = draw(0.06, 0.085), draw(0.10, 0.16), draw(0.015, 0.022)
    grip = _box([length, thick + 0.006, thick], [radius + length / 2, 0.0, 0.03])
    return {"bowl": _vessel(radius, draw(0.034, 0.045), 0.005), "handle": [grip]}


def _wine_glass(draw: _Draw) -> _Parts:
    stem, bowl = draw(0.06, 0.09), draw(0.06, 0.09)
    return {
        "foot": [_upright(draw(0.03, 0.038), 0.005, 0.0)],
        "stem": [_upright(draw(0.004, 0.007), stem, 0.005)],
        "bowl": [_upright(draw(0.025, 0.038), bowl, 0.005 + stem)],
    }


def _jug(draw: _Draw) -> _Parts:
    radius, height = draw(0.045, 0.06), draw(0.13, 0.19)
    handle = _handle(radius, draw(0.035, 0.05), draw(0.012, 0.018), 0.25 * height, 0.85 * height)
    return {"body": _vessel(radius, height, 0.005), "handle": handle}


def _jar(draw: _Draw) -> _Parts:
    radius, body = draw(0.028, 0.04), draw(0.07, 0.12)
    lid = _upright(radius + draw(0.0, 0.004), draw(0.014, 0.03), body)
    return {"body": [_upright(radius, body, 0.0)], "lid": [lid]}


def _spray(draw: _Draw) -> _Parts:
    size, neck = [draw(0.04, 0.06), draw(0.05, 0.08), draw(0.12, 0.16)], draw(0.03, 0.05)
    above = size[2] + neck
    head = [_box([0.024, 0.08, 0.028], [0.0, 0.02, above + 0.014])]
    return {
        "body": [_box(size, [0.0, 0.0, size[2] / 2])],
        "neck": [_upright(draw(0.011, 0.015), neck, size[2])],
        "head": [*head, _box([0.01, 0.012, 0.03], [0.0, 0.045, above - 0.013])],
    }


def _brush(draw: _Draw) -> _Parts:
    length, wide, tall = draw(0.14, 0.2), draw(0.022, 0.03), draw(0.035, 0.05)
    head = [draw(0.07, 0.10), draw(0.05, 0.065), tall]
    return {
        "handle": [_box([length, wide, 0.02], [-length / 2, 0.0, tall - 0.01])],
        "head": [_box(head, [head[0] / 2, 0.0, tall / 2])],
        "end": [_box([0.02, wide, tall - 0.02], [-length + 0.01, 0.0, tall / 2 - 0.01])],
    }


def _drill(draw: _Draw) -> _Parts:
    base, grip = 0.025, draw(0.09, 0.12)
    middle = base + grip + 0.025
    return {
        "base": [_box([draw(0.08, 0.11), draw(0.06, 0.08), base], [0.0, 0.0, base / 2])],
        "grip": [_box([draw(0.034, 0.045), draw(0.028, 0.036), grip], [-0.01, 0.0, base + grip / 2])],
        "motor": [_level(draw(0.024, 0.03), draw(0.12, 0.16), [0.02, 0.0, middle])],
    }


def _dumbbell(draw: _Draw) -> _Parts:
    bar, size = draw(0.10, 0.13), [draw(0.03, 0.045), draw(0.055, 0.075), draw(0.055, 0.075)]
    ends = [_box(size, [side * (bar + size[0]) / 2, 0.0, size[2] / 2]) for side in (-1, 1)]
    return {"bar": [_level(draw(0.011, 0.016), bar, [0.0, 0.0, size[2] / 2])], "ends": ends}


def _lamp(draw: _Draw) -> _Parts:
    stem, shade = draw(0.10, 0.15), draw(0.05, 0.08)
    return {
        "foot": [_upright(draw(0.045, 0.06), 0.012, 0.0)],
        "stem": [_upright(draw(0.007, 0.012), stem, 0.012)],
        "shade": [_upright(draw(0.04, 0.055), shade, 0.012 + stem)],
    }


def _iron(draw: _Draw) -> _Parts:
    length, wide, tall = draw(0.15, 0.2), draw(0.07, 0.09), draw(0.035, 0.05)
    gap, thick = draw(0.035, 0.045), draw(0.022, 0.03)
    posts = [_box([0.02, thick, gap], [side * (length / 2 - 0.02), 0.0, tall + gap / 2]) for side in (-1, 1)]
    bar = _box([length - 0.02, thick, thick], [0.0, 0.0, tall + gap + thick / 2])
    return {"body": [_box([length, wide, tall], [0.0, 0.0, tall / 2]), *posts], "handle": [bar]}


def _tape(draw: _Draw) -> _Parts:
    return {"tape": [_wall(draw(0.035, 0.055), draw(0.012, 0.02), draw(0.025, 0.05), 0.0)]}


def _pot_lid(draw: _Draw) -> _Parts:
    thick, gap = draw(0.012, 0.02), draw(0.012, 0.02)
    knob = _upright(draw(0.014, 0.022), draw(0.02, 0.03), thick + gap)
    return {"lid": [_upright(draw(0.06, 0.085), thick, 0.0), _upright(0.009, gap, thick)], "knob": [knob]}


def _fruit(draw: _Draw) -> _Parts:
    size = [draw(0.05, 0.085), draw(0.05, 0.07), draw(0.05, 0.08)]
    flesh = {"type": "ellipsoid", "size": size, "center": [0.0, 0.0, size[2] / 2]}
    # It would roll without something flat below.
    return {"fruit": [flesh, _upright(0.3 * size[1], 0.008, 0.0)]}


def _stack(draw: _Draw) -> _Parts:
    low = [draw(0.05, 0.09), draw(0.05, 0.09), draw(0.03, 0.06)]
    high = [draw(0.025, 0.045), draw(0.025, 0.045), draw(0.03, 0.07)]
    lower = _box(low, [0.0, 0.0, low[2] / 2])
    return {"lower": [lower], "upper": [_box(high, [0.0, 0.0, low[2] + high[2] / 2])]}


FAMILIES: dict[str, Callable[[_Draw], _Parts]] = {
    "block": _block,
    "bottle": _bottle,
    "bowl": _bowl,
    "brush": _brush,
    "can": _can,
    "drill": _drill,
    "dumbbell": _dumbbell,
    "fruit": _fruit,
    "hammer": _hammer,
    "iron": _iron,
    "jar": _jar,
    "jug": _jug,
    "lamp": _lamp,
    "mug": _mug,
    "pan": _pan,
    "pot_lid": _pot_lid,
    "screwdriver": _screwdriver,
    "spray": _spray,
    "stack": _stack,
    "tape": _tape,
    "wine_glass": _wine_glass,
}
"""All families by name."""
