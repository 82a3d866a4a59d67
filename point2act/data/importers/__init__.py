"""Recordings that others made (RGB-D datasets, photographs, videos) → a capture folder."""
