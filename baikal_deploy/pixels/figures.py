"""Numbers as people read them."""

from __future__ import annotations

LARGEST = 1e15
"""From here on a double no longer holds every whole number's digits."""


def figures(value: float, digits: int = 4) -> str:
    """A number in its first digits, without an exponent for its size: 12346, not 1.235e+04.

    Args:
        value: any number.
        digits: that are kept at least; all before the decimal point are.

    Returns:
        The number; one that is very small, or that has more than fifteen digits, keeps an exponent.
    """
    short = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in short and abs(value) < LARGEST else short
