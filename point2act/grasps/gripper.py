"""Read a gripper from a TOML file: a shipped one by its name, or any other by its path."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from point2act import config_files
from point2act.errors import GripperError
from point2act.types import Box, Gripper, Link

_KEYS = {"name", "max_width", "pad_size", "max_force", "source", "mount", "finger", "link", "body"}
_BOX = {"center", "half_extents"}
_PAD_TOLERANCE = 1e-3
"""How far the closed finger's inner face may lie from y = 0, metres."""


def load_gripper(name_or_path: str | Path) -> Gripper:
    """Load and check a gripper.

    Lengths in metres, the frame of :class:`point2act.types.Gripper`. Raises GripperError, which names
    the file, the key and what to write there.
    """
    path, table = config_files.load("grippers", name_or_path, GripperError)
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise GripperError(f"{path} has unknown keys {', '.join(unknown)}: use {', '.join(sorted(_KEYS))}")
    gripper = Gripper(
        name=config_files.text(path, table, "name", GripperError),
        max_width=_number(path, table, "max_width"),
        pad_size=_pair(path, table, "pad_size"),
        finger=_boxes(path, table, "finger"),
        body=_boxes(path, table, "body"),
        max_force=_number(path, table, "max_force"),
        source=config_files.text(path, table, "source", GripperError),
        link=_links(path, table),
        mount=_mount(path, table),
    )
    _check_mount(path, gripper)
    _check_geometry(path, gripper)
    return gripper


def _number(path: Path, table: dict[str, Any], key: str) -> float:
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise GripperError(f"{path}: '{key}' is {value!r}: write one positive number")
    return float(value)


def _pair(path: Path, table: dict[str, Any], key: str) -> tuple[float, float]:
    first, second = _vector(path, table, key, length=2)
    if first <= 0 or second <= 0:
        raise GripperError(f"{path}: '{key}' is {[first, second]}: write two positive lengths in metres")
    return first, second


def _vector(path: Path, table: dict[str, Any], key: str, *, length: int) -> list[float]:
    value = table.get(key)
    entries = value if isinstance(value, list) else []
    numbers = [
        v for v in entries if isinstance(v, (int, float)) and not isinstance(v, bool) and np.isfinite(v)
    ]
    if len(entries) != length or len(numbers) != length:
        raise GripperError(f"{path}: '{key}' is {value!r}: write a list of {length} numbers in metres")
    return [float(v) for v in numbers]


def _boxes(path: Path, table: dict[str, Any], key: str) -> tuple[Box, ...]:
    return tuple(_box(path, entry, key) for entry in _entries(path, table, key, keys=_BOX))


def _links(path: Path, table: dict[str, Any]) -> tuple[Link, ...]:
    if "link" not in table:
        return ()
    links = []
    for entry in _entries(path, table, "link", keys=_BOX | {"follow"}):
        follow = _number(path, entry, "follow")
        if follow >= 1:
            raise GripperError(
                f"{path}: a [[link]] has follow {follow:g}: write the share of the fingertip's way that it "
                "goes, between 0 and 1; what goes all of it is a [[finger]]"
            )
        links.append(Link(_box(path, entry, "link"), follow))
    return tuple(links)


def _entries(path: Path, table: dict[str, Any], key: str, *, keys: set[str]) -> list[dict[str, Any]]:
    """The tables of one kind, each with exactly these keys."""
    entries, wanted = table.get(key), " and ".join(sorted(keys))
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
        raise GripperError(f"{path}: there is no [[{key}]]: write at least one, with {wanted}")
    for entry in entries:
        if set(entry) != keys:
            raise GripperError(f"{path}: a [[{key}]] has {sorted(entry)}: give it {wanted}")
    return entries


def _box(path: Path, entry: dict[str, Any], key: str) -> Box:
    center = _vector(path, entry, "center", length=3)
    half = _vector(path, entry, "half_extents", length=3)
    if min(half) <= 0:
        raise GripperError(f"{path}: a [[{key}]] has half_extents {half}: all three must be positive")
    return Box((center[0], center[1], center[2]), (half[0], half[1], half[2]))


def _mount(path: Path, table: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    rows = table.get("mount", [])
    if not isinstance(rows, list):
        raise GripperError(f"{path}: 'mount' is {rows!r}: write a list of [opening, distance] in metres")
    pairs = [_vector(path, {"mount": row}, "mount", length=2) for row in rows]
    return tuple((opening, distance) for opening, distance in pairs)


def _check_mount(path: Path, gripper: Gripper) -> None:
    openings, distances = [row[0] for row in gripper.mount], [row[1] for row in gripper.mount]
    if any(distance <= 0 for distance in distances):
        raise GripperError(
            f"{path}: 'mount' has the distances {distances}: all must be positive, the mounting face lies "
            "behind the pads"
        )
    if any(here >= after for here, after in pairwise(openings)):
        raise GripperError(f"{path}: 'mount' has the openings {openings}: write the rows in ascending order")
    if len(openings) > 1 and (openings[0] != 0 or openings[-1] != gripper.max_width):
        raise GripperError(
            f"{path}: 'mount' goes from opening {openings[0]:g} to {openings[-1]:g}: begin with 0 and end "
            f"with max_width, {gripper.max_width:g}; or write one row if the pads do not move forwards"
        )


def _check_geometry(path: Path, gripper: Gripper) -> None:
    inner = min(box.center[1] - box.half_extents[1] for box in gripper.finger)
    if abs(inner) > _PAD_TOLERANCE:
        raise GripperError(
            f"{path}: the inner face of [[finger]] lies at y = {1e3 * inner:.1f} mm: describe the finger on "
            "the +y side of the closed gripper, whose pad touches y = 0"
        )
    for box in gripper.body_at(0.0)[: len(gripper.link)]:
        if box.center[1] - box.half_extents[1] < -_PAD_TOLERANCE:
            raise GripperError(
                f"{path}: the [[link]] that ends {1e3 * (box.center[2] + box.half_extents[2]):.0f} mm before "
                "the pads' centres meets that of the other finger when closed: make it thinner or its "
                "follow smaller"
            )
    tip = max(box.center[2] + box.half_extents[2] for box in gripper.finger)
    front = max(box.center[2] + box.half_extents[2] for box in gripper.body)
    if front >= tip:
        raise GripperError(
            f"{path}: [[body]] reaches z = {1e3 * front:.1f} mm, past the fingertips at {1e3 * tip:.1f} mm: "
            "+z is the direction of approach and the origin lies between the pads"
        )
