"""Denoising methods: each module is one, named after its file; samplers of the runtime are methods too."""
