"""Formats of points and boxes in replies: JSON objects, lists of numbers, pairs of corners, and tags."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from point2act.vlm.parsers.values import (
    Annotation,
    Block,
    ParsedReply,
    UnreadableError,
    consistent,
    number,
    read_blocks,
    shorten,
    truncated,
)


@dataclass(frozen=True)
class Form:
    """Keys of a point or box in a JSON object."""

    keys: tuple[str, ...]
    """Key of a list of numbers, or the keys of the numbers themselves."""
    order: tuple[int, ...]
    """Indices of x, y or of x1, y1, x2, y2 among the numbers."""


def read_objects(text: str, forms: tuple[Form, ...]) -> ParsedReply:
    """Read JSON objects with one of the forms, in lists or alone, with or without code fences.

    If an object has several forms, such as a point and its box, the first one in ``forms`` counts.
    """
    blocks, prose = read_blocks(text, "[{")
    answers = _joined(blocks, lambda value: tuple(_objects(value, forms)), _is_object)
    return ParsedReply(consistent(answers), prose, bool(answers))


def read_rows(text: str, lengths: tuple[int, ...], openings: str = "[(") -> ParsedReply:
    """Read lists of numbers, ``[(x, y), ..]`` or ``[x1, y1, x2, y2]``, of one of the given lengths."""
    blocks, prose = read_blocks(text, openings)
    answers = _joined(blocks, lambda value: tuple(Annotation(row) for row in _rows(value, lengths)), _is_row)
    annotations = consistent(answers)
    if annotations and ("{" in prose or "}" in prose):
        raise UnreadableError("its numbers are in an object, as in another dialect")
    return ParsedReply(annotations, prose, bool(answers))


def read_internvl(text: str) -> ParsedReply:
    """Read ``<ref>label</ref><point>[[x, y], ..]</point>`` or ``<box>[[x1, y1, x2, y2]]</box>``.

    The tags of boxes are special tokens, which servers omit: lists without tags are read as well.
    """
    return read_rows(re.sub(r"</?(?:ref|point|box)>", " ; ", text), (2, 4), "[")


_TOKENS = ("object_ref_start", "box_start", "box_end")
_NUMBER = r"\s*-?\d+(?:\.\d+)?\s*"
_CORNER = rf"\({_NUMBER},{_NUMBER}\)"
_CORNERS = re.compile(rf"""((?:[\[{{(]|"\s*:)\s*)?{_CORNER}(?:\s*,\s*{_CORNER})*""")


def read_corners(text: str) -> ParsedReply:
    """Read Qwen2-VL's ``<|box_start|>(x1,y1),(x2,y2)<|box_end|>``; one corner alone is a point.

    Servers omit special tokens: ``label(x1,y1),(x2,y2)`` is read as well.
    """
    references, opened, closed = (text.count(f"<|{token}|>") for token in _TOKENS)
    if references > opened or opened > closed or re.search(r"<[^<>]*$", text):
        raise truncated("a box")
    text = re.sub(r"<\|(?:box|object_ref)_(?:start|end)\|>", " ; ", text)
    annotations = []
    for match in _CORNERS.finditer(text):
        if match.group(1):
            raise UnreadableError("its numbers are in a list or object, as in another dialect")
        corners = tuple(number(value) for value in re.findall(r"[-.\d]+", match.group()))
        if len(corners) > 4:
            raise UnreadableError(f"{shorten(match.group())} may be points or boxes")
        annotations.append(Annotation(corners))
    prose = _CORNERS.sub(" ", text)
    if re.search(r"\(\s*[-.\d]+\s*(?:,|$)", prose):
        raise truncated("a box")
    return ParsedReply(tuple(annotations), prose, bool(annotations))


def _joined(
    blocks: list[Block], read: Callable[[Any], tuple[Annotation, ...]], is_entry: Callable[[Any], bool]
) -> list[tuple[Annotation, ...]]:
    """Return one answer for each block; consecutive entries without a list make one answer."""
    answers: list[tuple[Annotation, ...]] = []
    before: Any = None
    for block in blocks:
        annotations = read(block.value)
        if block.joined and is_entry(before) and is_entry(block.value):
            annotations = answers.pop() + annotations
        answers.append(annotations)
        before = block.value
    return answers


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_row(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and not isinstance(value[0], list)


def _objects(value: Any, forms: tuple[Form, ...]) -> Iterator[Annotation]:
    if isinstance(value, list):
        for entry in value:
            yield from _objects(entry, forms)
        return
    if not isinstance(value, dict):
        raise UnreadableError(f"{shorten(value)} is in place of an object with {_names(forms)}")
    form = next((form for form in forms if value.keys() >= set(form.keys)), None)
    if form is not None:
        label = value.get("label", "")
        for row in _numbers(value, form):
            yield Annotation(tuple(row[i] for i in form.order), label if isinstance(label, str) else "")
        return
    # Such as {"points": [..]}: structured output often has an object outermost.
    inner = [item for item in value.values() if isinstance(item, (list, dict))]
    if len(inner) != 1:
        raise UnreadableError(f"{shorten(value)} has no {_names(forms)}")
    yield from _objects(inner[0], forms)


def _numbers(entry: dict[str, Any], form: Form) -> list[tuple[float, ...]]:
    values = [entry[key] for key in form.keys]
    if len(values) > 1:
        return [tuple(map(number, values))]
    return [] if values[0] is None else _rows(values[0], (len(form.order),))


def _rows(value: Any, lengths: tuple[int, ...]) -> list[tuple[float, ...]]:
    """Return the rows of one list of numbers or of a list of such lists; an empty list has none."""
    if not isinstance(value, list):
        raise UnreadableError(f"{shorten(value)} is in place of a list of numbers")
    rows = value if all(isinstance(row, list) for row in value) else [value]
    for row in rows:
        if len(row) not in lengths:
            wanted = " or ".join(map(str, lengths))
            raise UnreadableError(f"{shorten(row)} has {len(row)} numbers instead of {wanted}")
    return [tuple(number(item) for item in row) for row in rows]


def _names(forms: tuple[Form, ...]) -> str:
    return " or ".join(", ".join(form.keys) for form in forms) or "points"


# ── tags ───────────────────────────────────────────────────────────────────────────────────────
_ELEMENT = re.compile(r"<(points?)\b([^<>]*?)(?:/>|>([^<]*)</\1>)")
_ATTRIBUTE = re.compile(r"""\s+([A-Za-z_]\w*)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


def read_molmo(text: str) -> ParsedReply:
    """Read ``<point x="61.5" y="40.4" alt="..">..</point>`` and ``<points x1= y1= x2= y2= ..>``."""
    elements, prose = _elements(text)
    annotations = [found for attributes, label in elements for found in _pairs(attributes, label)]
    return ParsedReply(tuple(annotations), prose, bool(annotations))


def read_molmo2(text: str) -> ParsedReply:
    """Read ``<points coords="1 1 512 334 2 600 410">label</points>``.

    Each group is the number of an image and then triples: the number of a point, x and y. Groups are
    separated by a tab or a semicolon; the code on Molmo2's model card allows colons and commas, too.
    """
    elements, prose = _elements(text)
    annotations = []
    for attributes, label in elements:
        if "coords" not in attributes:
            raise UnreadableError("a tag has no coords")
        for group in re.split("[\t;:,]", attributes["coords"].strip()):
            annotations += [Annotation(numbers, label) for numbers in _triples(group)]
    return ParsedReply(tuple(annotations), prose, bool(annotations))


def _elements(text: str) -> tuple[list[tuple[dict[str, str], str]], str]:
    """Return attributes and label of every ``point`` or ``points`` tag, and the prose around them."""
    elements = [(_attributes(match.group(2)), match.group(3) or "") for match in _ELEMENT.finditer(text)]
    prose = _ELEMENT.sub(" ", text)
    if re.search(r"<[^<>]*$", prose) or re.search(r"<points?\b", prose):
        raise truncated("a tag")
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
        raise UnreadableError(f"the attributes {shorten(source.strip())} of a tag are malformed")
    return found


def _pairs(attributes: dict[str, str], label: str) -> list[Annotation]:
    """Return the points ``x``, ``y`` or ``x1``, ``y1``, ``x2``, ``y2`` and so on, in the order of writing."""
    axes: dict[str, dict[str, float]] = {}
    for name, value in attributes.items():
        if match := re.fullmatch(r"([xy])(\d{0,4})", name):
            axes.setdefault(match.group(2), {})[match.group(1)] = number(value)
    if not axes:
        raise UnreadableError("a tag has no x and y")
    if any(len(point) < 2 for point in axes.values()):
        raise UnreadableError("a tag has an x without its y, or a y without its x")
    return [Annotation((point["x"], point["y"]), label) for point in axes.values()]


def _triples(group: str) -> list[tuple[float, float]]:
    numbers = [number(word) for word in group.split()]
    if len(numbers) < 4 or len(numbers) % 3 != 1:
        raise UnreadableError(
            f"{shorten(group)} is not an image's number and then a number, x and y for each point"
        )
    if numbers[0] != 1:
        raise UnreadableError(f"it points into image {numbers[0]:g}, but one image was shown")
    return list(zip(numbers[2::3], numbers[3::3], strict=True))
