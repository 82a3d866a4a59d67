"""The manifest of a batch: a JSON object a line, each with a capture, its points or queries, and options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point2act.core.errors import FleetError, Point2ActError
from point2act.core.files import parse_json, read_bytes
from point2act.core.types import Query
from point2act.data.view_loader import MAX_SIDE
from point2act.grasping.depth_noise import Sensor
from point2act.vlm.pointing.questions import name_queries

if TYPE_CHECKING:
    from point2act.fleet.manifest_line import JobLine
else:
    JobLine = Any

# Malformed lines that a message lists.
_LISTED = 5
# Bytes: 100 000 lines of 1 kB, and as much again.
_MAX_BYTES = 2**28


@dataclass(frozen=True)
class JobOptions:
    """Options of a job, as those of ``point2act run``; each may also stand in its line of the manifest."""

    gripper: str = "panda"
    """Name of a shipped gripper, or path of a gripper's .toml file."""
    arm: str | None = None
    """Name of a shipped arm, or path of an arm's .toml file: keep only grasps that it reaches."""
    metric: bool = False
    """The poses are in metres although the capture has no depth."""
    sensor: Sensor = "auto"
    """Kind of depth camera: its published noise is the prior of what the images show."""
    seed: int = 0
    """Seed of the random numbers: the same seed gives the same grasps."""
    max_side: int = MAX_SIDE
    """Images are reduced until their longer side is at most this many pixels."""
    max_views: int = 150
    """Maximum number of images to use, spread over the viewpoints."""
    refine_poses: bool = True
    """Refine the camera poses of a metric capture."""
    allow_outside: bool = False
    """Read files outside the capture's folder, also through symbolic links."""
    fields: bool = False
    """Keep the relevancy of each Gaussian, relevancy.ply, for point2act export: megabytes a job."""
    device: str | None = None
    """Device, cpu or cuda; by default cuda where it is available."""


@dataclass(frozen=True)
class Job:
    """One line of a manifest."""

    number: int
    """Index among the jobs, from 0: blank lines do not count."""
    capture: Path
    points: Path | None
    """Recorded answers; None if a model is asked."""
    queries: tuple[Query, ...]
    """What a model is asked; empty with recorded answers."""
    options: JobOptions = JobOptions()


def read_manifest(path: Path | str, options: JobOptions = JobOptions()) -> tuple[Job, ...]:
    """Read a manifest: JSON Lines in UTF-8, blank lines allowed.

    Args:
        path: The file. Paths in it are relative to its folder.
        options: Options of lines that do not set their own.

    Returns:
        The jobs, in the order of their lines. Captures and points need not exist.

    Raises:
        FleetError: A line is malformed, or there is none; the message gives the number of each, from 1.
    """
    path = Path(path)
    try:
        text = read_bytes(path, FleetError, max_bytes=_MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise FleetError(f"{path} is not UTF-8 text ({err}): write it again") from err
    jobs: list[Job] = []
    problems: list[str] = []
    # Not splitlines: JSON may hold other separators of lines, such as U+2028, inside of strings.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                jobs.append(_job(line, len(jobs), path.parent, options))
            except Point2ActError as err:
                problems.append(f"line {number}: {err}")
    if problems:
        more = f"; and {len(problems) - _LISTED} more lines" if len(problems) > _LISTED else ""
        raise FleetError(f"{path}: {'; '.join(problems[:_LISTED])}{more}")
    if not jobs:
        raise FleetError(f'{path} has no jobs: write lines such as {{"capture": "a/", "points": "a.json"}}')
    return tuple(jobs)


def _job(line: str, number: int, folder: Path, options: JobOptions) -> Job:
    from point2act.core.documents import check
    from point2act.fleet.manifest_line import JobLine

    found = check(JobLine, _parsed(line), FleetError)
    if (found.points is None) == (found.queries is None):
        raise FleetError("give either 'points', a file of answers, or 'queries', a list of texts")
    _check_texts(found)
    own = found.model_dump(exclude_none=True, exclude={"capture", "points", "queries"})
    for name in {"gripper", "arm"} & own.keys():
        # A shipped name is not a path.
        own[name] = str(folder / own[name]) if own[name].endswith(".toml") else own[name]
    points = None if found.points is None else folder / found.points
    queries = name_queries([(query.text, query.role) for query in found.queries or ()])
    return Job(number, folder / found.capture, points, queries, replace(options, **own))


def _parsed(line: str) -> Any:
    try:
        return parse_json(line)
    except ValueError as err:
        raise FleetError(f"not valid JSON ({err})") from err


def _check_texts(line: JobLine) -> None:
    for name in ("capture", "points", "gripper", "arm"):
        if "\0" in (getattr(line, name) or ""):
            raise FleetError(f"'{name}' has a null character, which no path has")
