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
    """

    running: Running
    intensity: IntensityMap

    @classmethod
    def of(cls, before: Past | None, own: Plane, recipe: Recipe) -> Past:
        """The past of the next frame.

        It begins anew where frames have another size or scale. Where another scene is shown, or another
        exposure, so do the pixels by themselves.

        Args:
            before: the past of this frame; None: it is the first.
            own: its result, (H, W), on the network's scale.
            recipe: of the stream, whose measurement has a gate.
        """
        gate, intensity = recipe.measurement.gate, recipe.measurement.intensity
        assert gate is not None
        result = Result.of(own, recipe.variance(filled(own)), gate)
        if before is None or before.intensity != intensity or before.running.frames.shape != own.shape:
            return cls(Running.first(result), intensity)
        return cls(before.running.after(result, gate.allowed["t"], gate.coarse["t"]), intensity)
