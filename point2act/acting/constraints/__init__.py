"""Constraints on points and axes of regions: their features, values and derivatives."""
