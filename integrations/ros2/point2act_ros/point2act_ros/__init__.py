"""point2act in ROS 2: views are collected while the robot moves, and grasps found for a sentence."""
