"""Execution of a plan in closed loop: a robot, what is seen of its scene, and the stages of the plan."""
