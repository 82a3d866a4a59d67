"""Time from one RGB-D image to grasps."""
