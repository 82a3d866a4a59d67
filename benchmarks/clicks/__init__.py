"""Localization from one, two or three clicks of a simulated person."""
