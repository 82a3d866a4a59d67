"""Fit 3D Gaussians to posed images and render them."""
