"""Bytes that denoising holds beside the network, as benchmarks/memory.py --model measures them."""

from __future__ import annotations

SLACK = 64 * 10**6
"""Bytes of the libraries' own, and of memory that was freed and not given back."""
PER_PIXEL = 72
"""Bytes for a pixel on its way through the sampler."""
PER_PIXEL_STD = 40
"""Bytes beside that for a pixel whose standard deviation is asked for."""
