"""Learned grasps: networks that propose grasps on a fused surface and judge whether they hold."""
