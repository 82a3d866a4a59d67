"""The CPU backend: numba kernels that project, sort and rasterise Gaussians, forward and backward."""
