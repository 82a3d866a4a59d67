"""Success of grasps in physics simulation, beside simpler planners."""
