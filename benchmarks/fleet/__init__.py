"""Many jobs: ``point2act batch`` with each executor, killed and started again, and its growth."""
