"""Sessions on captures with depth, without fitting Gaussians: grasps are planned on measured depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from point2act.calibration.poses import refine_poses
from point2act.core.types import Capture
from point2act.data.capture import load_views
from point2act.data.view_loader import ViewLoader
from point2act.pipeline.session import Session
from point2act.splatting.gaussians import choose_device
from point2act.splatting.initialization import initialize_gaussians


def unfitted_session(capture: Capture) -> Session:
    """Return a session with poses refined as ``run`` does, on Gaussians that are placed on the depth."""
    views = ViewLoader().load(capture)
    refined = refine_poses(views)
    if refined is not None:
        views = refined.views
    initial = initialize_gaussians(views, point_cloud_path=None, rng=np.random.default_rng(0))
    pairs = zip(load_views(capture), views, strict=True)
    recorded = {view.name: replace(large, T_world_cam=view.T_world_cam) for large, view in pairs}
    return Session(capture, views, initial.scene, metric=True, device=choose_device(None), recorded=recorded)
