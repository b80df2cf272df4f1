"""Axes and units as files name them, made ours."""

from __future__ import annotations

from collections.abc import Sequence

from baikal_deploy.errors import ConfigError, VolumeError
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


def check_asked(axes: str) -> None:
    """Refuse names of axes, as somebody gives them for an image that has none, that are not ours.

    Args:
        axes: one letter each.

    Raises:
        ConfigError: other letters, another order, or no y and x at the end.
    """
    ordered = "".join(name for name in AXIS_NAMES if name in axes)
    if axes != ordered or axes[-2:] != "yx":
        raise ConfigError(
            f"--axes {axes}: must be some of t, c, z, in this order, and then yx, such as zyx or tcyx"
        )


def asked_axes(path: Source, asked: str, ndim: int) -> str:
    """Axes that somebody gives for dimensions without names.

    Args:
        path: the image, for messages.
        asked: the axes, in order.
        ndim: number of dimensions.

    Raises:
        VolumeError: another number of axes.
    """
    if len(asked) != ndim:
        raise VolumeError(
            f"{path}: has {ndim} dimensions, and --axes {asked} names {len(asked)}; give one letter for each"
        )
    return asked


def require_axes(path: Source, found: str, asked: str | None) -> None:
    """Refuse names that somebody gives for axes that have names already, unless they are the same.

    Args:
        path: the image, for messages.
        found: its own names.
        asked: the names that were given; None: none.

    Raises:
        VolumeError: they differ.
    """
    if asked is not None and found != asked:
        raise VolumeError(
            f"{path}: its metadata names the axes {found}, not {asked}; leave out --axes, which is for "
            f"images that name none, or correct the metadata"
        )


def plain_axes(
    path: Source, names: Sequence[object] | None, ndim: int, asked: str | None = None
) -> tuple[Axis, ...]:
    """Axes of an array without NGFF metadata.

    They are its dimension names if all of these are axis names (in upper or lower case), else those that were
    asked for, else those that its number of dimensions has (yx, zyx, czyx, tczyx).

    Args:
        path: the array, for messages.
        names: its dimension names; None: it has none.
        ndim: its number of dimensions.
        asked: see ``open_input``.

    Raises:
        VolumeError: fewer than 2 or more than 5 dimensions; other axes than those that were asked for.
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
    if named:
        require_axes(path, "".join(lowered), asked)
        return tuple(map(Axis, lowered))
    return tuple(map(Axis, AXES_BY_NDIM[ndim] if asked is None else asked_axes(path, asked, ndim)))
