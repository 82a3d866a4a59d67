"""Reachability: inverse kinematics of an arm by mink, and the joint path of a grasp."""
