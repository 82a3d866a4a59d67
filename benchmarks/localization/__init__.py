"""Accuracy and calibration of multi-view fusion of answers, beside simpler methods."""
