"""Tracking of things through colour images with depth."""
