"""The nerfstudio method plugin: a skin without science."""
