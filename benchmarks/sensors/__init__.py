"""Success of grasps with the errors of real depth cameras and of recorded poses."""
