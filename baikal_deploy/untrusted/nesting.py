"""A bound on how deeply values read from JSON are nested."""

from __future__ import annotations

from typing import Any

DEEPEST = 64
"""Most levels of lists and tables. What handles them calls itself for each, and Python ends that at a few
hundred.
"""


def require_shallow(value: Any) -> None:
    """Check that a value read from JSON can be handled.

    Raises:
        ValueError: lists and tables that are nested too deeply.
    """
    level = [value]
    for _ in range(DEEPEST):
        nested = [
            one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)
        ]
        if not nested:
            return
        level = [inner for one in nested for inner in one]
    raise ValueError(f"nested deeper than {DEEPEST} levels")
