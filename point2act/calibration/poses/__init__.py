"""Camera pose refinement: SIFT tracks, bundle adjustment, photometric alignment."""

from point2act.calibration.poses.refine import PoseRefinementConfig, Refined, refine_poses

__all__ = ["PoseRefinementConfig", "Refined", "refine_poses"]
