"""Initial Gaussians, views in nerfstudio's frame and relevancy, for the nerfstudio model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE

from point2act.core.types import Capture, GaussianScene, PointSet, RelevancyField, View
from point2act.plugin.bridge import Similarity
from point2act.plugin.datamanager import CaptureViews, TrainingData
from point2act.splatting.initialization import StartConfig, from_cloud, initialize_gaussians


def starting_scene(data: TrainingData, config: StartConfig) -> GaussianScene:
    """Return the initial Gaussians in the world frame; --machine.seed makes them repeatable."""
    rng = np.random.default_rng(torch.initial_seed())
    train = data.views.train
    if data.cloud is not None and not any(view.depth is not None for view in train):
        scene = from_cloud(*data.cloud, train, config, rng)
        CONSOLE.print(f"Starting from {len(scene)} Gaussians on the dataparser's points")
        return scene
    cloud_path = data.views.capture.point_cloud_path
    initial = initialize_gaussians(train, point_cloud_path=cloud_path, config=config, rng=rng)
    CONSOLE.print(f"Starting from {len(initial.scene)} Gaussians {initial.detail}")
    return initial.scene


def posed_views(
    views: CaptureViews, S_nerf_world: Similarity, shifts: Float[np.ndarray, "n 3 4"] | None = None
) -> list[View]:
    """Return all views in nerfstudio's frame: the training views, with their poses shifted, come first."""
    moved = [S_nerf_world.move_view(view) for view in (*views.train, *views.held_out)]
    for i, shift in enumerate(() if shifts is None else shifts):
        pose = moved[i].T_world_cam.copy()
        pose[:3, :3] = shift[:, :3] @ pose[:3, :3]
        pose[:3, 3] += shift[:, 3]
        moved[i] = replace(moved[i], T_world_cam=pose)
    return moved


def find_relevancy(
    points: PointSet | None,
    capture: Capture,
    scene: GaussianScene,
    views: Sequence[View],
    device: torch.device,
) -> RelevancyField:
    """Localize points on the Gaussians of a training; scene and views share a frame.

    Returns:
        The relevancy of every Gaussian for every query; without points, a field without columns.
    """
    if points is None or not points.queries:
        return RelevancyField((), np.zeros((len(scene), 0)))
    # Imported late: nerfstudio loads this package for every method.
    from point2act.pipeline.session import Session
    from point2act.pipeline.session_result import join_relevancy

    return join_relevancy(Session(capture, views, scene, False, device).localize(points))


def empty_scene() -> GaussianScene:
    """Return a scene without Gaussians."""
    nothing = np.zeros((0, 3))
    return GaussianScene(nothing, np.zeros((0, 4)), nothing, np.zeros(0), np.zeros((0, 1, 3)))
