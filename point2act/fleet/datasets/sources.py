"""The finished jobs of a batch's store, or the one of a run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from point2act.core.errors import FleetError
from point2act.core.files import read_json, read_json_lines
from point2act.data.run_manifest import NAME
from point2act.data.view_loader import ViewLoader
from point2act.fleet.store import RECORD, RESULTS
from point2act.grasping.grasps_json import read_grasps
from point2act.pipeline.finished_run import FinishedRun


@dataclass(frozen=True)
class FinishedJob:
    """Where the files of a finished job lie; nothing is read yet."""

    number: int
    """Index in the manifest; 0 for a run."""
    capture: Path
    points: Path
    """The answers."""
    grasps: Path
    """Its grasps.json; beside it may lie ``trials.json`` and ``relevancy.ply``."""
    loader: ViewLoader
    """Which images were used, at which size and poses."""


def find_jobs(folder: Path) -> tuple[FinishedJob, ...]:
    """Return the jobs of a store that are done, each once, or the job of a run.

    Args:
        folder: Folder that ``point2act batch`` or ``point2act run`` wrote.

    Raises:
        Point2ActError: It is neither, a file of it cannot be read, or it has no job that is done.
    """
    if (folder / NAME).is_file():
        return (_run(folder),)
    if not (folder / RESULTS).is_file():
        raise FleetError(
            f"{folder} has no {NAME} and no {RESULTS}: give the output folder of point2act run or batch"
        )
    jobs = _stored(folder)
    if not jobs:
        raise FleetError(f"{folder / RESULTS} has no job that is done: see the errors in it")
    return jobs


def _run(folder: Path) -> FinishedJob:
    run = FinishedRun.read(folder)
    if run.points is None:
        raise FleetError(f"{folder} and its capture have no points.json: there are no answers to export")
    return FinishedJob(0, run.capture.folder, run.points, folder / "grasps.json", run.loader)


def _stored(folder: Path) -> tuple[FinishedJob, ...]:
    jobs: dict[str, FinishedJob] = {}
    for place, row in read_json_lines(folder / RESULTS, FleetError):
        try:
            if row["status"] == "done" and row["grasps"] not in jobs:
                jobs[row["grasps"]] = _job(folder, int(row["job"]), Path(row["grasps"]))
        except (KeyError, TypeError, ValueError) as err:
            raise FleetError(f"{place} is no result of a batch ({err!r}): run the batch again") from err
    return tuple(jobs.values())


def _job(store: Path, number: int, grasps: Path) -> FinishedJob:
    if grasps.is_absolute() or ".." in grasps.parts:
        raise FleetError(f"{store / RESULTS}: {grasps} leads out of the store: run the batch again")
    source = _source(store / grasps.parent / RECORD)
    loader = ViewLoader(
        max_side=source["max_side"], max_views=source["max_views"], allow_outside=source["allow_outside"]
    )
    capture = Path(read_grasps(store / grasps)["capture"])
    return FinishedJob(number, capture, store / source["points"], store / grasps, loader)


def _source(record: Path) -> dict[str, Any]:
    document = read_json(record, FleetError)
    source = document.get("source") if isinstance(document, dict) else None
    kinds = {"points": str, "max_side": int, "max_views": int, "allow_outside": bool}
    if not isinstance(source, dict) or not all(isinstance(source.get(k), kind) for k, kind in kinds.items()):
        raise FleetError(
            f"{record} does not say where its answers are, an earlier release wrote it: run the batch again "
            "into a new store"
        )
    return source
