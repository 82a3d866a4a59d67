"""Where regions end: points alone beside masks."""
