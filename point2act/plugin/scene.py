"""The places where the model hands over to other rooms: where Gaussians start, and lifting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE

from point2act.core.types import Capture, GaussianScene, PointSet, RelevancyField, View
from point2act.localization.relevancy import RelevancyConfig, answers_in_views, lift
from point2act.plugin.bridge import Similarity
from point2act.plugin.datamanager import CaptureViews, TrainingData
from point2act.splatting.gaussians import freeze
from point2act.splatting.initialization import StartConfig, from_cloud, initialize_gaussians
from point2act.splatting.rendering import project_view


def starting_scene(data: TrainingData, config: StartConfig) -> GaussianScene:
    """The Gaussians that training begins with, in the world frame; repeatable with --machine.seed."""
    rng = np.random.default_rng(torch.initial_seed())
    train = data.views.train
    if data.cloud is not None and not any(view.depth is not None for view in train):
        scene = from_cloud(*data.cloud, train, config, rng)
        CONSOLE.print(f"Starting from {len(scene)} Gaussians on the dataparser's points")
        return scene
    cloud_path = data.views.capture.point_cloud_path
    begun = initialize_gaussians(train, point_cloud_path=cloud_path, config=config, rng=rng)
    CONSOLE.print(f"Starting from {len(begun.scene)} Gaussians {begun.detail}")
    return begun.scene


def posed_views(
    views: CaptureViews, S_nerf_world: Similarity, shifts: Float[np.ndarray, "n 3 4"] | None = None
) -> list[View]:
    """All views in nerfstudio's frame, those that are trained on first and with their poses shifted."""
    moved = [S_nerf_world.move_view(view) for view in (*views.train, *views.held_out)]
    for i, shift in enumerate(() if shifts is None else shifts):
        pose = moved[i].T_world_cam.copy()
        pose[:3, :3] = shift[:, :3] @ pose[:3, :3]
        pose[:3, 3] += shift[:, 3]
        moved[i] = replace(moved[i], T_world_cam=pose)
    return moved


def lift_points(
    points: PointSet | None,
    capture: Capture,
    scene: GaussianScene,
    views: Sequence[View],
    *,
    config: RelevancyConfig,
    device: torch.device,
) -> RelevancyField:
    """Relevancy of every Gaussian for every query; scene and views share a frame.

    Without points there are no queries: a field without columns.
    """
    if points is None:
        return RelevancyField((), np.zeros((len(scene), 0)), np.zeros((len(scene), 0)))
    answers = answers_in_views(points, capture, views)
    fixed = freeze(scene, device=device)
    projections = [project_view(view, fixed) for view in views]
    return lift(projections, answers, points.queries, config=config)


def empty_scene() -> GaussianScene:
    """No Gaussians at all."""
    nothing = np.zeros((0, 3))
    return GaussianScene(nothing, np.zeros((0, 4)), nothing, np.zeros(0), np.zeros((0, 1, 3)))
