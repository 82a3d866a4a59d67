"""Growth of a store, its list and its page with synthetic results: processor time, bytes and memory."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import numpy as np

from benchmarks import Metric
from benchmarks.common.capture import workspace
from point2act.fleet.identity import Task, digest
from point2act.fleet.manifest import JobOptions, read_manifest
from point2act.fleet.results import Row, write_results
from point2act.fleet.store import GRASPS, Outcome, Store

# Synthetic results of this many jobs, as fractions of the largest number.
_FRACTIONS = (1 / 16, 1 / 4, 1)
_STAGES = {"read the capture": 0.1, "render the views": 0.7, "find the grasps": 3.0}


def growth(most: int) -> Iterator[Metric]:
    """Yield exponents of growth with the number of jobs: 1 is linear.

    Times are the processor's: on a busy machine others are those of its load.

    Args:
        most: Largest number of jobs.
    """
    _times(100)  # Imports.
    sizes = [round(most * fraction) for fraction in _FRACTIONS]
    figures = [{**_times(size), "memory_mb": _memory(size)} for size in sizes]
    for name in figures[0]:
        slope = np.polyfit(np.log(sizes), np.log([figure[name] for figure in figures]), 1)[0]
        yield Metric(f"fleet.growth_{name}", slope, "exponent")
    for name, unit in (("read_s", "s"), ("store_s", "s"), ("list_s", "s"), ("memory_mb", "MB")):
        yield Metric(f"fleet.{sizes[-1]}_jobs_{name}", figures[-1][name], unit)


def _times(size: int) -> dict[str, float]:
    """Return the seconds of reading a manifest, storing results and listing them, and the page's size."""
    manifest = _manifest(size)
    start = process_time()
    jobs = read_manifest(manifest)
    read = process_time()
    store = Store(manifest.with_name("store"))
    rows = [_stored(store, number) for number in range(size)]
    stored = process_time()
    write_results(store, jobs, rows)
    return {
        "read_s": read - start,
        "store_s": stored - read,
        "list_s": process_time() - stored,
        "page_bytes": (store.folder / "index.html").stat().st_size,
    }


def _memory(size: int) -> float:
    """Return the most memory that a batch of known jobs takes, MB."""
    manifest = _manifest(size)
    store = Store(manifest.with_name("store"))
    tracemalloc.start()
    jobs = read_manifest(manifest)
    rows = [Row(n, "done", f"jobs/{n}/{GRASPS}", None, 3.8, dict(_STAGES)) for n in range(size)]
    write_results(store, jobs, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def _manifest(size: int) -> Path:
    """Return a manifest in an empty folder."""
    folder = workspace() / "growth"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    line = {"capture": "kitchen/scene", "points": "kitchen/points.json", "seed": 1}
    (folder / "manifest.jsonl").write_text((json.dumps(line) + "\n") * size, encoding="utf-8")
    return folder / "manifest.jsonl"


def _stored(store: Store, number: int) -> Row:
    task = Task(
        digest(number), digest(number // 3), Path("/captures") / str(number), "", Path("p"), JobOptions()
    )
    (store.job(task)).mkdir(parents=True)
    (store.job(task) / GRASPS).write_text("{}", encoding="utf-8")
    store.record(task, Outcome("done", 3.8, stages=_STAGES, scene_seconds=0.8))
    found = store.find(task)
    assert found is not None
    path = (store.job(task) / GRASPS).relative_to(store.folder).as_posix()
    return Row(number, found.status, path, found.error, found.seconds, found.stages)
