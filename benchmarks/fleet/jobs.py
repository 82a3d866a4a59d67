"""Simulated captures with a job for each of their first queries, and the manifest of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.common.capture import workspace
from point2act.core.types import Answer, Camera, PointSet, Query, View
from point2act.data.capture import write_capture
from point2act.data.points import read_points, write_points

SEED = 900
"""Seed of the first scene; nothing was tuned on these."""
QUESTIONS = 3
"""Jobs for each capture."""


def write_jobs(folder: Path, scenes: int, *, width: int = 160) -> Path:
    """Simulate captures of 12 views, of 160x120 pixels by default.

    Args:
        folder: Folder to write to.
        scenes: Number of captures.
        width: Width of the images, pixels; their field of view stays.

    Returns:
        A manifest with a line for each question.
    """
    # Imported late: only this function needs the simulator.
    from point2act.simulation import CaptureConfig, WristConfig, capture_scene, load_scene

    wrist = WristConfig(views=12, size=(width * 3 // 4, width), focal=width * 150.0 / 160)
    config = CaptureConfig(wrist)
    lines = []
    for seed in range(SEED, SEED + scenes):
        capture = folder / f"scene{seed}"
        if not (capture / "points.json").is_file():
            capture_scene(load_scene("tabletop", seed), capture, config, np.random.default_rng(seed))
        known = read_points(capture / "points.json")
        for query in known.queries[:QUESTIONS]:
            points = f"{capture.name}/{query.name.replace(' ', '_')}.points.json"
            answers = tuple(answer for answer in known.answers if answer.query == query.name)
            write_points(folder / points, PointSet((replace(query, role="grasp"),), answers))
            lines.append({"capture": capture.name, "points": points})
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return manifest


def small_views(count: int, rng: np.random.Generator) -> list[View]:
    """Return images of 16x12 pixels of noise, all different."""
    camera = Camera(16.0, 16.0, 8.0, 6.0, 12, 16)
    pixels = rng.integers(0, 256, (count, 12, 16, 3), dtype=np.uint8)
    return [View(f"images/{number}.png", camera, np.eye(4), rgb) for number, rgb in enumerate(pixels)]


def small_capture() -> Path:
    """Return the folder of a capture of 3 small images, with an answer in each."""
    folder, views = workspace() / "small", small_views(3, np.random.default_rng(SEED))
    write_capture(folder, views)
    answers = tuple(Answer(view.name, "lid", np.array([[8.0, 6.0]])) for view in views)
    write_points(folder / "points.json", PointSet((Query("lid", "the lid"),), answers))
    return folder
