"""The layer's equation as one operator, for speed and memory alone."""
