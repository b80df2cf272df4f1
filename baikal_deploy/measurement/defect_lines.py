"""Rows and columns of a detector that do not work: hot, dead, or saturated, and up to three pixels wide.

In their mean over LINE pixels they exceed what is beside them by far, and that is even: light that went
through a lens would light up the next pixels as well. They do so in each PIECE, while what light draws is
seldom straight.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.pixels.arrays import Mask, Raw, Values

PIECE = 8
LINE = 4 * PIECE
"""Pixels of a row or column that are looked at together; they begin at multiples of this in the whole
plane."""
FAR = 4.0
"""Standard deviations of a pixel's noise that a line exceeds what is beside it by."""
ALONE_FAR = 20.0
"""The same at the plane's border, where there is one side only."""
SHARED = 0.25
"""Share of its excess that what is beside it differs by at most."""
EVEN = 0.5
"""Share of its excess that each of its pieces has at least."""
WIDEST = 3
BESIDE = 3
"""Pixels on each side of a line that it is compared with."""
REACH = 2 * LINE
"""Pixels that the rule looks around."""


def defect_lines(plane: Raw, noise: NoiseModel, ignored: Mask | None) -> Mask | None:
    """Find the rows and columns that do not work.

    Args:
        plane: (H, W), finite, in raw units.
        noise: of its channel.
        ignored: pixels that do not count; None: all do.

    Returns:
        The mask; None without any.
    """
    found: Mask | None = None
    for turned in (False, True):
        view, unknown = (plane.T, None if ignored is None else ignored.T) if turned else (plane, ignored)
        for rows, columns in _columns(view, noise, unknown):
            found = np.zeros(plane.shape, bool) if found is None else found
            (found.T if turned else found)[rows, columns] = True
    if found is None or ignored is None:
        return found
    found &= ~ignored
    return found if found.any() else None


def _columns(plane: Raw, noise: NoiseModel, ignored: Mask | None) -> Iterator[tuple[slice, slice]]:
    """Pieces of columns that do not work: rows and columns of each."""
    starts = [*range(0, max(len(plane) - LINE // 2, 1), LINE)]  # a short rest belongs to the block before
    stops = [*starts[1:], len(plane)]
    means = _means(plane, starts, ignored)
    candidates = np.nonzero(_jumps(means, noise))[0]
    if not len(candidates):
        return
    for width in range(1, WIDEST + 1):
        excess, around, allowed = _excess(means[candidates], noise, width)
        with np.errstate(invalid="ignore"):
            hits = (np.abs(excess) > allowed) & (around < SHARED * np.abs(excess))
        for place, column in zip(*np.nonzero(hits), strict=True):
            block = candidates[place]
            rows, columns = slice(starts[block], stops[block]), slice(column, column + width)
            if _is_even(plane, rows, columns, excess[place, column]):
                yield rows, columns


def _means(plane: Raw, starts: list[int], ignored: Mask | None) -> Values:
    """Means of each column over blocks: (blocks, W); NaN where fewer than LINE / 2 pixels count."""
    if ignored is None:
        counts = np.diff([*starts, len(plane)])[:, None]
        sums = _sums(plane, len(starts))
    else:
        sums = _sums(np.where(ignored, plane.dtype.type(0), plane), len(starts))
        counts = _sums(~ignored, len(starts))
    return np.where(counts >= LINE / 2, sums / np.maximum(counts, 1), np.nan)


def _sums(plane: Raw, blocks: int) -> Values:
    """Sums of each column over blocks of LINE rows, the last with the rest: (blocks, W)."""
    # Sums of small integers are exact in float32, which takes half the time.
    dtype = np.float32 if plane.dtype.kind in "bui" and plane.dtype.itemsize <= 2 else np.float64
    last = (blocks - 1) * LINE
    sums = np.empty((blocks, plane.shape[1]))
    sums[:-1] = plane[:last].reshape(blocks - 1, LINE, plane.shape[1]).sum(axis=1, dtype=dtype)
    sums[-1] = plane[last:].sum(axis=0, dtype=dtype)
    return sums


def _jumps(means: Values, noise: NoiseModel) -> NDArray[np.bool_]:
    """Blocks with a step along the row that is large enough for a line: (blocks,)."""
    before, after = means[:, :-1], means[:, 1:]
    enough = FAR * (1 - SHARED) * 0.99 * noise.std(np.minimum(before, after))
    with np.errstate(invalid="ignore"):
        found: NDArray[np.bool_] = np.any(np.abs(after - before) > enough, axis=1)
    return found


def _excess(means: Values, noise: NoiseModel, width: int) -> tuple[Values, Values, Values]:
    """For lines that begin at each column: how far they exceed what is beside them (the least of their
    columns, with its sign); how far that differs among itself; and how far a line must. (blocks, W) each.
    """
    padded = np.pad(means, [(0, 0), (BESIDE, BESIDE + WIDEST)], constant_values=np.nan)

    def at(step: int) -> NDArray[np.float64]:
        return padded[:, BESIDE + step :][:, : means.shape[1]]

    beside = np.stack([at(side) for step in range(BESIDE) for side in (-1 - step, width + step)])
    known = np.isfinite(beside)
    base = np.where(known, beside, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    around = np.where(known, np.abs(beside - base), 0).max(axis=0)
    inside = np.stack([at(step) for step in range(width)]) - base
    lowest, highest = inside.min(axis=0), inside.max(axis=0)
    excess = np.where(lowest > 0, lowest, np.where(highest < 0, highest, 0))
    far = np.where(known[0] & known[1], FAR, np.where(known[0] | known[1], ALONE_FAR, np.inf))
    return excess, around, far * noise.std(base + np.maximum(excess, 0))


def _is_even(plane: Raw, rows: slice, columns: slice, excess: float) -> bool:
    """True if each piece of a line exceeds what is beside it."""
    left, right = max(columns.start - BESIDE, 0), min(columns.stop + BESIDE, plane.shape[1])
    part = plane[rows, left:right].astype(np.float64)
    starts = range(0, len(part) - PIECE // 2, PIECE)
    means = np.add.reduceat(part, starts, axis=0) / np.diff([*starts, len(part)])[:, None]
    own = np.zeros(right - left, bool)
    own[columns.start - left : columns.stop - left] = True
    above = np.sign(excess) * (means[:, own] - means[:, ~own].mean(axis=1, keepdims=True))
    return bool((above.min(axis=0) >= EVEN * abs(excess)).all())
