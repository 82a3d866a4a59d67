"""Finished jobs as data sets to learn from: LeRobot, WebDataset and Parquet."""
