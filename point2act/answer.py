"""Ask a scene: points to relevancy, region and grasps for every query. No training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float

from point2act.grasps.plan import GraspConfig, plan_grasps
from point2act.region import RegionConfig, find_region
from point2act.relevancy import RelevancyConfig, ViewAnswers, lift, locate
from point2act.splat.picture import Picture, render_view
from point2act.stages import Stages
from point2act.surface import SurfaceConfig, fuse_local
from point2act.types import (
    Capture,
    GaussianScene,
    Grasp,
    Gripper,
    NoAnswer,
    PointSet,
    Query,
    QueryResult,
    Region,
    RelevancyField,
    View,
)

# Gaussians fainter than this are haze, not surface; a pixel covered less is not one either.
_SURFACE_OPACITY = 0.1
_SURFACE_ALPHA = 0.5


@dataclass(frozen=True)
class AnswerConfig:
    """From a scene and points to grasps."""

    gripper: str = "panda"
    """A shipped gripper's name, or the path of a gripper's .toml file."""
    metric: bool = False
    """Trust the poses to be in metres although the capture has no depth."""
    relevancy: RelevancyConfig = field(default_factory=RelevancyConfig)
    region: RegionConfig = field(default_factory=RegionConfig)
    depth_agreement: float = 0.02
    """Measured depth counts where it is within this share of the Gaussians' depth: 1 cm at half a metre,
    ten times the noise of a good depth camera."""
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    grasp: GraspConfig = field(default_factory=GraspConfig)
    seed: int = 0
    """Of everything random; the same seed gives the same grasps."""


@dataclass(frozen=True, eq=False)
class Answered:
    """Everything said about the queries, with what is needed to show why."""

    results: tuple[QueryResult, ...]
    relevancy: RelevancyField
    pictures: tuple[Picture, ...]
    """The scene rendered from every view."""
    pixels: tuple[ViewAnswers, ...]
    """What was said, as pixels of the views, per query and view."""


def answer(
    capture: Capture,
    views: Sequence[View],
    scene: GaussianScene,
    points: PointSet,
    gripper: Gripper,
    *,
    config: AnswerConfig = AnswerConfig(),
    device: torch.device | str = "cpu",
    stages: Stages,
) -> Answered:
    """Relevancy, region and grasps for every query, in the capture's world frame."""
    pixels = locate(points, capture, views)
    with stages.stage("lift the points") as tick:
        relevancy = lift(
            scene, views, pixels, points.queries, config=config.relevancy, device=device, progress=tick
        )
    with stages.stage("render the views") as tick:
        pictures = []
        for view in views:
            pictures.append(render_view(scene, view, relevancy=relevancy, device=device))
            tick(len(pictures), len(views))
    with stages.stage("find the grasps") as tick:
        results = []
        for number, query in enumerate(points.queries):
            asked = _Asked(capture, views, scene, relevancy.values[:, number], pictures, pixels[number])
            results.append(_act(asked, query, gripper, config))
            tick(number + 1, len(points.queries))
    return Answered(tuple(results), relevancy, tuple(pictures), tuple(pixels))


@dataclass(frozen=True, eq=False)
class _Asked:
    """One query's share of what is known."""

    capture: Capture
    views: Sequence[View]
    scene: GaussianScene
    relevancy: Float[np.ndarray, " n"]
    pictures: Sequence[Picture]
    pixels: ViewAnswers

    def surface(self) -> tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]]:
        """Centres and relevancy of the Gaussians that make up surfaces."""
        solid = self.scene.opacities > _SURFACE_OPACITY
        return self.scene.means[solid], self.relevancy[solid]


def _act(asked: _Asked, query: Query, gripper: Gripper, config: AnswerConfig) -> QueryResult:
    """One query: its region, and grasps there."""
    depths = [picture.depth for picture in asked.pictures]
    region, rivals = find_region(*asked.surface(), asked.views, depths, asked.pixels, config=config.region)
    if isinstance(region, NoAnswer):
        return QueryResult(query, None, (), rivals, region.reason, region.detail)
    if query.role != "grasp":
        return QueryResult(query, region, (), rivals, None, f"a region to {query.role}: no grasps are wanted")
    grasps, nothing = _grasp(asked, region, gripper, config)
    if nothing is not None:
        return QueryResult(query, region, (), rivals, nothing.reason, nothing.detail)
    return QueryResult(query, region, grasps, rivals)


def _grasp(
    asked: _Asked, region: Region, gripper: Gripper, config: AnswerConfig
) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """Grasps on the fused depth about a region; none, and why, where lengths are not metres."""
    if not (asked.capture.metric or config.metric):
        return (), NoAnswer(
            "no_geometry",
            "the capture has no depth, so its scale is unknown and a gripper's width means nothing: "
            'capture depth, or put "metric": true into transforms.json if the poses are in metres',
        )
    depths = depths_of(asked, agreement=config.depth_agreement)
    volume = fuse_local(asked.views, depths, region.action_point, config=config.surface)
    rng = np.random.default_rng(config.seed)
    return plan_grasps(volume, region, gripper, relevancy=asked.surface(), config=config.grasp, rng=rng)


def depths_of(asked: _Asked, *, agreement: float) -> list[Float[np.ndarray, "_h _w"]]:
    """Depth to plan grasps on: what was measured and the Gaussians confirm, else the Gaussians' own.

    The Gaussians are a consensus of all views; a reading more than ``agreement`` of the depth off from
    theirs is noise, or comes from a view whose pose is off.
    """
    depths = []
    for view, picture in zip(asked.views, asked.pictures, strict=True):
        solid = np.where(picture.alpha > _SURFACE_ALPHA, picture.depth, 0.0)
        if view.depth is not None:
            confirmed = np.abs(view.depth - solid) < agreement * solid
            solid = np.where(confirmed, view.depth, 0.0)
        depths.append(solid)
    return depths
