"""Time from the last image of a capture to its grasps, with and without ``--follow``."""
