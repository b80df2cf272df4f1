"""Counts of what a user should know about the pixels of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from baikal_deploy.pixels.figures import figures

MOST_LISTED = 20
CHANCE = 5e-4
"""Share of suspect pixels below which noise alone stays."""
WORTH_A_NOTE = 2 * CHANCE
"""Share of suspect pixels from which on there is a note."""


@dataclass(frozen=True)
class Tally:
    """Counts of what a user should know about the pixels of a run; tallies add up.

    Attributes:
        pixels: all of them.
        copied_planes: planes that were copied, since they, or the sample of their channel, hold one
            value or none.
        non_finite: NaN and infinite pixels; they stay what they are.
        unfilled: pixels that say nothing, but for saturated ones; they stay what they are.
        defects: hot and dead pixels, which were replaced, or kept where that was asked for.
        saturated: pixels at the detector's limit.
        lost: NaN pixels that became 0, as integers have no NaN.
        clamped: pixels beyond the range of the result's type, set to its end.
        beyond_training: pixels brighter than anything the model was trained on; kept, not clipped.
        suspect: pixels whose surroundings differ from the data by more than noise could.
        kept_raw: numbers of planes that could not be read whole or denoised, and were written as they are; of
            a plane that is cut, some regions.
        zeroed: numbers of such planes that were written as 0.
    """

    pixels: int = 0
    copied_planes: int = 0
    non_finite: int = 0
    beyond_training: int = 0
    suspect: int = 0
    unfilled: int = 0
    defects: int = 0
    saturated: int = 0
    lost: int = 0
    clamped: int = 0
    kept_raw: tuple[int, ...] = ()
    zeroed: tuple[int, ...] = ()

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The tally whose ``asdict`` went through JSON."""
        found = dict(record)
        lists = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
        return cls(**(found | lists))

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, earlier: Tally) -> Tally:
        """Difference to an earlier tally: all that was added to make this one."""
        added: dict[str, Any] = {}
        for name, own in vars(self).items():
            old = getattr(earlier, name)
            added[name] = own[len(old) :] if isinstance(own, tuple) else own - old
        return Tally(**added)

    def _share(self, count: int) -> str:
        """A number of pixels, and which share of all of them that is."""
        return f"{count} ({figures(100 * count / max(self.pixels, 1), 2)} %)"

    def notes(self) -> list[str]:
        """One line for each thing worth saying."""
        notes = [
            f"planes (or regions of them) that could not be read or denoised, {how}: {_listed(planes)}"
            for how, planes in (
                ("written as they are, with 0 where nothing could be read", self.kept_raw),
                ("written as 0", self.zeroed),
            )
            if planes
        ]
        if self.copied_planes:
            notes.append(
                "planes that hold a single value (or whose channel does, as far as it was sampled), "
                f"copied unchanged: {self.copied_planes}"
            )
        if self.non_finite:
            notes.append(f"NaN or infinite pixels, left as they are: {self.non_finite}")
        if self.unfilled:
            notes.append(
                "pixels that were never filled (areas of one value, such as the frame that registration "
                f"leaves, text, gaps between tiles; values beyond 1e18), left as they are and not measured: "
                f"{self._share(self.unfilled)}"
            )
        if self.defects:
            notes.append(
                "hot and dead pixels, rows or columns of the detector, replaced by what is around them "
                f"before they are denoised: {self._share(self.defects)} (--defects keep leaves their values)"
            )
        if self.saturated:
            notes.append(
                f"saturated pixels: {self._share(self.saturated)}; they say nothing of the noise, and their "
                "intensities are too low"
            )
        if self.lost:
            notes.append(f"NaN pixels, which are 0 in the result, as integers have no NaN: {self.lost}")
        if self.clamped:
            notes.append(
                f"pixels beyond the range of the result's type, clamped to it: {self.clamped} "
                "(--dtype float32 keeps them)"
            )
        if self.beyond_training:
            share = 100 * self.beyond_training / self.pixels
            notes.append(
                f"{figures(share, 2)} % of the pixels are brighter than anything the model was trained on; "
                "their intensities are kept, but expect less denoising there"
            )
        if self.suspect > WORTH_A_NOTE * self.pixels:
            share = 100 * self.suspect / self.pixels
            notes.append(
                f"{figures(share, 2)} % of the pixels lie where the result differs "
                "from the data by more than the noise explains: something was removed or invented there "
                "(--mask FILE shows where)"
            )
        return notes


NOTHING = Tally()
"""The tally of pixels of which nothing is to be known."""


def _listed(planes: Sequence[int]) -> str:
    """Plane numbers, each once, and how many there are."""
    numbers = sorted(set(planes))
    more = f" and {len(numbers) - MOST_LISTED} more" if len(numbers) > MOST_LISTED else ""
    return f"{', '.join(map(str, numbers[:MOST_LISTED]))}{more}"
