"""The ``point2act`` method for nerfstudio. Nothing in this module may raise.

nerfstudio loads the methods of all plugins before any of its commands, without a guard: an error here would
break ``ns-train`` for every method. What is not a MethodSpecification is reported and skipped.
"""

from __future__ import annotations

import torch
from nerfstudio.configs.base_config import MachineConfig, ViewerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification

_ITERATIONS = 1000


def _specification() -> MethodSpecification:
    from point2act.plugin.config_yaml import register_moved_modules
    from point2act.plugin.datamanager import Point2ActDataManagerConfig
    from point2act.plugin.model import Point2ActModelConfig
    from point2act.plugin.rates import FallingRateConfig

    register_moved_modules()

    def adam(rate: float) -> dict:
        return {
            "optimizer": AdamOptimizerConfig(lr=rate, eps=1e-15),
            "scheduler": FallingRateConfig(share=0.1, steps=_ITERATIONS),
        }

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
            datamanager=Point2ActDataManagerConfig(max_views=150, refine_poses=True),
            model=Point2ActModelConfig(),
        ),
        optimizers={
            # The learning rates of splatting.fit; its 0.1 of the median Gaussian's size in nerfstudio's unit
            # where the cameras fill [-1, 1], measured on simulated tables and the fox alike.
            "means": adam(7.5e-4),
            "scales": adam(0.1),
            "quats": adam(2e-2),
            "opacities": adam(5e-2),
            "features_dc": adam(1.5e-2),
            "features_rest": adam(2e-3),
            "camera_opt": adam(1e-3),
        },
        # The viewer ends with the training, so that scripts can run it; ns-viewer shows the result. It serves
        # this machine alone: the viser that nerfstudio pins gives out any file for a request with "/../".
        viewer=ViewerConfig(
            websocket_host="127.0.0.1", num_rays_per_chunk=1 << 15, quit_on_train_completion=True
        ),
        vis="viewer",
    )
    return MethodSpecification(
        config, description="Gaussians with a relevancy for every query, for grasping. CPU or CUDA."
    )


def _guarded() -> MethodSpecification | str:
    try:
        return _specification()
    except Exception as err:
        return f"point2act cannot be used: {err!r}"


point2act_method = _guarded()
