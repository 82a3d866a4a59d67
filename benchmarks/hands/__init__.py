"""Grasps of multi-fingered hands in physics."""
