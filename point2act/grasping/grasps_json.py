"""Results file grasps.json."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import ResultsError
from point2act.core.files import read_json, write_json
from point2act.core.types import Capture, Grasp, Plan, QueryResult
from point2act.data.task_plan import plan_document
from point2act.grasping.end_effector import EndEffector


def write_grasps(
    path: Path | str,
    results: Sequence[QueryResult],
    *,
    capture: Capture,
    gripper: EndEffector,
    plan: Plan | None = None,
) -> None:
    """Write grasps.json, checked against its schema, atomically.

    Args:
        path: File to write.
        results: Results in the capture's world frame; grasps are sorted by score.
        capture: Capture; with its ``T_base_world`` grasps and placements are also written in the base frame.
        gripper: Gripper or hand of the grasps.
        plan: Task plan; each of its queries needs a result.

    Raises:
        ResultsError: A number is not finite, an empty result has no reason, or a query of the plan has no
            result; nothing is written.
    """
    from point2act.core.documents import check
    from point2act.grasping.grasps_document import GraspsDocument

    content: dict[str, Any] = {
        "version": 1,
        "frame": "world",
        "capture": capture.folder.resolve().as_posix(),
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "gripper": gripper,
        "results": [_result(result, capture.T_base_world, gripper) for result in results],
    }
    if plan is not None:
        content["plan"] = plan_document(plan)
    place = f"{path} was not written, its results are wrong (please report it, if point2act made them)"
    document = check(GraspsDocument, content, ResultsError, place=place)
    write_json(path, document.model_dump(exclude_unset=True))


def read_grasps(path: Path | str) -> dict[str, Any]:
    """Read a grasps.json; raises ``ResultsError`` if it violates its schema or its plan lacks a result."""
    from point2act.core.documents import check
    from point2act.grasping.grasps_document import GraspsDocument

    document = read_json(path, ResultsError)
    check(GraspsDocument, document, ResultsError, place=f"{path} is not a grasps.json")
    return document


def _result(
    result: QueryResult, T_base_world: Float[np.ndarray, "4 4"] | None, gripper: EndEffector
) -> dict[str, Any]:
    region, place = result.region, result.place
    grasps = sorted(result.grasps, key=lambda grasp: -grasp.score)
    content: dict[str, Any] = {
        "query": result.query,
        "action_point": result.action_point,
        "confidence": result.confidence,
        "support": region and region.support,
        "region": region and region.box,
        "grasps": [_grasp(grasp, T_base_world, gripper) for grasp in grasps],
        "alternatives": result.alternatives,
        "reason": result.reason,
        "detail": result.detail,
    }
    if result.counts:
        content["counts"] = dict(result.counts)
    if result.query.role == "place":
        T_base_place = place and _in_base(place.T_world_place, T_base_world)
        content["place"] = place and {**vars(place), "normal": place.normal, "T_base_place": T_base_place}
    return content


def _grasp(
    grasp: Grasp, T_base_world: Float[np.ndarray, "4 4"] | None, gripper: EndEffector
) -> dict[str, Any]:
    content = {
        **vars(grasp),
        "T_base_gripper": _in_base(grasp.T_world_gripper, T_base_world),
        "flange_distance": gripper.mount_at(grasp.width),
    }
    for optional in ("joint_path", "joints"):
        if content[optional] is None:
            del content[optional]
    return content


def _in_base(
    T_world_x: Float[np.ndarray, "4 4"], T_base_world: Float[np.ndarray, "4 4"] | None
) -> list[list[float]] | None:
    return None if T_base_world is None else (T_base_world @ T_world_x).tolist()
