"""What a finished job gives to learn from: images with answers; results with grasps, trials and fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from point2act.core.errors import FleetError, Point2ActError
from point2act.core.files import read_json
from point2act.core.types import ProgressCallback, Query, View, ViewAnswers
from point2act.data.points import read_points
from point2act.data.scene_ply import read_relevancy_ply
from point2act.fleet.datasets.sources import FinishedJob
from point2act.fleet.store import FIELD
from point2act.grasping.grasps_json import read_grasps
from point2act.localization.relevancy import answers_in_views

TRIALS = "trials.json"
"""What ``point2act simulate --try`` writes beside the grasps."""


@dataclass(frozen=True, eq=False)
class QueryContent:
    """What was asked, answered and found."""

    query: Query
    pixels: ViewAnswers
    """For each view the points, empty for "not visible", None if it was not asked."""
    result: Mapping[str, Any]
    """Its entry of grasps.json: region, grasps or the reason for none."""
    field: Float32[np.ndarray, "n 4"] | None = None
    """Centre of each Gaussian in the world and its relevancy; None if the job did not keep it."""
    trial: Mapping[str, Any] | None = None
    """How its best grasp went, an entry of trials.json; None if it was not tried."""


@dataclass(frozen=True, eq=False)
class JobContent:
    """A finished job with its images, undistorted and reduced as the job used them."""

    number: int
    capture: str
    """Path of the capture."""
    views: Sequence[View]
    queries: Sequence[QueryContent]


Writer = Callable[[JobContent], None]
"""Appends a job to a data set."""


@dataclass
class ContentReader:
    """Reads jobs; the images of a capture that follow one another are loaded once."""

    _of: tuple[object, ...] = ()
    _views: Sequence[View] = field(default_factory=tuple)

    def read(self, job: FinishedJob) -> JobContent:
        """Return the content of a job.

        Raises:
            Point2ActError: A file of the job or of its capture cannot be read, or they do not fit.
        """
        try:
            return self._read(job)
        except Point2ActError as err:
            raise FleetError(f"job {job.number} cannot be exported: {err}") from err

    def _read(self, job: FinishedJob) -> JobContent:
        capture = job.loader.read(job.capture)
        points = read_points(job.points, capture)
        used = job.loader.select(capture, points)
        of = (job.capture, job.loader, *(frame.name for frame in used.frames))
        if of != self._of:
            self._of, self._views = of, job.loader.load(used)
        answers = answers_in_views(points, capture, self._views)
        pixels = {query.name: found for query, found in zip(points.queries, answers, strict=True)}
        results = read_grasps(job.grasps)["results"]
        trials, fields = _trials(job.grasps), _fields(job.grasps, len(results))
        queries = [
            _query(result, pixels, fields[number] if fields else None, trials)
            for number, result in enumerate(results)
        ]
        return JobContent(job.number, str(job.capture), self._views, queries)


def read_contents(jobs: Sequence[FinishedJob], progress: ProgressCallback) -> Iterator[JobContent]:
    """Yield the content of each job, one at a time in memory."""
    reader = ContentReader()
    for done, job in enumerate(jobs):
        progress(done, len(jobs))
        yield reader.read(job)
    progress(len(jobs), len(jobs))


def _query(
    result: Mapping[str, Any],
    pixels: Mapping[str, ViewAnswers],
    field: Float32[np.ndarray, "n 4"] | None,
    trials: Mapping[str, Mapping[str, Any]],
) -> QueryContent:
    name = result["query"]["name"]
    if name not in pixels:
        raise FleetError(f"its grasps are for the query {name!r}, which its points.json does not have")
    query = Query(name, result["query"]["text"], result["query"]["role"])
    return QueryContent(query, pixels[name], result, field, trials.get(name))


def _fields(grasps: Path, queries: int) -> list[Float32[np.ndarray, "n 4"]]:
    """Return centres and relevancies of each query; none if the job did not keep them."""
    path = grasps.with_name(FIELD)
    if not path.is_file():
        return []
    centers, values = read_relevancy_ply(path)
    if values.shape[1] != queries:
        raise FleetError(f"{path} has {values.shape[1]} queries and {grasps} has {queries}: run it again")
    return [np.concatenate([centers, column[:, None]], axis=1) for column in values.T]


def _trials(grasps: Path) -> dict[str, Mapping[str, Any]]:
    """Return the trials beside a grasps.json, by the query's name."""
    path = grasps.with_name(TRIALS)
    if not path.is_file():
        return {}
    document = read_json(path, FleetError)
    try:
        rows = {row["query"]: row for row in document["trials"]}
        if not all(
            isinstance(row["success"], bool) and isinstance(row["outcome"], str) for row in rows.values()
        ):
            raise TypeError("success and outcome")
    except (KeyError, TypeError) as err:
        raise FleetError(f"{path} is not a trials.json ({err!r}): try the grasps again") from err
    return rows
