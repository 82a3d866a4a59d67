"""Accuracy and calibration of the fusion of answers, beside simpler methods."""
