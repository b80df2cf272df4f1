"""Arrays in blocks that stay in a core's cache: large ones take longer to fetch than to compute with."""

from __future__ import annotations

from collections.abc import Iterator

PIXELS = 2**15
"""Of a block; 256 kB in float64."""


def blocks(size: int) -> Iterator[slice]:
    """Slices that cover ``size`` elements."""
    for start in range(0, size, PIXELS):
        yield slice(start, start + PIXELS)
