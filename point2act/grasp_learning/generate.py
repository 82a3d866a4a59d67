"""Generation of training data: a shard for each region of many simulated tables, on all cores."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from point2act.core.errors import LearningError, SimulationError
from point2act.core.processes import available_cores, results
from point2act.grasp_learning.families import FAMILIES
from point2act.grasp_learning.labels import LabelConfig, labelled
from point2act.grasp_learning.shards import Shard, read_shard, write_shard
from point2act.grasp_learning.tables import TableConfig, draw_table
from point2act.grasping.end_effector import load_end_effector
from point2act.physics.scene import Scene
from point2act.simulation.camera import WristConfig, render_views


@dataclass(frozen=True)
class GenerateConfig:
    """Size of the data, and how tables are captured."""

    shapes: int = 315
    """Number of objects, shared evenly among the families."""
    parts: int = 2
    """Largest number of parts of an object whose grasps are labelled."""
    views: int = 12
    """Depth images of a table."""
    sweeps: tuple[float, float] = (140.0, 340.0)
    """Smallest and largest arc of the camera's path, degrees."""
    tables: TableConfig = field(default_factory=TableConfig)
    """Random tables."""
    labels: LabelConfig = field(default_factory=LabelConfig)
    """Grasps and their execution."""
    seed: int = 0
    """Seed of the first object of each family; the others follow."""


@dataclass(frozen=True)
class Generated:
    """What was generated."""

    regions: int
    """Number of shards."""
    grasps: int
    lifted: int
    by_part: int
    skipped: int
    """Number of objects without a table on which they stand."""
    seconds: float


@dataclass(frozen=True)
class _Task:
    """One object of one family."""

    folder: Path
    effector: str
    family: str
    seed: int
    config: GenerateConfig


def generate(
    effector: str,
    folder: Path,
    config: GenerateConfig = GenerateConfig(),
    *,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Generated:
    """Write a shard for every region that has none yet; an interrupted call is resumed by the same call.

    A shard depends on the effector, the configuration and its own family, seed and part alone, not on the
    number of processes.

    Args:
        effector: Name of a gripper or of a hand.
        folder: Folder of the shards.
        config: Size of the data.
        jobs: Number of processes; None for one on each core.
        progress: Called with the number of objects done and of all objects.

    Raises:
        LearningError: The folder has shards of another effector.
    """
    load_end_effector(effector)
    folder.mkdir(parents=True, exist_ok=True)
    _check_same(folder, effector)
    start = time.perf_counter()
    tasks = _tasks(effector, folder, config)
    regions = grasps = lifted = by_part = skipped = 0
    found = results(_run, tasks, jobs or available_cores())
    for done, shards in enumerate(found, start=1):
        skipped += not shards
        for shard in shards:
            regions += 1
            grasps += len(shard.grasps)
            lifted += int(shard.grasps.lifted.sum())
            by_part += int(shard.grasps.by_part.sum())
        if progress is not None:
            progress(done, len(tasks))
    return Generated(regions, grasps, lifted, by_part, skipped, time.perf_counter() - start)


def _check_same(folder: Path, effector: str) -> None:
    first = next(iter(sorted(folder.glob("*.npz"))), None)
    if first is not None and (there := read_shard(first).source.effector) != effector:
        raise LearningError(f"{folder} has grasps of '{there}': choose another folder for '{effector}'")


def _tasks(effector: str, folder: Path, config: GenerateConfig) -> list[_Task]:
    """Return the objects, one of each family after another, so that a part of the data has all families."""
    numbers = ((number, family) for number in itertools.count() for family in FAMILIES)
    some = itertools.islice(numbers, config.shapes)
    return [_Task(folder, effector, family, config.seed + number, config) for number, family in some]


def _run(task: _Task) -> list[Shard]:
    """Return the shards of an object; write those that are missing."""
    try:
        scene = draw_table(task.family, task.seed, task.config.tables)
    except SimulationError:
        return []
    rng = np.random.default_rng([task.seed, 1])
    names = [query.name for query in scene.queries]
    chosen = sorted(rng.choice(names, min(task.config.parts, len(names)), replace=False).tolist())
    paths = {name: task.folder / f"{task.family}-{task.seed:04d}-{name}.npz" for name in chosen}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing:
        _label(task, scene, {name: paths[name] for name in missing}, rng)
    return [read_shard(path) for path in paths.values()]


def _label(task: _Task, scene: Scene, paths: dict[str, Path], rng: np.random.Generator) -> None:
    """Capture a table, and label grasps of some of its parts."""
    config = task.config
    camera = replace(WristConfig(), views=config.views, sweep=float(rng.uniform(*config.sweeps)))
    views = [shot.view for shot in render_views(scene, camera, rng)]
    effector = load_end_effector(task.effector)
    for name, path in paths.items():
        write_shard(path, labelled(scene, task.family, name, views, effector, config.labels))
