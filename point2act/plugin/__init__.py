"""A nerfstudio method: a thin adapter from nerfstudio to the other packages."""
