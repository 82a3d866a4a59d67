"""What is handed to people and robots: grasps.json, and clouds as PLY."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from point2act.errors import ResultsError, SceneError
from point2act.files import read_json, schema_problem, write_json
from point2act.grippers import Gripper
from point2act.plans import plan_document, read_plan_document
from point2act.ply import as_columns, read_ply, write_ply
from point2act.types import (
    Capture,
    GaussianScene,
    Grasp,
    JointPath,
    PlacePose,
    Plan,
    Query,
    QueryResult,
    Region,
    RelevancyField,
)

# Opacities are stored as logits: 0 and 1 would be infinite.
_OPAQUE = 1e-6
# Ratios of sums in floating point land this far outside [0, 1], and no further.
_ROUNDING = 1e-6
# Lengths of unit quaternions that were written in single precision are this near to 1.
_SINGLE = 1e-6
# matplotlib's viridis at 0, 1/4, 1/2, 3/4 and 1.
_VIRIDIS = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], dtype=float)


# ── grasps.json ────────────────────────────────────────────────────────────────────────────────
def write_grasps(
    path: Path | str,
    results: Sequence[QueryResult],
    *,
    capture: Capture,
    gripper: Gripper,
    plan: Plan | None = None,
) -> None:
    """Write grasps.json: everything in the capture's world frame, best grasp first.

    Grasps and places are also given in the robot's base frame where the capture carries
    ``T_base_world``. A ``plan`` says what the results are for: each of its queries must have one. The
    document is checked against its schema, then written atomically. Raises :class:`ResultsError`, and
    writes nothing, where a number is not finite, an empty result gives no reason, or one of the plan's
    queries has no result.
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
    """Read a grasps.json and check it against its schema, and its plan against its results.

    Raises :class:`ResultsError`.
    """
    document = read_json(path, ResultsError)
    problem = schema_problem(document, "grasps")
    if problem is not None:
        raise ResultsError(f"{path} is not a grasps.json: {problem}")
    _check_plan(document, path)
    return document


def _check_plan(document: dict[str, Any], path: Path | str) -> None:
    """Refuse a plan that is none, or needs something that there is no result for."""
    if "plan" in document:
        queries = [Query(**result["query"]) for result in document["results"]]
        read_plan_document(document["plan"], queries, place=f"{path}: plan", error=ResultsError)


def _result(
    result: QueryResult, T_base_world: Float[np.ndarray, "4 4"] | None, gripper: Gripper
) -> dict[str, Any]:
    query, region = result.query, result.region
    grasps = sorted(result.grasps, key=lambda grasp: -grasp.score)
    place = None if result.place is None else _place(result.place, T_base_world)
    return {
        "query": {"name": query.name, "text": query.text, "role": query.role},
        "action_point": None if region is None else region.action_point.tolist(),
        "confidence": 0.0 if region is None else _fraction(region.confidence),
        "support": None if region is None else _support(region),
        "region": None if region is None else _box(region),
        "grasps": [_grasp(grasp, T_base_world, gripper) for grasp in grasps],
        "alternatives": [
            {"action_point": other.action_point.tolist(), "confidence": _fraction(other.confidence)}
            for other in result.alternatives
        ],
        "reason": result.reason,
        "detail": result.detail,
        **({"place": place} if query.role == "place" else {}),
    }


def _support(region: Region) -> dict[str, Any]:
    support = region.support
    return {
        "agree": int(support.agree),
        "disagree": int(support.disagree),
        "unseen": int(support.unseen),
        "rejected_images": list(support.rejected_images),
    }


def _box(region: Region) -> dict[str, Any]:
    box = region.box
    return {
        "center": box.center.tolist(),
        "axes": box.axes.tolist(),
        "half_extents": box.half_extents.tolist(),
    }


def _grasp(grasp: Grasp, T_base_world: Float[np.ndarray, "4 4"] | None, gripper: Gripper) -> dict[str, Any]:
    return {
        "T_world_gripper": grasp.T_world_gripper.tolist(),
        "T_base_gripper": _in_base(grasp.T_world_gripper, T_base_world),
        "width": float(grasp.width),
        "flange_distance": gripper.mount_at(grasp.width),
        "score": float(grasp.score),
        "relevancy": _fraction(grasp.relevancy),
        "quality": _fraction(grasp.quality),
        "contacts": grasp.contacts.tolist(),
        "contacts_seen": list(grasp.contacts_seen),
        "terms": {name: float(value) for name, value in grasp.terms.items()},
        "approach_clearance": float(grasp.approach_clearance),
        "lift_clearance": None if grasp.lift_clearance is None else float(grasp.lift_clearance),
        "avoid_clearance": None if grasp.avoid_clearance is None else float(grasp.avoid_clearance),
        **({} if grasp.joint_path is None else {"joint_path": _joint_path(grasp.joint_path)}),
    }


def _joint_path(path: JointPath) -> dict[str, Any]:
    return {
        "joints": list(path.joints),
        "approach": path.approach.tolist(),
        "grasp": path.grasp.tolist(),
        "lift": path.lift.tolist(),
        "limit_margin": float(path.limit_margin),
        "manipulability": float(path.manipulability),
        "clearance": float(path.clearance),
    }


def _place(place: PlacePose, T_base_world: Float[np.ndarray, "4 4"] | None) -> dict[str, Any]:
    return {
        "T_world_place": place.T_world_place.tolist(),
        "T_base_place": _in_base(place.T_world_place, T_base_world),
        "normal": place.normal.tolist(),
        "flat_radius": float(place.flat_radius),
        "roughness": float(place.roughness),
    }


def _in_base(
    T_world_x: Float[np.ndarray, "4 4"], T_base_world: Float[np.ndarray, "4 4"] | None
) -> list[list[float]] | None:
    return None if T_base_world is None else (T_base_world @ T_world_x).tolist()


def _fraction(value: float) -> float:
    """A number from 0 to 1 without the last bits beyond; the schema refuses what is further out."""
    near = -_ROUNDING <= value <= 1 + _ROUNDING
    return float(min(max(value, 0.0), 1.0)) if near else float(value)


def _not_finite(value: Any, place: str = "") -> str | None:
    """Where a document holds a number that is not finite, in words."""
    if isinstance(value, dict):
        found = (_not_finite(inner, f"{place}.{key}".lstrip(".")) for key, inner in value.items())
    elif isinstance(value, list):
        found = (_not_finite(inner, f"{place}[{index}]") for index, inner in enumerate(value))
    elif isinstance(value, float) and not np.isfinite(value):
        return f"at {place}, {value} is not finite: this is a defect of point2act, please report it"
    else:
        return None
    return next((problem for problem in found if problem is not None), None)


# ── clouds ─────────────────────────────────────────────────────────────────────────────────────
def write_splat_ply(path: Path | str, scene: GaussianScene) -> None:
    """Write Gaussians as the PLY file that splat viewers read, in the capture's world frame.

    Names, order and encoding are those of the original 3D Gaussian Splatting code (``scene/
    gaussian_model.py``, ``save_ply``): logit opacities, logarithmic scales, ``f_rest`` with all
    coefficients of red first. Raises :class:`SceneError` where a value is not finite.
    """
    count, rest = len(scene), scene.sh.shape[1] - 1
    opacities = np.clip(scene.opacities.astype(np.float64), _OPAQUE, 1 - _OPAQUE)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = np.concatenate(
            [
                scene.means,
                np.zeros((count, 3)),
                scene.sh[:, 0],
                scene.sh[:, 1:].transpose(0, 2, 1).reshape(count, 3 * rest),
                np.log(opacities / (1 - opacities))[:, None],
                np.log(scene.scales.astype(np.float64)),
                scene.quats,
            ],
            axis=1,
        ).astype(np.float32)
    if not np.isfinite(columns).all():
        broken = int((~np.isfinite(columns)).any(axis=1).sum())
        raise SceneError(f"{path} was not written: {broken} of {count} Gaussians are not finite; fit again")
    write_ply(path, columns.view([(name, "f4") for name in _splat_names(rest)])[:, 0])


def read_splat_ply(path: Path | str) -> GaussianScene:
    """Read Gaussians from a splat PLY file; the inverse of :func:`write_splat_ply`.

    Raises :class:`SceneError` where it is missing, broken or no splat file.
    """
    vertices = read_ply(path, SceneError)
    found = vertices.dtype.names or ()
    rest, odd = divmod(sum(name.startswith("f_rest_") for name in found), 3)
    missing = [name for name in _splat_names(rest) if name not in found and name not in ("nx", "ny", "nz")]
    if missing or odd or rest not in (0, 3, 8, 15, 24):
        lacks = f"it lacks {', '.join(missing[:5])}" if missing else "its f_rest are not whole degrees"
        raise SceneError(f"{path} is not a 3D Gaussian Splatting file ({lacks}): export the scene again")

    raw = as_columns(vertices, (name for name in _splat_names(rest) if name[0] != "n"))
    # What is too large becomes infinite, and is refused below.
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(raw[:, -4:], axis=1, keepdims=True)
        scales, opacities = np.exp(raw[:, -7:-4]), 1 / (1 + np.exp(-raw[:, -8]))
    # Unit quaternions are read as they were written, so that a scene read is written as the same file.
    lengths[np.abs(lengths - 1) < _SINGLE] = 1.0
    if not all(np.isfinite(each).all() for each in (raw, lengths, scales)) or (lengths == 0).any():
        raise SceneError(f"{path} holds Gaussians that are not finite: export the scene again")
    higher = raw[:, 6 : 6 + 3 * rest].reshape(len(raw), 3, rest).transpose(0, 2, 1)
    return GaussianScene(
        means=raw[:, :3],
        quats=raw[:, -4:] / lengths,
        scales=scales,
        opacities=opacities,
        sh=np.concatenate([raw[:, 3:6][:, None], higher], axis=1),
    )


def write_relevancy_ply(path: Path | str, scene: GaussianScene, relevancy: RelevancyField) -> None:
    """Write the Gaussians' centres, coloured by how relevant they are to any query (viridis).

    One float property a query, ``relevancy_<name>`` with signs that PLY has no room for made ``_``.
    """
    names = _property_names([query.name for query in relevancy.queries])
    fields = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    vertices = np.empty(len(scene), dtype=[*fields, *((name, "f4") for name in names)])
    for index, axis in enumerate("xyz"):
        vertices[axis] = scene.means[:, index]
    strongest = relevancy.values.max(axis=1, initial=0.0)
    for index, channel in enumerate(("red", "green", "blue")):
        vertices[channel] = _viridis(strongest)[:, index]
    for index, name in enumerate(names):
        vertices[name] = relevancy.values[:, index]
    write_ply(path, vertices)


def _splat_names(rest: int) -> list[str]:
    """Property names in the order of the original code, for ``rest`` higher coefficients a channel."""
    groups = (("f_dc", 3), ("f_rest", 3 * rest), ("opacity", 0), ("scale", 3), ("rot", 4))
    names = ["x", "y", "z", "nx", "ny", "nz"]
    for group, count in groups:
        names += [group] if group == "opacity" else [f"{group}_{index}" for index in range(count)]
    return names


def _property_names(queries: Sequence[str]) -> list[str]:
    names: list[str] = []
    for query in queries:
        name = "relevancy_" + re.sub(r"[^A-Za-z0-9_]", "_", query)
        names.append(name if name not in names else f"{name}_{len(names)}")
    return names


def _viridis(values: Float[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 3"]:
    steps = np.linspace(0, 1, len(_VIRIDIS))
    channels = [np.interp(values, steps, channel) for channel in _VIRIDIS.T]
    return np.round(np.stack(channels, axis=1)).astype(np.uint8)
