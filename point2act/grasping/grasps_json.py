"""Results file grasps.json."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import ResultsError
from point2act.core.files import read_json, schema_problem, write_json
from point2act.core.types import Capture, Grasp, Plan, Query, QueryResult
from point2act.data.task_plan import plan_document, read_plan_document
from point2act.grasping.grippers import Gripper

# Rounding error of ratios beyond [0, 1].
_ROUNDING = 1e-6


def write_grasps(
    path: Path | str,
    results: Sequence[QueryResult],
    *,
    capture: Capture,
    gripper: Gripper,
    plan: Plan | None = None,
) -> None:
    """Write grasps.json, checked against its schema, atomically.

    Args:
        path: File to write.
        results: Results in the capture's world frame; grasps are sorted by score.
        capture: Capture; with its ``T_base_world`` grasps and placements are also written in the base frame.
        gripper: Gripper of the grasps.
        plan: Task plan; each of its queries needs a result.

    Raises:
        ResultsError: A number is not finite, an empty result has no reason, or a query of the plan has no
            result; nothing is written.
    """
    document: dict[str, Any] = {
        "version": 1,
        "frame": "world",
        "capture": capture.folder.resolve().as_posix(),
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "gripper": {"name": gripper.name, "max_width": float(gripper.max_width)},
        "results": [_result(result, capture.T_base_world, gripper) for result in results],
    }
    if plan is not None:
        document["plan"] = plan_document(plan)
    problem = _not_finite(document) or schema_problem(document, "grasps")
    if problem is not None:
        raise ResultsError(f"{path} was not written, its results are wrong: {problem}")
    _check_plan(document, path)
    write_json(path, document)


def read_grasps(path: Path | str) -> dict[str, Any]:
    """Read a grasps.json; raises ``ResultsError`` if it violates its schema or its plan lacks a result."""
    document = read_json(path, ResultsError)
    problem = schema_problem(document, "grasps")
    if problem is not None:
        raise ResultsError(f"{path} is not a grasps.json: {problem}")
    _check_plan(document, path)
    return document


def _check_plan(document: dict[str, Any], path: Path | str) -> None:
    """Raise ``ResultsError`` for a plan that is invalid or has a query without a result."""
    if "plan" in document:
        queries = [Query(**result["query"]) for result in document["results"]]
        read_plan_document(document["plan"], queries, place=f"{path}: plan", error=ResultsError)


def _result(
    result: QueryResult, T_base_world: Float[np.ndarray, "4 4"] | None, gripper: Gripper
) -> dict[str, Any]:
    query, region, place = result.query, result.region, result.place
    grasps = sorted(result.grasps, key=lambda grasp: -grasp.score)
    document = {
        "query": _plain(query, "name", "text", "role"),
        "action_point": None if region is None else region.action_point.tolist(),
        "confidence": 0.0 if region is None else _fraction(region.confidence),
        "support": region and _plain(region.support, "agree", "disagree", "unseen", "rejected_images"),
        "region": region and _plain(region.box, "center", "axes", "half_extents"),
        "grasps": [_grasp(grasp, T_base_world, gripper) for grasp in grasps],
        "alternatives": [
            {"action_point": other.action_point.tolist(), "confidence": _fraction(other.confidence)}
            for other in result.alternatives
        ],
        "reason": result.reason,
        "detail": result.detail,
    }
    if result.counts:
        document["counts"] = dict(result.counts)
    if query.role == "place":
        document["place"] = place and {
            "T_world_place": place.T_world_place.tolist(),
            "T_base_place": _in_base(place.T_world_place, T_base_world),
            **_plain(place, "normal", "flat_radius", "roughness"),
        }
    return document


def _grasp(grasp: Grasp, T_base_world: Float[np.ndarray, "4 4"] | None, gripper: Gripper) -> dict[str, Any]:
    document = {
        "T_world_gripper": grasp.T_world_gripper.tolist(),
        "T_base_gripper": _in_base(grasp.T_world_gripper, T_base_world),
        "width": float(grasp.width),
        "approach_width": _json(grasp.approach_width),
        "flange_distance": gripper.mount_at(grasp.width),
        "score": float(grasp.score),
        "relevancy": _fraction(grasp.relevancy),
        "quality": _fraction(grasp.quality),
        **_plain(grasp, "contacts", "contacts_seen"),
        "terms": {name: float(value) for name, value in grasp.terms.items()},
        **_plain(grasp, "approach_clearance", "free_fully_open", "lift_clearance", "avoid_clearance"),
    }
    if grasp.joint_path is not None:
        fields = ("joints", "approach", "grasp", "lift", "limit_margin", "manipulability", "clearance")
        document["joint_path"] = _plain(grasp.joint_path, *fields)
    return document


def _plain(record: Any, *fields: str) -> dict[str, Any]:
    """Return some attributes of an object as JSON types."""
    return {name: _json(getattr(record, name)) for name in fields}


def _json(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _in_base(
    T_world_x: Float[np.ndarray, "4 4"], T_base_world: Float[np.ndarray, "4 4"] | None
) -> list[list[float]] | None:
    return None if T_base_world is None else (T_base_world @ T_world_x).tolist()


def _fraction(value: float) -> float:
    """Clip rounding errors beyond [0, 1]; the schema rejects larger deviations."""
    near = -_ROUNDING <= value <= 1 + _ROUNDING
    return float(min(max(value, 0.0), 1.0)) if near else float(value)


def _not_finite(value: Any, place: str = "") -> str | None:
    """Describe the place of a non-finite number in a document."""
    if isinstance(value, dict):
        found = (_not_finite(inner, f"{place}.{key}".lstrip(".")) for key, inner in value.items())
    elif isinstance(value, list):
        found = (_not_finite(inner, f"{place}[{index}]") for index, inner in enumerate(value))
    elif isinstance(value, float) and not np.isfinite(value):
        return f"at {place}, {value} is not finite: this is a defect of point2act, please report it"
    else:
        return None
    return next((problem for problem in found if problem is not None), None)
