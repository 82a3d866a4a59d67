"""Accuracy of pointing with one question per view and with a second one on a magnified crop."""
