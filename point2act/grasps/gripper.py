"""Read a gripper from a TOML file: a shipped one by its name, or any other by its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from point2act import config_files
from point2act.errors import GripperError
from point2act.types import Box, Gripper

_KEYS = {"name", "max_width", "pad_size", "max_force", "source", "finger", "body"}
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
        name=_text(path, table, "name"),
        max_width=_number(path, table, "max_width"),
        pad_size=_pair(path, table, "pad_size"),
        finger=_boxes(path, table, "finger"),
        body=_boxes(path, table, "body"),
        max_force=_number(path, table, "max_force"),
        source=_text(path, table, "source"),
    )
    _check_geometry(path, gripper)
    return gripper


def _text(path: Path, table: dict[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise GripperError(f"{path}: '{key}' is {value!r}: write some text there")
    return value


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
    entries = table.get(key)
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
        raise GripperError(f"{path}: there is no [[{key}]]: write at least one, with center and half_extents")
    boxes = []
    for entry in entries:
        if set(entry) != {"center", "half_extents"}:
            raise GripperError(f"{path}: a [[{key}]] has {sorted(entry)}: give it center and half_extents")
        center = _vector(path, entry, "center", length=3)
        half = _vector(path, entry, "half_extents", length=3)
        if min(half) <= 0:
            raise GripperError(f"{path}: a [[{key}]] has half_extents {half}: all three must be positive")
        boxes.append(Box((center[0], center[1], center[2]), (half[0], half[1], half[2])))
    return tuple(boxes)


def _check_geometry(path: Path, gripper: Gripper) -> None:
    inner = min(box.center[1] - box.half_extents[1] for box in gripper.finger)
    if abs(inner) > _PAD_TOLERANCE:
        raise GripperError(
            f"{path}: the inner face of [[finger]] lies at y = {1e3 * inner:.1f} mm: describe the finger on "
            "the +y side of the closed gripper, whose pad touches y = 0"
        )
    tip = max(box.center[2] + box.half_extents[2] for box in gripper.finger)
    front = max(box.center[2] + box.half_extents[2] for box in gripper.body)
    if front >= tip:
        raise GripperError(
            f"{path}: [[body]] reaches z = {1e3 * front:.1f} mm, past the fingertips at {1e3 * tip:.1f} mm: "
            "+z is the direction of approach and the origin lies between the pads"
        )
