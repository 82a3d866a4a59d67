"""Checks of robustness and cost: fuzzing, kills, leaks, memory, start-up and growth of time."""
