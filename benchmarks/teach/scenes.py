"""Small tables with things of different colours, and their pictures; some shapes are kept for the test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from point2act.core.files import write_text
from point2act.physics.scene import Scene
from point2act.simulation import CaptureConfig, WristConfig, capture_scene, load_scene
from point2act.simulation.camera import SimView, render_views

SIDE = 96
"""Side of the pictures, pixels."""
COLORS = {
    "red": (0.75, 0.12, 0.12),
    "green": (0.15, 0.55, 0.20),
    "blue": (0.15, 0.25, 0.75),
    "yellow": (0.85, 0.75, 0.15),
    "purple": (0.50, 0.18, 0.60),
}
KNOWN = {
    "block": '{ type = "box", size = [0.05, 0.04, 0.04], center = [0, 0, 0.02] }',
    "slab": '{ type = "box", size = [0.07, 0.045, 0.022], center = [0, 0, 0.011] }',
    "can": '{ type = "cylinder", radius = 0.024, length = 0.06, center = [0, 0, 0.03] }',
    "disc": '{ type = "cylinder", radius = 0.033, length = 0.02, center = [0, 0, 0.01] }',
}
NEW = {
    "step": '{ type = "box", size = [0.07, 0.04, 0.02], center = [0, 0, 0.01] }, '
    '{ type = "box", size = [0.03, 0.04, 0.025], center = [0.02, 0, 0.0325] }',
    "tower": '{ type = "cylinder", radius = 0.03, length = 0.02, center = [0, 0, 0.01] }, '
    '{ type = "cylinder", radius = 0.016, length = 0.035, center = [0, 0, 0.0375] }',
    "cross": '{ type = "box", size = [0.075, 0.026, 0.025], center = [0, 0, 0.0125] }, '
    '{ type = "box", size = [0.026, 0.075, 0.025], center = [0, 0, 0.0125] }',
}
"""Shapes that no model is trained on."""
_PLACES = np.array([(x, y) for x in (-0.11, 0.0, 0.11) for y in (-0.11, 0.0, 0.11)])
_SHIFT = 0.003
_CAMERA = WristConfig(views=12, size=(SIDE, SIDE), focal=105.0, distance=(0.36, 0.46), aim=0.02)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image, and where each colour's thing is in it."""

    rgb: np.ndarray
    masks: dict[str, np.ndarray]
    """Pixels of the thing of each colour that is visible."""


def question(color: str) -> str:
    """Return the text of the question for the thing of a colour."""
    return f"the {color} thing"


def make_scene(folder: Path, seed: int, shapes: dict[str, str]) -> Scene:
    """Write the file of a table with things of different colours, and load it."""
    rng = np.random.default_rng(seed)
    path = folder / f"table-{seed}.toml"
    write_text(path, _layout(rng, shapes))
    return load_scene(path, seed)


def capture(scene: Scene, folder: Path, seed: int) -> None:
    """Write a capture of a table; its points.json has a simulated model's answers, which nothing reads."""
    capture_scene(scene, folder, CaptureConfig(wrist=_CAMERA), np.random.default_rng(seed))


def pictures(scene: Scene, seed: int) -> list[Picture]:
    """Return the pictures of a table from all sides."""
    return [_picture(scene, shot) for shot in render_views(scene, _CAMERA, np.random.default_rng(seed))]


def _picture(scene: Scene, shot: SimView) -> Picture:
    names = [query.name for query in scene.queries]
    masks = {name: np.isin(shot.part_ids, list(scene.target_parts(name))) for name in names}
    return Picture(shot.view.rgb, {color: mask for color, mask in masks.items() if mask.sum() >= 12})


def _layout(rng: np.random.Generator, shapes: dict[str, str]) -> str:
    grey = rng.uniform(0.45, 0.85) + rng.uniform(-0.05, 0.05, 3)
    lines = ["[table]", f"color = {_list(grey)}", 'texture = "wood"']
    places = rng.permutation(_PLACES)
    for color, place in zip(rng.permutation(list(COLORS)), places, strict=False):
        lines += _thing(rng, str(color), place, shapes[str(rng.choice(list(shapes)))])
    return "\n".join(lines) + "\n"


def _thing(rng: np.random.Generator, color: str, place: np.ndarray, shape: str) -> list[str]:
    shade = np.clip(np.array(COLORS[color]) * rng.uniform(0.7, 1.25) + rng.normal(0, 0.04, 3), 0.02, 0.98)
    position = place + rng.uniform(-_SHIFT, _SHIFT, 2)
    query = [f'name = "{color}"', f'text = "{question(color)}"', f'object = "{color}"']
    body = [f"mass = 0.2\nfriction = 0.8\nyaw = {rng.uniform(0, 360):.1f}", f"position = {_list(position)}"]
    part = [f"color = {_list(shade)}", f"shapes = [{shape}]"]
    return ["[[query]]", *query, f"[objects.{color}]", *body, f"[objects.{color}.parts.body]", *part]


def _list(values: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:.3f}" for value in values) + "]"
