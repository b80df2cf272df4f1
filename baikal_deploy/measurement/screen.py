"""What is wrong with a channel's pixels before anything is measured: unfilled, defect, or saturated ones.

The rules are found once, in the channel's sample, and then look at the pixels around one only: they find the
same in planes that are cut, and in batches of any size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy.ndimage import median_filter

from baikal_deploy.measurement import blank, defects
from baikal_deploy.measurement.blank import ALL_BORDERS, Borders, Fill
from baikal_deploy.measurement.fills import find_fills
from baikal_deploy.measurement.marks import Mark, drawn, find_marks
from baikal_deploy.measurement.noise_model import NoiseModel, detector_limit, fit_noise, grey_level
from baikal_deploy.measurement.sample import part_of, telling
from baikal_deploy.measurement.surroundings import BASE_REACH, filled_in
from baikal_deploy.pixels.arrays import Mask, Raw, Values

REACH = blank.REACH + defects.REACH + BASE_REACH
"""Pixels that a screened pixel depends on around it."""

NO_NOISE = NoiseModel.uniform(0.0)


@dataclass(frozen=True)
class Screened:
    """A plane, or a part of one, as it may be measured and denoised.

    Attributes:
        plane: finite, (H, W) in raw units: unfilled pixels have what is around them, and defects too; as it
            was,
            where it has neither.
        unfilled: the pixels that say nothing; None: there are none.
        defects: the hot and dead ones; None: there are none.
    """

    plane: Raw
    unfilled: Mask | None = None
    defects: Mask | None = None


@dataclass(frozen=True)
class Screen:
    """The rules of a channel.

    Attributes:
        fills: values of unfilled areas.
        marks: values of text, graphics and gaps drawn in.
        typical: intensity that stands in unfilled areas far from any other pixel.
        noise: as far as it is known before anything is measured, to tell defects from.
        unit: smallest difference of two values.
        limit: value at which the detector saturates; None: it does not.
    """

    fills: tuple[Fill, ...] = ()
    marks: tuple[Mark, ...] = ()
    typical: float = 0.0
    noise: NoiseModel = NO_NOISE
    unit: float = 0.0
    limit: float | None = None

    @classmethod
    def of(cls, windows: Sequence[Raw]) -> Self:
        """The rules of a channel, from a sample of it.

        Args:
            windows: (H, W) each, of one dtype, in raw units.
        """
        windows = [blank.only_intensities(window) for window in windows if window.size]
        if not windows:
            return cls()
        marks = find_marks(windows)
        fills = find_fills(windows, [drawn(window, marks) for window in windows])
        screen = cls(fills, marks, unit=grey_level(windows))
        unfilled = [screen.unfilled(window) for window in windows]
        filled = [mask is None or not mask.all() for mask in unfilled]
        known = [
            known_of(window, mask)
            for window, mask, some in zip(windows, unfilled, filled, strict=True)
            if some
        ]
        if not known:
            return screen
        screen = replace(screen, typical=_typical(known))
        few = part_of(known)
        screen = replace(screen, noise=fit_noise(few, [_medians(window) for window in few]))
        return replace(screen, limit=screen._limit(windows))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The rules whose ``asdict`` went through JSON."""
        fills = tuple(Fill(**fill) for fill in record["fills"])
        marks = tuple(Mark(**mark) for mark in record["marks"])
        return cls(
            **{**record, "fills": fills, "marks": marks, "noise": NoiseModel.from_record(record["noise"])}
        )

    def noise_beside(self, sigma: float) -> NoiseModel:
        """The noise, as far as it is known here: bright objects spoil it less than a mean over all pixels.

        Args:
            sigma: its standard deviation over all pixels, in raw units, for where nothing is known.
        """
        return self.noise if self.noise.level > 0 else NoiseModel.uniform(sigma)

    def unfilled(self, plane: Raw, borders: Borders = ALL_BORDERS) -> Mask | None:
        """The pixels of a plane, or of a part of one, that say nothing; None without any."""
        return blank.blank(plane, self.fills, borders, self.marks)

    def screened(self, plane: Raw, borders: Borders = ALL_BORDERS) -> Screened:
        """A plane as it may be denoised.

        Args:
            plane: (H, W), in raw units.
            borders: of the plane, where it is a part of a larger one.
        """
        unfilled = self.unfilled(plane, borders)
        whole = plane if unfilled is None else filled_in(plane, unfilled, self.typical)
        found = defects.defects(whole, self.noise, self.unit, unfilled)
        if found is None:
            return Screened(whole, unfilled)
        if unfilled is not None:  # what was filled in has seen them
            mended = defects.replaced(whole, found)
            whole = filled_in(mended, unfilled, self.typical)
        return Screened(defects.replaced(whole, found), unfilled, found)

    def _limit(self, windows: Sequence[Raw]) -> float | None:
        """The value at which the detector saturates; not one that hot pixels share."""
        areas = [fill.value for fill in self.fills if fill.saturated]
        if areas:
            return max(areas)
        screened = [self.screened(window) for window in windows]
        pairs = list(zip(windows, screened, strict=True))
        limit = detector_limit([known_of(plane, found.unfilled, found.defects) for plane, found in pairs])
        if not np.isfinite(limit):
            return None
        hot = others = 0
        for plane, found in pairs:
            if found.defects is not None:
                hot += int(np.count_nonzero(found.defects & (plane == limit)))
            others += int(np.count_nonzero(plane == limit))
        return None if 2 * hot > others else limit

    def saturated(self, plane: Raw) -> Mask | None:
        """The saturated pixels of a plane (H, W); None without any."""
        if self.limit is None:
            return None
        found = plane >= plane.dtype.type(self.limit)
        return found if found.any() else None


NOTHING_WRONG = Screen()


def known_of(plane: Raw, *masks: Mask | None) -> Raw:
    """A plane with NaN where a mask is set, float64 then; itself without any."""
    known = plane
    for mask in masks:
        if mask is not None:
            known = np.where(mask, np.nan, known)
    return known


def _typical(known: Sequence[Raw]) -> float:
    values = np.concatenate([plane[np.isfinite(plane)].ravel() for plane in known])
    return float(np.median(values)) if values.size else 0.0


def _medians(plane: Raw) -> Values:
    """A first estimate that no defect spoils: the median of 3x3 blocks of 2x2 pixels, at each pixel."""
    height, width = (max(side - side % 2, 1) for side in plane.shape)
    even = plane[:height, :width].astype(np.float64)
    if min(plane.shape) < 2:
        return even
    means = (even[::2, ::2] + even[::2, 1::2] + even[1::2, ::2] + even[1::2, 1::2]) / 4
    unknown = np.isnan(means)
    if unknown.any():
        means = np.where(unknown, np.nanmedian(means) if not unknown.all() else 0.0, means)
    medians: Values = median_filter(means, 3).repeat(2, axis=0).repeat(2, axis=1)
    return medians


def known_and_filled(planes: Sequence[Raw], screen: Screen) -> tuple[list[Raw], list[Raw]]:
    """What is measured of planes, with NaN for pixels that say nothing, and what a network is shown of them.

    Args:
        planes: (H, W) each, in raw units; those of one value are left out, unless all are.
        screen: of their channel.
    """
    windows = telling(planes)
    screened = [screen.screened(plane) for plane in windows]
    pairs = zip(windows, screened, strict=True)
    known = [known_of(plane, found.unfilled, found.defects) for plane, found in pairs]
    return known, [found.plane for found in screened]


def where_known(estimates: Sequence[Raw], known: Sequence[Raw]) -> list[Raw]:
    """Estimates, with NaN where nothing is known.

    Args:
        estimates: (H, W) each.
        known: see ``known_and_filled``.
    """
    pairs = zip(estimates, known, strict=True)
    return [x if (finite := np.isfinite(plane)).all() else np.where(finite, x, np.nan) for x, plane in pairs]
