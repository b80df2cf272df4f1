"""What a network is shown of planes, and what is put back into the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.denoising.crop import Crop
from baikal_deploy.measurement.bright import below
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.screen import Screen, Screened
from baikal_deploy.pixels.arrays import Mask, Raw
from baikal_deploy.pixels.counts import Tally


@dataclass(frozen=True)
class Shown:
    """Planes as a network may see them: without pixels that say nothing, and what is too bright for it.

    Attributes:
        planes: (N, H, W) in raw units, finite.
        beyond: what was taken from bright pixels, in raw units, (N, H, W); None: nothing.
        unfilled: pixels that say nothing, (N, H, W); None: there are none.
        defects: hot and dead pixels, which are replaced, (N, H, W); None: there are none.
        saturated: pixels at the detector's limit, (N, H, W); None: there are none.
    """

    planes: Raw
    beyond: NDArray[np.float64] | None
    unfilled: Mask | None
    defects: Mask | None
    saturated: Mask | None

    @classmethod
    def of(cls, planes: Raw, crop: Crop, measurement: Measurement) -> Self:
        """What is shown of planes.

        Args:
            planes: (N, H, W) in raw units.
            crop: which part of larger planes they are.
            measurement: of their channel.
        """
        screened = [measurement.screen.screened(plane, crop.borders) for plane in planes]
        shown = planes
        if any(one.unfilled is not None or one.defects is not None for one in screened):
            shown = np.stack([one.plane for one in screened])
        low, beyond = below(shown, measurement.ceiling)
        pairs = zip(planes, screened, strict=True)
        saturated = _stacked([_saturated(measurement.screen, *pair) for pair in pairs], planes.shape)
        return cls(
            low,
            beyond,
            _stacked([one.unfilled for one in screened], planes.shape),
            _stacked([one.defects for one in screened], planes.shape),
            saturated,
        )

    def kept(self, *, defects: bool) -> Mask | None:
        """The pixels that the result has as they were, defects among them or not; None without any."""
        masks = [mask for mask in (self.unfilled, self.defects if defects else None) if mask is not None]
        return None if not masks else np.logical_or.reduce(masks)

    def counts(self, planes: Raw, crop: Crop) -> Tally:
        """What to know about the wanted pixels of the planes that this was made of."""

        def count(mask: Mask | None) -> int:
            return 0 if mask is None else int(np.count_nonzero(crop.trimmed(mask)))

        beyond = None if self.beyond is None else self.beyond > 0
        empty = self.unfilled
        if empty is not None:
            empty = empty & np.isfinite(planes)
            empty = empty if self.saturated is None else empty & ~self.saturated
        return Tally(
            unfilled=count(empty),
            defects=count(self.defects),
            saturated=count(self.saturated),
            beyond_training=count(beyond),
        )


def _saturated(screen: Screen, plane: Raw, screened: Screened) -> Mask | None:
    """The saturated pixels of a plane: no hot ones, and no areas or text, unless these are what saturates."""
    found = screen.saturated(plane)
    if found is None:
        return None
    if screened.defects is not None:
        found &= ~screened.defects
    if screened.unfilled is not None and not any(fill.saturated for fill in screen.fills):
        found &= ~screened.unfilled
    return found


def _stacked(masks: Sequence[Mask | None], shape: tuple[int, ...]) -> Mask | None:
    if all(mask is None for mask in masks):
        return None
    nothing = np.zeros(shape[1:], bool)
    return np.stack([nothing if mask is None else mask for mask in masks])
