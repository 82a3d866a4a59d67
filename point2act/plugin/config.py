"""The ``point2act`` method as nerfstudio finds it. Nothing in here may raise.

nerfstudio loads the methods of all plugins before any of its commands, unguarded: an error in here
would take ``ns-train`` down for every method. What is not a MethodSpecification it reports and skips.
"""

from __future__ import annotations

import torch
from nerfstudio.configs.base_config import MachineConfig, ViewerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification

_ITERATIONS = 1000


def _adam(rate: float, *, final: float = 0.1) -> dict:
    """Adam whose step size falls exponentially to a share of what it starts with."""
    return {
        "optimizer": AdamOptimizerConfig(lr=rate, eps=1e-15),
        "scheduler": ExponentialDecaySchedulerConfig(lr_final=rate * final, max_steps=_ITERATIONS),
    }


def _specification() -> MethodSpecification:
    from point2act.plugin.datamanager import Point2ActDataManagerConfig
    from point2act.plugin.model import Point2ActModelConfig

    config = TrainerConfig(
        method_name="point2act",
        max_num_iterations=_ITERATIONS,
        steps_per_save=500,
        steps_per_eval_batch=0,
        steps_per_eval_image=500,
        steps_per_eval_all_images=0,
        mixed_precision=False,
        machine=MachineConfig(device_type="cuda" if torch.cuda.is_available() else "cpu"),
        pipeline=VanillaPipelineConfig(
            datamanager=Point2ActDataManagerConfig(), model=Point2ActModelConfig()
        ),
        optimizers={
            # Of the positions in nerfstudio's unit, where the cameras fill [-1, 1].
            "means": _adam(3e-4),
            "scales": _adam(1e-2),
            "quats": _adam(2e-3),
            "opacities": _adam(5e-2),
            "features_dc": _adam(1e-2),
            "features_rest": _adam(5e-4),
            "camera_opt": _adam(1e-3),
        },
        # Ends when the training does, so that it can run in a script; ns-viewer shows the result.
        viewer=ViewerConfig(num_rays_per_chunk=1 << 15, quit_on_train_completion=True),
        vis="viewer",
    )
    return MethodSpecification(
        config, description="Gaussians with a relevancy for everything pointed at, to grasp it. CPU or CUDA."
    )


def _guarded() -> MethodSpecification | str:
    try:
        return _specification()
    except Exception as err:
        return f"point2act cannot be used: {err!r}"


point2act_method = _guarded()
