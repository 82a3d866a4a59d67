"""Tables, grippers and hands in MuJoCo, and grasps executed in them."""
