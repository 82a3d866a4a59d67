"""From a region to 6-DoF grasps, placement poses and the joint paths of an arm."""
