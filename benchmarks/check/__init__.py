"""Faults put into simulated captures, and which of them ``point2act check`` finds."""
