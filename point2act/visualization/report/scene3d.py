"""Data of the interactive 3D view in the report: Gaussians, relevancies and the best grasps, as text."""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from point2act.core.geometry import transform_points
from point2act.core.types import Grasp
from point2act.grasping.end_effector import EndEffector, finger_boxes, palm_boxes
from point2act.visualization.initial_camera import InitialCamera, find_initial_camera
from point2act.visualization.report.inputs import ReportInput
from point2act.visualization.shapes import solid
from point2act.visualization.splats import Splats, sketch, splats_of

_MAX_SPLATS = 40_000
"""More are merged: 40 000 take 1.3 MB of the page, and a phone still draws them. Chosen."""
_FARTHEST = 8.0
"""Maximum distance of a shown Gaussian from the scene's centre, in distances of the cameras. Chosen."""
_FINER = 1e4
"""Factor of the covariances, which brings 1 % of the distance to 1; 16-bit floats end at 6e-8 and 65504."""


def scene_data(report: ReportInput) -> str:
    """Encode what the 3D view shows as JSON; empty without a scene.

    A Gaussian takes 22 bytes and one for each query: its centre as three 16-bit fractions of the bounding
    box, its covariance as six 16-bit floats over the squared scale; colour, opacity, relevancies as bytes.
    """
    if report.scene is None:
        return ""
    scene, relevancy = report.scene
    start = find_initial_camera(scene, [shown.view.T_world_cam for shown in report.views])
    splats = sketch(_near(splats_of(scene), start), _MAX_SPLATS)
    if not len(splats):
        return ""
    low, span = splats.centers.min(axis=0), float(np.ptp(splats.centers, axis=0).max()) or 1.0
    document = {
        "count": len(splats),
        "low": low.tolist(),
        "span": span,
        "scale": start.distance,
        "centers": _text(np.round((splats.centers - low) / span * 65535).astype("<u2")),
        "covariances": _text(_six(splats, start.distance)),
        "colors": _text(_bytes(np.concatenate([splats.colors, splats.opacities], axis=1))),
        "relevancies": [_text(_bytes(column[splats.kept])) for column in relevancy.values.T],
        "eye": start.eye.tolist(),
        "center": start.center.tolist(),
        "up": start.up.tolist(),
        "queries": [
            {
                "text": result.query.text,
                "color": list(color),
                "point": None if result.region is None else result.region.action_point.tolist(),
                "gripper": _triangles(result.grasps[0], report.gripper) if result.grasps else [],
            }
            for result, color in zip(report.results, report.colors, strict=True)
        ],
    }
    # "<" would end the page's script element.
    return json.dumps(document, allow_nan=False).replace("<", "\\u003c")


def _near(splats: Splats, start: InitialCamera) -> Splats:
    """Return the Gaussians that the rounding of positions still suits: those not far beyond the scene."""
    near = np.linalg.norm(splats.centers - start.center, axis=1) < _FARTHEST * start.distance
    return Splats(*(getattr(splats, field.name)[near] for field in fields(Splats)))


def _six(splats: Splats, scale: float) -> NDArray[np.float16]:
    """Return the upper triangles of the covariances: xx, xy, xz, yy, yz, zz."""
    rows, columns = np.triu_indices(3)
    largest = float(np.finfo(np.float16).max)
    relative = _FINER * splats.covariances[:, rows, columns] / scale**2
    return np.clip(relative, -largest, largest).astype("<f2")


def _triangles(grasp: Grasp, gripper: EndEffector) -> list[float]:
    """Return the corners of a gripper's triangles at a grasp, world, nine numbers each."""
    mesh = solid((*finger_boxes(grasp, gripper), *palm_boxes(grasp, gripper)))
    corners = transform_points(grasp.T_world_gripper, mesh.vertices)[mesh.faces]
    return np.round(corners.reshape(-1), 5).tolist()


def _bytes(values: Float[np.ndarray, "*n"]) -> NDArray[np.uint8]:
    return np.round(255 * np.clip(values, 0.0, 1.0)).astype(np.uint8)


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
