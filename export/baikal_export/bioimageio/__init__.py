"""A model as a resource of bioimage.io, which samples and measures. See docs/bioimageio.md."""
