"""The past of a stream: what is known of the frames before, for those that are fused as they come."""

from __future__ import annotations

from dataclasses import dataclass

from baikal_deploy.denoising.compared import Result, filled
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.running import Running
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.pixels.arrays import Plane


@dataclass(frozen=True)
class Past:
    """What is known of the frames of a stream; two planes, however long it lasts.

    Attributes:
        running: the estimate of what the last frame shows, and how many it counts for.
        intensity: map of the scale that it is on.
        exposure: of the last frame, if that was told.
    """

    running: Running
    intensity: IntensityMap
    exposure: float | None = None

    @classmethod
    def of(cls, before: Past | None, own: Plane, recipe: Recipe, exposure: float | None = None) -> Past:
        """The past of the next frame.

        It begins anew where frames have another size, scale or exposure. Where another scene is shown, so do
        the pixels by themselves, and where the exposure is not told.

        Args:
            before: the past of this frame; None: it is the first.
            own: its result, (H, W), on the network's scale.
            recipe: of the stream, whose measurement has a gate.
            exposure: see ``exposure_of``.
        """
        gate, intensity = recipe.measurement.gate, recipe.measurement.intensity
        assert gate is not None
        result = Result.of(own, recipe.variance(filled(own)), gate)
        if before is None or not before._goes_on(own, intensity, exposure):
            return cls(Running.first(result), intensity, exposure)
        running = before.running.after(result, gate.allowed["t"], gate.coarse["t"])
        return cls(running, intensity, exposure)

    def _goes_on(self, own: Plane, intensity: IntensityMap, exposure: float | None) -> bool:
        """True if a frame with such a result can be fused with what was before."""
        alike = self.running.frames.shape == own.shape and self.intensity == intensity
        return alike and self.exposure == exposure

    @property
    def frames(self) -> float:
        """Frames that the estimate counts for, in the mean of its pixels."""
        return float(self.running.frames.mean())
