"""Measurements of a channel, made before it is denoised."""
