"""Bags of ROS, written with rosbags, and how fast they become captures."""
