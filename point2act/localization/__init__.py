"""From points to a relevancy on Gaussians and to the region to act on."""
