"""Drawings, the HTML report and the viser viewer."""
