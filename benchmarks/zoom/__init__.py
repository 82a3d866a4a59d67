"""Accuracy of pointing with one look at an image and with a second, magnified look."""
