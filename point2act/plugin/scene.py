"""The two places where training hands over to other rooms: where Gaussians start, and lifting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from nerfstudio.utils.rich_utils import CONSOLE

from point2act.plugin.datamanager import TrainingData
from point2act.relevancy import RelevancyConfig, lift, locate
from point2act.splat.gaussians import still
from point2act.splat.picture import look_from
from point2act.splat.start import StartConfig, from_cloud, start
from point2act.types import Capture, GaussianScene, PointSet, RelevancyField, View


def starting_scene(data: TrainingData, config: StartConfig) -> GaussianScene:
    """The Gaussians that training begins with, in the world frame; repeatable with --machine.seed."""
    rng = np.random.default_rng(torch.initial_seed())
    if data.cloud is not None and not any(view.depth is not None for view in data.train):
        scene = from_cloud(*data.cloud, data.train, config, rng)
        CONSOLE.print(f"Starting from {len(scene)} Gaussians on the dataparser's points")
        return scene
    begun = start(data.train, point_cloud_path=data.capture.point_cloud_path, config=config, rng=rng)
    CONSOLE.print(f"Starting from {len(begun.scene)} Gaussians {begun.detail}")
    return begun.scene


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
    answers = locate(points, capture, views)
    fixed = still(scene, device=device)
    sights = [look_from(view, fixed) for view in views]
    return lift(sights, answers, points.queries, config=config)


def empty_scene() -> GaussianScene:
    """No Gaussians at all."""
    nothing = np.zeros((0, 3))
    return GaussianScene(nothing, np.zeros((0, 4)), nothing, np.zeros(0), np.zeros((0, 1, 3)))
