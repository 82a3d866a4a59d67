"""Scores of pointing models on published benchmarks: their data sets, metrics, stored answers and reports."""
