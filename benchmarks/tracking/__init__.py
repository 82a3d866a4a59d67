"""Tracking of things that are moved and hidden, in simulated sequences."""
