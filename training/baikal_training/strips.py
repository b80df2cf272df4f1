"""A split for few images: all are learnt from, but for a strip of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_training.data import CleanVolume, Planes, Split

FEW = 20
"""Fewer volumes than these, and those set aside would be missed, and too few for a figure."""
LARGEST_SHARE = 4
"""A strip is not higher than the height of its image over this."""
LEAST_ROWS = 16


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of every plane of an image; a ``Planes``.

    Attributes:
        whole: the image.
        first, end: the first row, and the one after the last.
    """

    whole: Planes
    first: int
    end: int

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def shape(self) -> tuple[int, int, int]:
        planes, _, width = self.whole.shape
        return planes, self.end - self.first, width

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.whole.dtype

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """A window (h, w) of one plane."""
        start, stop, _ = rows.indices(self.end - self.first)
        return self.whole.read(plane, slice(self.first + start, self.first + stop), columns)

    def read_all(self) -> NDArray[Any]:
        """All planes (N, H, W)."""
        return self.whole.read_all()[:, self.first : self.end]


def split_off_strips(volumes: Sequence[CleanVolume], side: int) -> Split:
    """Learn from all volumes but for the lowest rows of each, which are for validation.

    Those are as high as a crop, or a quarter of the image if that is less. Of an image of few rows, none are
    taken.

    Args:
        volumes: few.
        side: of a crop, in pixels.
    """
    learnt, kept = [], []
    for volume in volumes:
        height = volume.planes.shape[1]
        rows = min(side, height // LARGEST_SHARE)
        if rows < LEAST_ROWS:
            learnt.append(volume)
            continue
        learnt.append(replace(volume, planes=Rows(volume.planes, 0, height - rows)))
        kept.append(replace(volume, planes=Rows(volume.planes, height - rows, height)))
    return Split(tuple(learnt), tuple(kept), ())


def told(split: Split) -> str:
    """One line about such a split, for people."""
    count = len(split.training)
    few = "1 image is" if count == 1 else f"{count} images are"
    if not split.validation:
        return f"{few} too few, and too small, to set some pixels aside: there is no validation"
    return (
        f"{few} too few to set some aside: all are learnt from but for the lowest rows, a quarter at most, "
        "which validation is of; images that the model has not seen at all tell more"
    )
