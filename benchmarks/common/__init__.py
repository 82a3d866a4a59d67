"""Shared captures, tables, synthetic Gaussians and timing of the suites."""
