"""Faults injected into simulated captures, and which of them ``point2act check`` detects."""
