"""Several images, one after the other."""
