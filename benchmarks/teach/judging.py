"""Whether collected answers are right, by the simulator's ground truth.

A point is right if it is on the target's part, and "not visible" if fewer than 20 pixels of it are seen, as
the simulated models have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from point2act.core.types import Camera
from point2act.data.capture import read_capture
from point2act.data.points import read_points
from point2act.data.run_manifest import read_run
from point2act.simulation import captured_scene
from point2act.simulation.camera import render
from point2act.teaching.documents import Example

# Below this a target counts as not visible, as for the simulated models.
_MIN_PIXELS = 20


@dataclass(frozen=True)
class Verdict:
    """An example, and whether its answer and the model's own are right."""

    example: Example
    right: bool
    own_right: bool


def judge_run(run: Path, examples: Sequence[Example]) -> Iterator[Verdict]:
    """Yield a verdict on each example in whose image the model was asked."""
    capture = read_run(run).capture
    queries = read_points(capture / "points.json", read_capture(capture)).queries
    names = {query.text: query.name for query in queries}
    scene = captured_scene(capture)
    if not examples:
        return
    shown = {example.image: example for example in examples}
    camera = _camera(examples[0])
    poses = [np.array(example.T_world_cam) for example in shown.values()]
    ids = dict(zip(shown, render(scene, poses, camera)[2], strict=True))
    for example in examples:
        if example.own_points is not None:
            mask = np.isin(ids[example.image], list(scene.target_parts(names[example.question])))
            yield Verdict(example, _is_right(example.points, mask), _is_right(example.own_points, mask))


def _camera(example: Example) -> Camera:
    return Camera(**dict(example.camera), height=example.height, width=example.width)


def _is_right(points: Sequence[tuple[float, float]], mask: np.ndarray) -> bool:
    """Return whether all points are on the target, or there is none and it is not visible."""
    if not points:
        return int(mask.sum()) < _MIN_PIXELS
    height, width = mask.shape
    return all(mask[min(int(y), height - 1), min(int(x), width - 1)] for x, y in points)
