"""Episodes of published robot datasets (DROID, LeRobot, HDF5 files) → a capture folder."""
