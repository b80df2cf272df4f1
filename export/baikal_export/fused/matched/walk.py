"""``Matched`` as nodes: from equalised planes to x̂0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
import onnx

from baikal_deploy.diffusion.samplers.matched import STEPS, Matched
from baikal_deploy.models.manifest import ModelManifest
from baikal_export.fused.matched.filtering import filtered
from baikal_export.fused.matched.spectrum import Correlation, Spectrum
from baikal_export.fused.matched.surroundings import COLUMNS, ROWS, reflected
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
        factor = nodes.ints(self.manifest.downsampling)
        for axis in (ROWS, COLUMNS):
            blocks = (x.side(axis) + factor - nodes.ints(1)) / factor
            along = nodes.op("Range", nodes.ints(0), blocks * factor, nodes.ints(1))
            padded = padded.taken(axis, reflected(along, x.side(axis)))
        batch = nodes.op("Shape", x, start=0, end=1)
        inputs = {"x_t": padded, "timesteps": nodes.op("Expand", timestep, batch)}
        eps = nodes.inlined(self.graph, inputs)[0]
        for axis in (ROWS, COLUMNS):
            eps = eps.part(axis, 0, nodes.op("Reshape", x.side(axis), nodes.ints([1])))
        return eps

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


def sampled(network: Network, sampler: Matched, y: Value, level: Value, correlation: Correlation) -> Value:
    """x̂0 of planes; see ``ResolvedMatched.sample``.

    Args:
        network: of the model.
        sampler: its options.
        y: (N, 1, H, W), equalised.
        level: of their noise's finest detail.
        correlation: of their noise.
    """
    nodes, first = y.nodes, level * correlation.raised
    if sampler.start is not None:
        first = nodes.constant(network.manifest.schedule.build().noise_of_timestep(sampler.start))
    first = network.level(first)

    def even() -> list[Value]:
        steps = partial(_even_steps, network, sampler.evaluations or 1, first)
        return [_mean(sampler.symmetries, y, lambda planes, symmetry: steps(planes))]

    def spectral() -> list[Value]:
        spectrum = Spectrum.of(correlation, level * correlation.std)
        falling = Falling.of(spectrum, first, sampler.evaluations or STEPS)
        return [_mean(sampler.symmetries, y, partial(_spectral_steps, network, falling))]

    if sampler.evaluations == 1:
        return even()[0]
    return nodes.either(correlation.is_white, even, spectral)[0]


def _mean(symmetries: int, y: Value, steps: Callable[[Value, int], Value]) -> Value:
    """The mean over symmetries of what steps make of planes that are turned by one."""
    total = steps(y, 0)
    for symmetry in range(1, symmetries):
        total = total + _turned_back(steps(_turned(y, symmetry), symmetry), symmetry)
    return total * (1 / symmetries) if symmetries > 1 else total


def _even_steps(network: Network, count: int, level: Value, y: Value) -> Value:
    x = y
    for step in range(count):
        left, following = 1 - step / count, 1 - (step + 1) / count
        x0 = _posterior_mean(network, x, level * left if step else level)
        x = x0 + (x - x0) * (following / left) if following > 0 else x0
    return x


@dataclass(frozen=True)
class Falling:
    """Noise levels that fall, and what each takes of the data.

    Attributes:
        first: the first level.
        later: the next ones, each with its response.
        falls: whether they fall; if not, the first one is the only one.
    """

    first: Value
    later: list[tuple[Value, Value]]
    falls: Value

    @classmethod
    def of(cls, spectrum: Spectrum, first: Value, count: int) -> Self:
        """As many levels as are asked for; see ``_spectral.levels``."""
        nodes, last = first.nodes, spectrum.weakest()
        shares = (step / (count - 1) for step in range(1, count))
        levels = [first * nodes.op("Pow", last / first, nodes.constant(share)) for share in shares]
        return cls(first, [(level, spectrum.response(level)) for level in levels], last < first)


def _spectral_steps(network: Network, falling: Falling, y: Value, symmetry: int) -> Value:
    first = x0 = _posterior_mean(network, y, falling.first)
    for level, response in falling.later:
        x0 = _posterior_mean(network, x0 + filtered(y - x0, _turned(response, symmetry)), level)
    return y.nodes.where(falling.falls, x0, first)


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
