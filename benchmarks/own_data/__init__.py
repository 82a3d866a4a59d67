"""A phone video and a RealSense recording, from files to grasps by the documented commands."""
