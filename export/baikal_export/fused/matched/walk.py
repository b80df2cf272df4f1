"""``Matched`` as nodes: from equalised planes to x̂0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from baikal_deploy.diffusion.samplers.matched import Matched
from baikal_deploy.models.manifest import ModelManifest
from baikal_export.fused.matched.surroundings import COLUMNS, ROWS
from baikal_export.fused.nodes import Term, Value


@dataclass(frozen=True)
class Network:
    """A network that takes planes of any size.

    Attributes:
        graph: of the model.
        manifest: of the model.
    """

    graph: onnx.GraphProto
    manifest: ModelManifest

    def eps(self, x: Value, timestep: Value) -> Value:
        """Its first output for planes, which are padded for it by reflection."""
        nodes, padded = x.nodes, x
        for axis in (ROWS, COLUMNS):
            padded = padded.taken(axis, self._reflected(x.side(axis)))
        batch = nodes.op("Shape", x, start=0, end=1)
        inputs = {"x_t": padded, "timesteps": nodes.op("Expand", timestep, batch)}
        eps = nodes.inlined(self.graph, inputs)[0]
        for axis in (ROWS, COLUMNS):
            eps = eps.part(axis, 0, nodes.op("Reshape", x.side(axis), nodes.ints([1])))
        return eps

    def _reflected(self, side: Value) -> Value:
        """Indices that pad an axis to a multiple of the downsampling, which may be longer than the axis."""
        nodes, factor = side.nodes, self.manifest.downsampling
        blocks = (side + nodes.ints(factor - 1)) / nodes.ints(factor)
        along = nodes.op("Range", nodes.ints(0), blocks * nodes.ints(factor), nodes.ints(1))
        last = side - nodes.ints(1)
        phase = nodes.op("Mod", along, (last * nodes.ints(2)).at_least(nodes.ints(1)))
        return last - (last - phase).abs()

    def timestep(self, level: Value) -> Value:
        """See ``NoiseSchedule.timestep_of_noise``."""
        nodes, table = level.nodes, self.manifest.schedule.build().noise_levels.astype(np.float32)
        levels = nodes.constant(table)
        passed = (level >= levels).whole().sum() - nodes.ints(1)
        index = passed.at_least(nodes.ints(0)).at_most(nodes.ints(len(table) - 2))
        before, after = (levels.taken(0, place) for place in (index, index + nodes.ints(1)))
        return index.float() + ((level - before) / (after - before)).at_least(0.0).at_most(1.0)

    def level(self, level: Value) -> Value:
        """The nearest noise level that the schedule has."""
        levels = self.manifest.schedule.build().noise_levels
        return level.at_least(float(levels[0])).at_most(float(levels[-1]))


def sampled(network: Network, sampler: Matched, y: Value, level: Value) -> Value:
    """x̂0 of planes; see ``ResolvedMatched.sample``.

    Args:
        network: of the model.
        sampler: its options.
        y: (N, 1, H, W), equalised.
        level: of their noise.
    """
    if sampler.start is not None:
        level = y.nodes.constant(network.manifest.schedule.build().noise_of_timestep(sampler.start))
    level = network.level(level)
    total = _even_steps(network, sampler.evaluations or 1, y, level)
    for symmetry in range(1, sampler.symmetries):
        own = _even_steps(network, sampler.evaluations or 1, _turned(y, symmetry), level)
        total = total + _turned_back(own, symmetry)
    return total * (1 / sampler.symmetries) if sampler.symmetries > 1 else total


def _even_steps(network: Network, count: int, y: Value, level: Value) -> Value:
    x = y
    for step in range(count):
        left, following = 1 - step / count, 1 - (step + 1) / count
        x0 = _posterior_mean(network, x, level * left if step else level)
        x = x0 + (x - x0) * (following / left) if following > 0 else x0
    return x


def _posterior_mean(network: Network, x: Value, level: Value) -> Value:
    one: Term = 1.0
    scale = one / (level * level + 1.0).sqrt()
    return x - network.eps(x * scale, network.timestep(level)) * level


def _turned(planes: Value, symmetry: int) -> Value:
    """See ``matched._turned``."""
    for axis, bit in ((COLUMNS, 1), (ROWS, 2)):
        if symmetry & bit:
            planes = planes.part(axis, -1, -(2**62), -1)
    return planes.nodes.op("Transpose", planes, perm=[0, 1, 3, 2]) if symmetry & 4 else planes


def _turned_back(planes: Value, symmetry: int) -> Value:
    if symmetry & 4:
        planes = planes.nodes.op("Transpose", planes, perm=[0, 1, 3, 2])
    return _turned(planes, symmetry & 3)
