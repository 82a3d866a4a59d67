"""Training data for pointing models from the consensus of many views: collected, and exported to trainers."""
