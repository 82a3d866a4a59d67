"""From points to the relevancy of Gaussians and the region to act on."""
