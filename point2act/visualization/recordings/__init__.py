"""Recordings of runs that other programs open: Rerun and Foxglove."""
