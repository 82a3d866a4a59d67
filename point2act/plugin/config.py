"""The ``point2act`` method as nerfstudio finds it. Nothing in here may raise.

nerfstudio loads the methods of all plugins before any of its commands, unguarded: an error in here
would take ``ns-train`` down for every method. What is not a MethodSpecification it reports and skips.
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
            datamanager=Point2ActDataManagerConfig(), model=Point2ActModelConfig()
        ),
        optimizers={
            # The short loop's rates. Its 0.1 of the median Gaussian's size is this in nerfstudio's unit,
            # where the cameras fill [-1, 1], on simulated tables and the fox alike.
            "means": adam(7.5e-4),
            "scales": adam(0.1),
            "quats": adam(2e-2),
            "opacities": adam(5e-2),
            "features_dc": adam(1.5e-2),
            "features_rest": adam(2e-3),
            "camera_opt": adam(1e-3),
        },
        # Ends when the training does, so that it can run in a script; ns-viewer shows the result.
        # For this machine alone: the viser that nerfstudio pins gives any file to whoever asks for "/../".
        viewer=ViewerConfig(
            websocket_host="127.0.0.1", num_rays_per_chunk=1 << 15, quit_on_train_completion=True
        ),
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
