"""The exposure of a frame, as acquisition programs tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = ("exposure_ms", "exposure", "Exposure-ms", "ExposureTime")
"""Names that it has in metadata: of pymmcore-plus, useq, Micro-Manager and cameras."""
PARTS = ("meta", "event")
"""Parts of the metadata of a frame of pymmcore-plus that may tell it."""


def exposure_of(metadata: Any) -> float | None:
    """Exposure that is told with a frame, in the units of who tells it; None: nobody does.

    Args:
        metadata: what was submitted with the frame.
    """
    if not isinstance(metadata, Mapping):
        return None
    for part in (metadata, *(metadata.get(name) for name in PARTS)):
        for name in NAMES:
            value = part.get(name) if isinstance(part, Mapping) else getattr(part, name, None)
            if isinstance(value, int | float):
                return float(value)
    return None
