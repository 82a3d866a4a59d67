"""Refine camera poses on the images: SIFT tracks, bundle adjustment, photometric refinement."""

from point2act.calibration.poses.refine import PoseRefinementConfig, Refined, refine_poses

__all__ = ["PoseRefinementConfig", "Refined", "refine_poses"]
