"""Grasps on recorded frames and point clouds, compared with the measured depth."""
