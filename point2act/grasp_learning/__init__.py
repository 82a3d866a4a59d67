"""Training of grasp networks: simulated tables, grasps on them labelled in physics, and fitting."""
