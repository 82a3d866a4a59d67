"""What a run found, for a recording that other viewers open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.types import NoAnswer
from point2act.pipeline.query import Localization
from point2act.visualization.recordings.contents import RecordedQuery


def recorded_queries(
    localized: Sequence[Localization], document: Mapping[str, Any] | None
) -> list[RecordedQuery]:
    """Join localized queries with the grasps of a results file.

    Args:
        localized: The queries, their answers and relevancies.
        document: Content of a grasps.json, matched by the queries' names; None for no grasps.
    """
    results = {} if document is None else {row["query"]["name"]: row for row in document["results"]}
    return [_recorded(one, results.get(one.query.name, {"grasps": []})) for one in localized]


def _recorded(one: Localization, result: Mapping[str, Any]) -> RecordedQuery:
    point = None if isinstance(one.region, NoAnswer) else one.region.action_point
    grasps = [
        (np.array(grasp["T_world_gripper"]), _posture(grasp), grasp["score"]) for grasp in result["grasps"]
    ]
    return RecordedQuery(one.query, one.context.pixels, one.relevancy, point, grasps)


def _posture(grasp: Mapping[str, Any]) -> Float[np.ndarray, " p"]:
    """Return the posture in which a grasp is drawn: open as on the approach, or a hand that touches."""
    if grasp.get("joints") is not None:
        return np.array(grasp["joints"]["grasp"])
    return np.array([grasp.get("approach_width") or grasp["width"]])
