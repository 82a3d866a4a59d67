"""Learned grasps: what an evaluator could gain, and how fast proposals of a network are."""
