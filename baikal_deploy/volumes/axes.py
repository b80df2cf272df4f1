"""Axes and units as files name them, made ours."""

from __future__ import annotations

from collections.abc import Sequence

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.base import AXIS_NAMES, Axis
from baikal_deploy.volumes.urls import Source

AXES_BY_NDIM = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}

# NGFF names of what OME-XML, ImageJ and MetaMorph write. Both the micro sign and the Greek mu are in use.
UNIT_NAMES = {
    "um": "micrometer",
    "\u00b5m": "micrometer",
    "\u03bcm": "micrometer",
    "micron": "micrometer",
    "microns": "micrometer",
    "pm": "picometer",
    "\u00c5": "angstrom",
    "\u212b": "angstrom",
    "nm": "nanometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "in": "inch",
    "s": "second",
    "sec": "second",
    "ms": "millisecond",
    "\u00b5s": "microsecond",
    "\u03bcs": "microsecond",
    "us": "microsecond",
    "ns": "nanosecond",
    "min": "minute",
    "h": "hour",
}


def normalise_unit(unit: object) -> str | None:
    """NGFF name of a common abbreviation; any other text as it is, anything else None."""
    if not isinstance(unit, str) or not unit.strip():
        return None
    return UNIT_NAMES.get(unit.strip(), unit)


def plain_axes(path: Source, names: Sequence[object] | None, ndim: int) -> tuple[Axis, ...]:
    """Axes of an array without NGFF metadata.

    They are its dimension names if all of these are axis names (in upper or lower case), else those that its
    number of dimensions has (yx, zyx, czyx, tczyx).

    Args:
        path: the array, for messages.
        names: its dimension names; None: it has none.
        ndim: its number of dimensions.

    Raises:
        VolumeError: fewer than 2 or more than 5 dimensions.
    """
    if ndim not in AXES_BY_NDIM:
        raise VolumeError(
            f"{path}: an array of {ndim} dimensions; 2 to 5 are supported (y and x, and some of t, c, z): "
            f"reshape it, or split it into several arrays"
        )
    lowered = [str(name).lower() for name in names or ()]
    # Names that are ours but in another order go through, for VolumeInfo to refuse: taking
    # (x, y, z) for (z, y, x) would denoise the wrong planes.
    named = len(lowered) == ndim and set(lowered) <= set(AXIS_NAMES)
    return tuple(Axis(name) for name in (lowered if named else AXES_BY_NDIM[ndim]))
