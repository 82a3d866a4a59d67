"""What a recording of a run contains, whatever program opens it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from point2act.core.types import GaussianScene, Query, ViewAnswers
from point2act.visualization.drawing import Color
from point2act.visualization.splats import paint, splats_of

PALE: Color = (170, 176, 186)
"""Colour of the grasps behind the best one."""
# Opacity from which a Gaussian is drawn: points have none, and haze would hide what it surrounds.
_MIN_OPACITY = 0.3


@dataclass(frozen=True, eq=False)
class RecordedQuery:
    """One query as it is recorded."""

    query: Query
    pixels: ViewAnswers
    """Answers in every view: pixels, empty for "not visible", None if not asked."""
    relevancy: Float[np.ndarray, " n"]
    """Probability of each Gaussian to be meant."""
    action_point: Float[np.ndarray, "3"] | None
    """World point, None if nothing was found."""
    grasps: Sequence[tuple[Float[np.ndarray, "4 4"], Float[np.ndarray, " p"], float]]
    """Poses ``T_world_gripper``, postures (a gripper's opening, metres, or a hand's joint positions, radians)
    and scores, best first."""


@dataclass(frozen=True, eq=False)
class ScenePoints:
    """The Gaussians that make up surfaces, as points in the world."""

    centers: Float[np.ndarray, "n 3"]
    radii: Float[np.ndarray, " n"]
    """Metres."""
    colors: dict[str, UInt8[np.ndarray, "n 3"]]
    """Colours by name: ``gaussians`` as photographed, ``relevancy/QUERY`` tinted where it is relevant."""


def depth_millimetres(depth: Float[np.ndarray, "h w"]) -> UInt16[np.ndarray, "h w"]:
    """Return depth in metres as whole millimetres, as depth images of ROS are (REP 118)."""
    return np.round(1000 * depth).clip(0, 65535).astype(np.uint16)


def scene_points(scene: GaussianScene, queries: Sequence[RecordedQuery]) -> ScenePoints:
    """Return a scene's Gaussians as points, with their colours and tinted by each query's relevancy."""
    splats = splats_of(scene)
    solid = splats.opacities[:, 0] > _MIN_OPACITY
    kept, photographed = splats.kept[solid], splats.colors[solid]
    colors = {"gaussians": photographed}
    for one in queries:
        tinted = paint(photographed, one.relevancy[kept], blend=1.0, threshold=0.0)
        colors[f"relevancy/{one.query.name}"] = tinted
    as_bytes = {name: np.round(255 * values).astype(np.uint8) for name, values in colors.items()}
    return ScenePoints(splats.centers[solid], scene.scales[kept].mean(axis=1), as_bytes)
