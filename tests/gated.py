"""Results fused through a gate, from planes alone."""

from __future__ import annotations

from collections.abc import Callable

from baikal_deploy.denoising.compared import Result, filled
from baikal_deploy.denoising.fusion import Fused, Sides, fuse, sides_of
from baikal_deploy.measurement.gate import Gate
from baikal_deploy.pixels.arrays import Plane


def gated(gate: Gate, own: Plane, sides: Sides, variance: Callable[[Plane], Plane]) -> Fused:
    """A result (H, W) with what those of its neighbours know; ``variance`` tells that of the noise."""

    def ready(plane: Plane) -> Result:
        return Result.of(plane, variance(filled(plane)), gate)

    both = {axis: [list(map(ready, side)) for side in found] for axis, found in sides.items()}
    return fuse(ready(own), sides_of(gate, both))
