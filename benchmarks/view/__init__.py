"""Time until the viewer shows a scene, and the cost of each action in it."""
