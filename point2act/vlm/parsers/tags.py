"""Points in tags: Molmo's <point x= y=> and Molmo2's <points coords=>."""

from __future__ import annotations

import re

from point2act.vlm.parsers.reading import Mark, Reading, UnreadableError, cut_off, number, short

_ELEMENT = re.compile(r"<(points?)\b([^<>]*?)(?:/>|>([^<]*)</\1>)")
_ATTRIBUTE = re.compile(r"""\s+([A-Za-z_]\w*)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


def read_molmo(text: str) -> Reading:
    """Marks in ``<point x="61.5" y="40.4" alt="..">..</point>`` and ``<points x1= y1= x2= y2= ..>``."""
    elements, prose = _elements(text)
    marks = [mark for attributes, label in elements for mark in _pairs(attributes, label)]
    return Reading(tuple(marks), prose, bool(marks))


def read_molmo2(text: str) -> Reading:
    """Marks in ``<points coords="1 1 512 334 2 600 410">label</points>``.

    Each group is an image's number and then triples: a point's number, x and y. Groups are split by a tab or
    a semicolon; the reading on Molmo2's model card allows colons and commas, too.
    """
    elements, prose = _elements(text)
    marks = []
    for attributes, label in elements:
        if "coords" not in attributes:
            raise UnreadableError("a tag has no coords")
        for group in re.split("[\t;:,]", attributes["coords"].strip()):
            marks += [Mark(numbers, label) for numbers in _triples(group)]
    return Reading(tuple(marks), prose, bool(marks))


def _elements(text: str) -> tuple[list[tuple[dict[str, str], str]], str]:
    """Attributes and label of every ``point`` or ``points`` tag, and the prose around them."""
    elements = [(_attributes(match.group(2)), match.group(3) or "") for match in _ELEMENT.finditer(text)]
    prose = _ELEMENT.sub(" ", text)
    if re.search(r"<[^<>]*$", prose) or re.search(r"<points?\b", prose):
        raise cut_off("a tag")
    if re.search(r"</?(?:points?|tracks?)\b", prose):
        raise UnreadableError("a tag closes that was not opened, or is one for videos")
    return elements, prose


def _attributes(source: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    while match := _ATTRIBUTE.match(source, position):
        name, position = match.group(1), match.end()
        if name in found:
            raise UnreadableError(f"a tag has {name} twice")
        found[name] = match.group(2) if match.group(2) is not None else match.group(3)
    if source[position:].strip():
        raise UnreadableError(f"the attributes {short(source.strip())} of a tag are malformed")
    return found


def _pairs(attributes: dict[str, str], label: str) -> list[Mark]:
    """``x`` and ``y``, or ``x1`` and ``y1`` and so on, in the order in which they are written."""
    axes: dict[str, dict[str, float]] = {}
    for name, value in attributes.items():
        if match := re.fullmatch(r"([xy])(\d{0,4})", name):
            axes.setdefault(match.group(2), {})[match.group(1)] = number(value)
    if not axes:
        raise UnreadableError("a tag has no x and y")
    if any(len(point) < 2 for point in axes.values()):
        raise UnreadableError("a tag has an x without its y, or a y without its x")
    return [Mark((point["x"], point["y"]), label) for point in axes.values()]


def _triples(group: str) -> list[tuple[float, float]]:
    numbers = [number(word) for word in group.split()]
    if len(numbers) < 4 or len(numbers) % 3 != 1:
        raise UnreadableError(
            f"{short(group)} is not an image's number and then a number, x and y for each point"
        )
    if numbers[0] != 1:
        raise UnreadableError(f"it points into image {numbers[0]:g}, but was shown one image")
    return list(zip(numbers[2::3], numbers[3::3], strict=True))
