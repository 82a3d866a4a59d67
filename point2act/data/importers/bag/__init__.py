"""ROS 1 and ROS 2 bags and MCAP files as recordings; ROS need not be installed."""
