"""MuJoCo: tabletop scenes, a wrist camera, a noisy pointing model, grasp trials."""
