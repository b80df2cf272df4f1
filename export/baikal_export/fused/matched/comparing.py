"""``compared`` as nodes: how much noise is left in results, and what two of them differ by beyond it."""

from __future__ import annotations

from dataclasses import dataclass

from baikal_deploy.denoising.compared import CUT, LEAST_STRUCTURE, NARROW, WHOLE, WIDE, in_cells
from baikal_export.fused.matched.surroundings import blurred, cell_means, gaussian
from baikal_export.fused.nodes import Value

_LEAST_NOISE = 1e-30


@dataclass(frozen=True)
class GateValues:
    """``Gate`` of a stream as values of the graph.

    Attributes:
        allowed, coarse: along t, scalars.
        shares: (K, 2).
    """

    allowed: Value
    coarse: Value
    shares: Value

    def left(self, own: Value, variance: Value) -> Value:
        """Variance of the noise that is left in a result, in each cell; see ``compared.Result.of``.

        Args:
            own: the result, (N, 1, H, W).
            variance: of the noise of its data, (N, 1, H, W).
        """
        noise = cell_means(variance)
        mean = window_mean(own, NARROW)
        structure = (window_mean(own * own, NARROW) - mean * mean) / noise.at_least(_LEAST_NOISE)
        return self._share(structure.at_least(LEAST_STRUCTURE)) * noise

    def _share(self, structure: Value) -> Value:
        """See ``Gate.share``: linear between places, each of which adds what lies behind it."""
        nodes = structure.nodes
        root = nodes.op("Unsqueeze", structure.sqrt().sqrt(), nodes.ints([4]))
        places, shares = (nodes.op("Reshape", part, nodes.ints([-1])) for part in self._columns())
        before, span = places.part(0, 0, -1), places.part(0, 1, 2**62) - places.part(0, 0, -1)
        along = ((root - before) / span).at_least(0.0).at_most(1.0)
        rises = along * (shares.part(0, 1, 2**62) - shares.part(0, 0, -1))
        return shares.part(0, 0, 1) + nodes.op("ReduceSum", rises, nodes.ints([4]), keepdims=0)

    def _columns(self) -> list[Value]:
        return self.shares.nodes.ops("Split", 2, self.shares, axis=1, num_outputs=2)


def window_mean(planes: Value, sigma: float) -> Value:
    """Mean in the Gaussian window around each cell; see ``compared.window_mean``."""
    weights = gaussian(in_cells(sigma), CUT)
    total = blurred(cell_means(planes, "constant"), weights)
    nodes = planes.nodes
    known = nodes.op("Expand", nodes.constant(1.0), nodes.op("Shape", planes))
    share = blurred(cell_means(known, "constant"), weights)
    return total / nodes.where(share > WHOLE, 1.0, share)


def change(difference: Value, variance: Value, coarse: Value) -> Value:
    """What two planes differ by around each cell beyond noise; see ``compared.change``."""
    squares, means = window_mean(difference * difference, NARROW), window_mean(difference, WIDE)
    return (squares.at_least(means * means / coarse) - variance).at_least(0.0)
