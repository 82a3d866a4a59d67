"""From answers to where to act: parts of the scene, the evidence for each, the region."""
