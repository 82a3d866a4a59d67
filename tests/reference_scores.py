"""Scores of four pointing benchmarks in plain code, one function for each, from what their authors publish.

Each takes the folder of the data set and the replies in the order of its questions (None for no answer), and
returns the score of each question, or None where the authors' evaluation goes on without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

Replies = Sequence[str | None]
Scores = list[float | None]


def tuples(text: str) -> list[list[float]]:
    found = re.findall(r"\(([-+]?\d+\.?\d*(?:,\s*[-+]?\d+\.?\d*)*?)\)", text)
    return [[float(n) if "." in n else int(n) for n in one.split(",")] for one in found]


def share(points: list[tuple[int, int]], values: np.ndarray) -> float:
    """The mean of the values at pixels, one at a time."""
    total = 0.0
    for x, y in points:
        if 0 <= y < len(values) and 0 <= x < len(values[0]):
            total += float(values[y][x])
    return total / len(points) if points else 0.0


def where2place(folder: Path, replies: Replies) -> Scores:
    scores: Scores = []
    for number, reply in enumerate(replies):
        values = np.array(Image.open(folder / "masks" / f"{number:02d}.jpg")) / 255.0
        height, width = values.shape
        points: list[tuple[int, int]] = []
        try:
            for v in tuples(reply):  # type: ignore[arg-type]
                if len(v) == 2:
                    if isinstance(v[0], float) or isinstance(v[1], float):
                        v = [v[0] * width, v[1] * height]
                    points.append((int(v[0]), int(v[1])))
                elif len(v) == 4:
                    if isinstance(v[0], float):
                        v = [int(v[0] * width), int(v[1] * height), int(v[2] * width), int(v[3] * height)]
                    inside = np.zeros((height, width), dtype=bool)
                    inside[v[1] : v[3], v[0] : v[2]] = True
                    points += [(int(x), int(y)) for y, x in np.argwhere(inside)]
        except TypeError:
            scores.append(None)
            continue
        scores.append(share(points, values))
    return scores


def refspatial(folder: Path, replies: Replies, dialect: str = "robopoint") -> Scores:
    entries = [
        (folder / name, entry)
        for name in ("Location", "Placement", "Unseen")
        for entry in json.loads((folder / name / "question.json").read_text())
    ]
    scores: Scores = []
    for (place, entry), reply in zip(entries, replies, strict=False):
        values = np.array(Image.open(place / entry["mask_path"]))
        values = (values[:, :, 0] if values.ndim == 3 else values) > 0
        if reply is None:
            scores.append(None)
            continue
        try:
            points = _refspatial_points(reply, dialect, *values.shape[::-1])
        except ValueError:
            scores.append(None)
            continue
        scores.append(share(points, values.astype(float)))
    return scores


def _refspatial_points(reply: str, dialect: str, width: int, height: int) -> list[tuple[int, int]]:
    points: list[tuple[int, int]] = []
    if dialect == "molmo":
        for x, y in re.findall(r'x\d+="(-?\d+\.?\d*)"\s+y\d+="(-?\d+\.?\d*)"', reply):
            points.append((int(float(x) / 100 * width), int(float(y) / 100 * height)))
        return points
    if dialect == "gemini":
        fence = re.search(r"```(?:\w+)?\n(.*?)```", reply, re.DOTALL)
        for entry in json.loads(fence[1]) if fence else []:
            y, x = entry["point"]
            points.append((int(x / 1000 * width), int(y / 1000 * height)))
        return points
    for v in tuples(reply):
        if len(v) == 2:
            if isinstance(v[0], float) or isinstance(v[1], float):
                v = [v[0] * width, v[1] * height]
            points.append((int(v[0]), int(v[1])))
        elif len(v) == 4:
            left, top, right, bottom = (int(a * b) for a, b in zip(v, (width, height) * 2, strict=True))
            np.ones((bottom - top, right - left), dtype=bool)
            points += [(x, y) for y in range(top, bottom) for x in range(left, right)]
    return points


def pointbench(folder: Path, replies: Replies, dialect: str = "pixels") -> Scores:
    entries = [e for e in json.loads((folder / "data.json").read_text()) if "mask_filename" in e]
    scores: Scores = []
    for entry, reply in zip(entries, replies, strict=True):
        image = np.array(Image.open(folder / "images" / entry["category"] / entry["image_filename"]))
        height, width = image.shape[:2]
        mask = np.array(Image.open(folder / "masks" / entry["mask_filename"]))
        mask = mask > 127 if mask.ndim == 2 else (mask > 127).any(axis=2)
        points = _pointbench_points(reply or "", dialect, width, height)
        counting = entry["category"] == "counting"
        points = points if counting else points[:1]
        right = bool(points) and (not counting or len(points) == entry.get("count", 1))
        for x, y in points:
            column, row = int(x), int(y)
            right = right and 0 <= column < width and 0 <= row < height and bool(mask[row, column])
        scores.append(float(right))
    return scores


def _pointbench_points(reply: str, dialect: str, width: int, height: int) -> list[tuple[float, float]]:
    if dialect == "molmo":
        found = [
            (float(x), float(y))
            for x, y in re.findall(
                r'x\d*="\s*([0-9]+(?:\.[0-9]+)?)"\s+y\d*="\s*([0-9]+(?:\.[0-9]+)?)"', reply
            )
        ]
        return [(x / 100 * width, y / 100 * height) for x, y in found if max(x, y) <= 100]
    start, end = reply.find("["), reply.rfind("]") + 1
    try:
        entries = json.loads(reply[start:end]) if start >= 0 else []
    except ValueError:
        return []
    if dialect == "gemini":
        return [(e["point"][1] / 1000 * width, e["point"][0] / 1000 * height) for e in entries]
    return [(e["point"][0], e["point"][1]) for e in entries]


def robospatial(folder: Path, replies: Replies) -> Scores:
    entries = [
        entry
        for entry in json.loads((folder / "annotations.json").read_text())
        if entry["question"] and entry["answer"] and entry["answer"].lower() not in ("yes", "no")
    ]
    scores: Scores = []
    for entry, reply in zip(entries, replies, strict=True):
        if reply is None:
            scores.append(None)
            continue
        corners = [tuple(map(float, pair)) for pair in re.findall(r"\(([\d.]+), ([\d.]+)\)", entry["answer"])]
        number = r"\s*(\d+\.?\d*)\s*"
        pair = re.search(rf"\({number},{number}\)", reply) or re.search(rf"\[{number},{number}\]", reply)
        scores.append(float(pair is not None and _inside(float(pair[1]), float(pair[2]), corners)))
    return scores


def _inside(x: float, y: float, corners: list[tuple[float, ...]]) -> bool:
    inside, before = False, corners[-1]
    for corner in corners:
        (xi, yi), (xj, yj) = corner, before
        if (yi > y) != (yj > y) and x < (xj - xi) * (y - yi) / (yj - yi) + xi:
            inside = not inside
        before = corner
    return inside
