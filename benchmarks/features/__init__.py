"""Lifting features of images onto Gaussians: time and memory."""
