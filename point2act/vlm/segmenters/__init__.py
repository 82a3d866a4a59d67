"""Promptable segmenters: from points in an image to candidate masks."""
