"""Simulated tables for benchmarks of localization: captured and fitted once, and cached in a folder.

The slow steps, images and fit, depend on the kind of scene and the seed alone; answers are drawn anew for
every query. Each table has a folder of its own; delete it when the fit has changed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

import point2act
from point2act.core.threads import configure_threads
from point2act.core.types import View
from point2act.data.capture import load_views, read_capture, write_capture
from point2act.pipeline.finished_run import open_run
from point2act.pipeline.session import Session
from point2act.simulation import CaptureConfig, Scene, capture_scene, captured_scene, load_scene
from point2act.simulation.camera import SimView, render
from point2act.simulation.task import load_task

CACHE = "POINT2ACT_BENCHMARK_CACHE"
"""Environment variable that names the cache folder; without it tables are deleted when the process ends."""
SPARSE_KINDS = ("hand_over_knife", "hang_mug", "mug_on_coaster", "pour_beads", "spoon_in_cup", "tube_in_rack")
"""Tasks whose scenes have two or three objects without fixtures."""
KINDS = ("breakfast", "cleaning", "desk", "kitchen", "tabletop", "toolbox", "washstand", "workbench")
VARIANTS = ("rgbd", "rgb", "perturbed")
"""Variants of a capture: as captured, without depth, with perturbed poses."""

SHIFT = 0.005
"""Distance between the true and the recorded position of a perturbed camera, metres."""
TURN = np.deg2rad(0.7)
"""Angle between the true and the recorded orientation of a perturbed camera, radians."""


@dataclass(frozen=True)
class Table:
    """One simulated table."""

    kind: str
    """Name of a shipped scene, or of a shipped task for its scene."""
    seed: int
    variant: str = "rgbd"

    @property
    def name(self) -> str:
        """``desk-3``, the same for all variants, which have the same objects."""
        return f"{self.kind}-{self.seed}"


def tables(seeds: Sequence[int], *, variant: str = "rgbd", count: int | None = None) -> tuple[Table, ...]:
    """Return every kind with every seed, or the first ``count`` of them; kinds alternate."""
    return tuple(Table(kind, seed, variant) for seed in seeds for kind in KINDS)[:count]


TUNE = tables(range(5))
"""For choosing parameters."""
REPORT = tables(range(500, 506))
"""For published figures; nothing may be chosen on them."""
SPARSE = tuple(Table(kind, seed) for seed in range(500, 505) for kind in SPARSE_KINDS)
"""Tables with two or three objects, where most wrong answers agree; nothing may be chosen on them."""
FRESH = tables(range(600, 602))
"""For a last evaluation, after a version is finished."""


@dataclass(frozen=True, eq=False)
class Simulated:
    """A fitted scene with the ground truth of its views."""

    table: Table
    scene: Scene
    session: Session
    shots: tuple[SimView, ...]
    """Ground truth of each view; ``shots[v].view`` is view v of the session."""


def simulated(table: Table) -> Simulated:
    """Return a table from the cache; make it first if it is not there."""
    run = made(table)
    source = folder() / table.name
    session = open_run(run)
    with np.load(source / "truth.npz") as truth:
        shots = [
            SimView(*known) for known in zip(session.views, truth["part_ids"], truth["depth"], strict=True)
        ]
    return Simulated(table, captured_scene(source / "capture"), session, tuple(shots))


def made(table: Table) -> Path:
    """Return the folder of a table's fitted scene; simulate and fit it first if it is not there."""
    source = folder() / table.name
    output = source / table.variant
    if (output / "run.json").is_file():
        return output
    if not (source / "truth.npz").is_file():
        _capture(table, source)
    capture = source / "capture"
    if table.variant != "rgbd":
        views = load_views(read_capture(capture), max_side=480)
        capture = source / f"{table.variant}-capture"
        write_capture(capture, _spoilt(views, table))
    point2act.run(capture, output)
    return output


@cache
def folder() -> Path:
    """Return the cache folder."""
    named = os.environ.get(CACHE)
    return Path(named) if named else Path(_temporary().name)


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="point2act-localisation-")


def _capture(table: Table, source: Path) -> None:
    """Write noisy images, and for each the part and the true depth of every pixel."""
    of_task = table.kind in SPARSE_KINDS
    scene = load_task(table.kind, table.seed).scene if of_task else load_scene(table.kind, table.seed)
    capture_scene(scene, source / "capture", CaptureConfig(), np.random.default_rng(table.seed))
    (source / "capture" / "points.json").unlink()  # answers are drawn for every question
    views = load_views(read_capture(source / "capture"), max_side=480)
    scene = captured_scene(source / "capture")
    _, depth, part_ids = render(scene, [view.T_world_cam for view in views], views[0].camera)
    np.savez_compressed(source / "truth.npz", part_ids=part_ids, depth=depth)


def _spoilt(views: Sequence[View], table: Table) -> list[View]:
    if table.variant == "rgb":
        return [replace(view, depth=None) for view in views]
    rng = np.random.default_rng(table.seed)
    return [replace(view, T_world_cam=perturbed(view.T_world_cam, rng)) for view in views]


def perturbed(
    T_world_cam: Float[np.ndarray, "4 4"],
    rng: np.random.Generator,
    *,
    shift: float = SHIFT,
    turn: float = TURN,
) -> Float[np.ndarray, "4 4"]:
    """Return the pose moved by ``shift`` metres and turned by ``turn`` radians in random directions."""
    T = T_world_cam.copy()
    way, axis = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 3)))
    T[:3, 3] += shift * way
    T[:3, :3] = T[:3, :3] @ Rotation.from_rotvec(turn * axis).as_matrix()
    return T


def main() -> None:
    """Make the tables of a range of seeds in advance: ``python -m benchmarks.common.tables 0 5``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("first", type=int, help="seed")
    parser.add_argument("end", type=int, help="one more than the last seed")
    parser.add_argument("--variant", choices=VARIANTS, default="rgbd")
    parser.add_argument("--count", type=int, help="maximum number of tables")
    arguments = parser.parse_args()
    configure_threads()
    for table in tables(
        range(arguments.first, arguments.end), variant=arguments.variant, count=arguments.count
    ):
        print(made(table), flush=True)


if __name__ == "__main__":
    main()
