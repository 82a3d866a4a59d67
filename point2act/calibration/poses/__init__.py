"""Poses of a robot's camera, made to fit the pictures: features, bundle adjustment, dense polish."""

from point2act.calibration.poses.refine import PoseConfig, Refined, refine_poses

__all__ = ["PoseConfig", "Refined", "refine_poses"]
