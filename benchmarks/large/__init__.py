"""Time and memory for captures of 500 views of 1280x720 pixels."""
