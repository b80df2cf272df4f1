"""Channels whose noise cannot be measured, or whose result is coarser than it need be: said, never silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from baikal_deploy.measurement.intensity import IntensityMap, is_constant
from baikal_deploy.pixels.arrays import Raw, Values

DOUBLED, LARGEST_FACTOR = 2, 4
"""Times that a row may be there without harm, as its noise has a spectrum too; and that are looked for."""
SAME, DIFFERENT = 0.98, 0.8
"""Share of equal pixels in rows that are copies at least, and in others at most."""
FEW_LEVELS = 16
"""Grey levels of the signal below which rounding to whole numbers shows."""

TAIL = 8
"""Times FEW_LEVELS that a signal of few counts may span; beyond, the mean is low as much is empty."""
FEW_COUNTS = 5.0
"""Mean of all pixels below which it shows too, however bright a few are."""


def doubts(windows: Sequence[Raw], intensity: IntensityMap, level: float) -> tuple[str, ...]:
    """What a user should know before a channel is denoised, in sentences.

    Args:
        windows: a sample of the channel, (H, W) each, in raw units.
        intensity: its intensity map.
        level: standard deviation of its noise, in raw units; 0: none was found.
    """
    windows = [window for window in windows if not is_constant(window)]
    if not windows or intensity.is_constant:
        return ()
    return tuple(_doubts(windows, intensity, level))


def _doubts(windows: Sequence[Raw], intensity: IntensityMap, level: float) -> Iterator[str]:
    thin = _thin(windows)
    copies = None if thin else _copies(windows)
    empty = None if thin else _empty_lines(windows)
    if thin is not None:
        yield thin
    elif empty is not None:
        yield empty
    elif copies is not None:
        yield copies
    elif not level > 0:
        yield (
            "no noise was found, though its planes vary, so it is not denoised: is it noise-free, a mask, or "
            "of so few grey levels that they hide the noise?"
        )
    levels = intensity.high - intensity.low
    if windows[0].dtype.kind == "f":
        return
    mean = float(np.mean([window.mean() for window in windows]))
    few = f"the signal spans {levels:.2g} of the grey levels only" if levels < FEW_LEVELS else None
    if few is None and abs(mean) < FEW_COUNTS and levels < TAIL * FEW_LEVELS:
        few = f"the mean of all pixels is {mean:.2g} only"
    if few is not None:
        yield (
            f"{few}: in whole numbers its means are off by up to half a level; --dtype float32 keeps "
            "what was computed"
        )


def _thin(windows: Sequence[Raw]) -> str | None:
    for axis, name, other in ((0, "row", "rows"), (1, "column", "columns")):
        if all(window.shape[axis] == 1 for window in windows):
            return (
                f"planes of one {name} are not denoised, since noise is measured on blocks of 2x2 pixels: "
                f"save them as one image whose {other} are the time points, and denoise that"
            )
    return None


def _empty_lines(windows: Sequence[Raw]) -> str | None:
    """What to say where every other row or column holds one value."""
    for axis, name in ((0, "row"), (1, "column")):
        lines = [np.moveaxis(window, axis, 0) for window in windows if window.shape[axis] > LARGEST_FACTOR]
        constant = [(line == line[:, :1]).all(axis=1) for line in lines]
        if constant and all(found[::2].all() != found[1::2].all() for found in constant):
            return (
                f"every other {name} holds one value, as of an interlaced camera, so that the others cannot "
                f"be measured: leave these {name}s out, and denoise what remains as one image"
            )
    return None


def _copies(windows: Sequence[Raw]) -> str | None:
    factors = [_factor(windows, axis) for axis in (0, 1)]
    named = [
        f"each {name} is there {factor} times"
        for factor, name in zip(factors, ("row", "column"), strict=True)
        if factor > DOUBLED
    ]
    if not named:
        return None
    return (
        f"{' and '.join(named)}, which is denoised less well than what was enlarged: take one of "
        f"{max(factors)} first (or bin by that), and enlarge the result"
    )


def _factor(windows: Sequence[Raw], axis: int) -> int:
    """How many times each row is there (axis 0), or column; 1, if they differ."""
    equal = [_equal_to_next(np.moveaxis(window, axis, 0)) for window in windows]
    equal = [shares for shares in equal if len(shares) >= LARGEST_FACTOR * 2]
    if not equal:
        return 1
    for factor in range(LARGEST_FACTOR, 1, -1):  # what is there 4 times is there twice as well
        if all(_is_repeated(shares, factor) for shares in equal):
            return factor
    return 1


def _equal_to_next(rows: Raw) -> Values:
    """Share of pixels of each row that the next one has as well."""
    shares: Values = (rows[1:] == rows[:-1]).mean(axis=1)
    return shares


def _is_repeated(shares: Values, factor: int) -> bool:
    for phase in range(factor):
        between = np.zeros(len(shares), bool)
        between[phase::factor] = True
        if shares[~between].mean() >= SAME and shares[between].mean() <= DIFFERENT:
            return True
    return False
