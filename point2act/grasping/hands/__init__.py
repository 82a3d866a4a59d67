"""Multi-fingered hands: their geometry and kinematics, and force-closure grasps on a fused surface."""
