"""A short planning of a hand's grasps, for solids of analytic volumes."""

from __future__ import annotations

from point2act.grasping.hands.optimization import OptimizationConfig
from point2act.grasping.hands.scene_field import FieldConfig
from point2act.grasping.hands.task import HandConfig

QUICK = HandConfig(
    head="analytic",
    distances=FieldConfig(outer_voxel=0.008),
    optimization=OptimizationConfig(iterations=90, halving=((20, 0.5),)),
    num_starts=48,
    rounds=1,
    max_grasps=6,
    surface_spacing=0.02,
)
