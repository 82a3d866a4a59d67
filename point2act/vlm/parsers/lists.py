"""Points in JSON objects, in lists of numbers, and in pairs of corners."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from point2act.vlm.parsers.blocks import Block, read_blocks
from point2act.vlm.parsers.reading import Mark, Reading, UnreadableError, agreed, cut_off, number, short


@dataclass(frozen=True)
class Form:
    """How a JSON object holds a mark."""

    keys: tuple[str, ...]
    """The key of a list of numbers, or the keys of the numbers themselves."""
    order: tuple[int, ...]
    """Which of the numbers are x, y or x1, y1, x2, y2."""


def read_objects(text: str, forms: tuple[Form, ...]) -> Reading:
    """Marks in JSON: objects with one of the forms, in lists or alone, fenced or not.

    Where an object has several forms, say a point and its box, the first in ``forms`` is meant.
    """
    blocks, prose = read_blocks(text, "[{")
    answers = _joined(blocks, lambda value: tuple(_objects(value, forms)), _is_object)
    return Reading(agreed(answers), prose, bool(answers))


def read_rows(text: str, lengths: tuple[int, ...], openings: str = "[(") -> Reading:
    """Marks in lists of numbers, ``[(x, y), ..]`` or ``[x1, y1, x2, y2]``, of one of the given lengths.

    ``openings`` are the brackets that they have.
    """
    blocks, prose = read_blocks(text, openings)
    answers = _joined(blocks, lambda value: tuple(Mark(row) for row in _rows(value, lengths)), _is_row)
    marks = agreed(answers)
    if marks and ("{" in prose or "}" in prose):
        raise UnreadableError("its numbers stand within an object, as another dialect's would")
    return Reading(marks, prose, bool(answers))


def read_internvl(text: str) -> Reading:
    """Marks in ``<ref>label</ref><point>[[x, y], ..]</point>`` or ``<box>[[x1, y1, x2, y2]]</box>``.

    The tags of boxes are special tokens, which servers leave out: lists without tags are read as well.
    """
    return read_rows(re.sub(r"</?(?:ref|point|box)>", " ; ", text), (2, 4), "[")


_TOKENS = ("object_ref_start", "box_start", "box_end")
_NUMBER = r"\s*-?\d+(?:\.\d+)?\s*"
_CORNER = rf"\({_NUMBER},{_NUMBER}\)"
_CORNERS = re.compile(rf"""((?:[\[{{(]|"\s*:)\s*)?{_CORNER}(?:\s*,\s*{_CORNER})*""")


def read_corners(text: str) -> Reading:
    """Marks in Qwen2-VL's ``<|box_start|>(x1,y1),(x2,y2)<|box_end|>``; one corner alone is a point.

    Servers leave special tokens out: ``label(x1,y1),(x2,y2)`` is read as well.
    """
    references, opened, closed = (text.count(f"<|{token}|>") for token in _TOKENS)
    if references > opened or opened > closed or re.search(r"<[^<>]*$", text):
        raise cut_off("a box")
    text = re.sub(r"<\|(?:box|object_ref)_(?:start|end)\|>", " ; ", text)
    marks = []
    for match in _CORNERS.finditer(text):
        if match.group(1):
            raise UnreadableError("its numbers stand within a list or object, as another dialect's would")
        corners = tuple(number(value) for value in re.findall(r"[-.\d]+", match.group()))
        if len(corners) > 4:
            raise UnreadableError(f"{short(match.group())} may be points or boxes")
        marks.append(Mark(corners))
    prose = _CORNERS.sub(" ", text)
    if re.search(r"\(\s*[-.\d]+\s*(?:,|$)", prose):
        raise cut_off("a box")
    return Reading(tuple(marks), prose, bool(marks))


def _joined(
    blocks: list[Block], read: Callable[[Any], tuple[Mark, ...]], is_entry: Callable[[Any], bool]
) -> list[tuple[Mark, ...]]:
    """One answer for each block; entries that follow upon one another, without a list, make one answer."""
    answers: list[tuple[Mark, ...]] = []
    before: Any = None
    for block in blocks:
        marks = read(block.value)
        if block.joined and is_entry(before) and is_entry(block.value):
            marks = answers.pop() + marks
        answers.append(marks)
        before = block.value
    return answers


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_row(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and not isinstance(value[0], list)


def _objects(value: Any, forms: tuple[Form, ...]) -> Iterator[Mark]:
    if isinstance(value, list):
        for entry in value:
            yield from _objects(entry, forms)
        return
    if not isinstance(value, dict):
        raise UnreadableError(f"{short(value)} stands where an object with {_names(forms)} should")
    form = next((form for form in forms if value.keys() >= set(form.keys)), None)
    if form is not None:
        label = value.get("label", "")
        for row in _numbers(value, form):
            yield Mark(tuple(row[i] for i in form.order), label if isinstance(label, str) else "")
        return
    # Something like {"points": [..]}, which servers that are held to a schema like to have outermost.
    inner = [item for item in value.values() if isinstance(item, (list, dict))]
    if len(inner) != 1:
        raise UnreadableError(f"{short(value)} has no {_names(forms)}")
    yield from _objects(inner[0], forms)


def _numbers(entry: dict[str, Any], form: Form) -> list[tuple[float, ...]]:
    values = [entry[key] for key in form.keys]
    if len(values) > 1:
        return [tuple(map(number, values))]
    return [] if values[0] is None else _rows(values[0], (len(form.order),))


def _rows(value: Any, lengths: tuple[int, ...]) -> list[tuple[float, ...]]:
    """One list of numbers, or a list of them; none for an empty list."""
    if not isinstance(value, list):
        raise UnreadableError(f"{short(value)} stands where a list of numbers should")
    rows = value if all(isinstance(row, list) for row in value) else [value]
    for row in rows:
        if len(row) not in lengths:
            wanted = " or ".join(map(str, lengths))
            raise UnreadableError(f"{short(row)} has {len(row)} numbers instead of {wanted}")
    return [tuple(number(item) for item in row) for row in rows]


def _names(forms: tuple[Form, ...]) -> str:
    return " or ".join(", ".join(form.keys) for form in forms) or "points"
