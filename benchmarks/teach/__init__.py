"""Training data from runs: how often its answers are right."""
