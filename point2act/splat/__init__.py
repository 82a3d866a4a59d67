"""Fit 3D Gaussians to posed images and render them."""

from point2act.threads import configure_threads

# Before torch and numba start their thread pools; it changes nothing that the user has set.
configure_threads()
