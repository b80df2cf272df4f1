"""What a user should know about the pixels of a run."""

from __future__ import annotations

from dataclasses import dataclass, fields

WORTH_A_NOTE = 1e-3
"""Share of suspect pixels; chance alone makes less than a tenth of it."""


@dataclass(frozen=True)
class Tally:
    """What a user should know about the pixels of a run; tallies add up.

    Attributes:
        pixels: all of them.
        copied_planes: planes that were copied, since they, or the sample of their channel, hold one
            value or none.
        non_finite: NaN and infinite pixels; they stay what they are.
        lost: NaN pixels that became 0, as integers have no NaN.
        clamped: pixels beyond the range of the result's type, set to its end.
        beyond_training: pixels brighter than anything the model was trained on; kept, not clipped.
        suspect: pixels whose surroundings differ from the data by more than noise could.
    """

    pixels: int = 0
    copied_planes: int = 0
    non_finite: int = 0
    beyond_training: int = 0
    suspect: int = 0
    lost: int = 0
    clamped: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def notes(self) -> list[str]:
        """One line for each thing worth saying."""
        notes = []
        if self.copied_planes:
            notes.append(
                "planes that hold a single value (or whose channel does, as far as it was sampled), "
                f"copied unchanged: {self.copied_planes}"
            )
        if self.non_finite:
            notes.append(f"NaN or infinite pixels, left as they are: {self.non_finite}")
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
                f"{share:.2g} % of the pixels are brighter than anything the model was trained on; "
                "their intensities are kept, but expect less denoising there"
            )
        if self.suspect > WORTH_A_NOTE * self.pixels:
            notes.append(
                f"{100 * self.suspect / self.pixels:.2g} % of the pixels lie where the result differs from "
                "the data by more than the noise explains: something was removed or invented there "
                "(--mask FILE shows where)"
            )
        return notes
