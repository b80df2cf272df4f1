"""What a channel shows, by the estimates that its measurement makes anyway."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from baikal_deploy.measurement.channel import Estimate, Measurement
from baikal_deploy.measurement.structure.features import SIDE
from baikal_deploy.measurement.structure.recognised import Recognised, recognise
from baikal_deploy.pixels.arrays import Plane

KEPT = 16
"""Windows that are kept of each pass over a channel; of more, evenly spaced ones."""
CORRELATED = 2.0
"""Noise, over its finest detail, from which on estimates keep or lose too much to tell what they show."""
BURIED = 0.8
"""Noise level, on the network's scale (of range 2), from which on there is next to nothing to see."""


@dataclass
class Seeing:
    """An estimate that keeps windows of its results, by the noise level that it was told.

    Attributes:
        estimate: does the work.
    """

    estimate: Estimate
    _windows: dict[float, list[Plane]] = field(default_factory=dict)
    _steps: dict[float, tuple[int, int]] = field(default_factory=dict)

    def __call__(self, plane: Plane, sigma: float) -> Plane:
        """The estimate of a plane (H, W) at a noise level."""
        result = self.estimate(plane, sigma)
        for y in range(0, max(1, result.shape[0] - SIDE // 2), SIDE):
            for x in range(0, max(1, result.shape[1] - SIDE // 2), SIDE):
                self._keep(result[y : y + SIDE, x : x + SIDE], sigma)
        return result

    def _keep(self, window: Plane, sigma: float) -> None:
        """Keep every window, then every second one, and so on, so that there are KEPT at most."""
        windows = self._windows.setdefault(sigma, [])
        number, step = self._steps.get(sigma, (0, 1))
        if number % step == 0:
            windows.append(window.copy())
            if len(windows) > KEPT:
                del windows[1::2]
                step *= 2
        self._steps[sigma] = number + 1, step

    def recognised(self, found: Measurement) -> Recognised:
        """What the channel of a measurement shows, by the estimates nearest to its noise level."""
        if not self._windows or found.intensity.is_constant or not found.matched_sigma > 0:
            return Recognised(reason="it holds no noise, or nothing else")
        if found.matched_sigma > BURIED:
            return Recognised(reason="hardly anything stands out of its noise")
        if found.noise is not None and found.noise.correlation > CORRELATED:
            return Recognised(reason="its noise is correlated between pixels")
        level = math.log(found.matched_sigma)
        nearest = min(self._windows, key=lambda sigma: abs(math.log(sigma) - level))
        return recognise(self._windows[nearest])
