"""Whether a capture is right (``checks``), and camera poses refined until it is (``poses``)."""
