"""The whole graph: raw units in, raw units out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from baikal_deploy.diffusion.samplers.matched import Matched
from baikal_deploy.models.manifest import ModelManifest
from baikal_export.fused.matched.equaliser import Equalised, Measured
from baikal_export.fused.matched.inputs import INPUTS, MEASURABLE
from baikal_export.fused.matched.measuring import Told, measured
from baikal_export.fused.matched.spectrum import Correlation
from baikal_export.fused.matched.surroundings import COLUMNS, ROWS
from baikal_export.fused.matched.walk import Network, sampled
from baikal_export.fused.nodes import Nodes, Value, any_of

_ESTIMATE = Matched(evaluations=1)


def build(
    network: onnx.ModelProto, manifest: ModelManifest, sampler: Matched, *, measures: bool = False
) -> onnx.ModelProto:
    """The model that runs the sampler, without metadata.

    Args:
        network: the model that ``manifest`` describes.
        sampler: its options.
        measures: whether the image is the only input, and the rest is measured.
    """
    nodes = Nodes()
    channel = Channel(nodes.given("image"), Network(network.graph, manifest), sampler)
    shapes: dict[str, list[str | int]] = {"image": ["N", 1, "H", "W"]}
    if not measures:
        shapes |= {name: [*shape] for name, shape in INPUTS.items()}
    nodes.named(channel.measured() if measures else channel.told(), "denoised")
    return as_model(nodes, shapes, {"denoised": shapes["image"]}, network)


Shapes = Mapping[str, Sequence[str | int]]
"""Of tensors, by their names."""


def as_model(nodes: Nodes, inputs: Shapes, outputs: Shapes, network: onnx.ModelProto) -> onnx.ModelProto:
    """A model of nodes, which needs of ONNX what a network does."""
    given, made = ([_tensor(*one) for one in shapes.items()] for shapes in (inputs, outputs))
    return helper.make_model(
        helper.make_graph(nodes.made, "matched", given, made, list(nodes.initializers.values())),
        ir_version=network.ir_version,
        opset_imports=network.opset_import,
        functions=network.functions,
        producer_name="baikal-export",
    )


def _tensor(name: str, shape: Sequence[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


@dataclass(frozen=True)
class Channel:
    """The image of a call, and what makes it clean."""

    image: Value
    network: Network
    sampler: Matched

    def told(self) -> Value:
        """The image denoised with what is told, and with what is measured of the rest."""
        nodes = self.image.nodes
        numbers = _measurable(nodes)
        missing = [nodes.op("IsNaN", value) for value in numbers]
        told = _told(nodes)
        given = [*numbers, *told.correlation.values]
        missing += [told.unknown] * (len(given) - len(missing))
        measured = nodes.either(any_of(missing), lambda: self._measured(told).values, lambda: given)
        found = [nodes.where(*three) for three in zip(missing, measured, given, strict=True)]
        return self._denoised(Measured.of(found), self.sampler)

    def measured(self) -> Value:
        """The image denoised with what is measured in it."""
        nodes = self.image.nodes
        found = self._measured(Told(Correlation.white(nodes), nodes.constant(True, np.bool_)))
        return self._denoised(found, self.sampler)

    def _measured(self, told: Told) -> Measured:
        normalisation = self.network.manifest.normalisation
        return measured(self.image, normalisation, lambda known: self._denoised(known, _ESTIMATE), told)

    def _denoised(self, found: Measured, sampler: Matched) -> Value:
        """The image in raw units, denoised; planes that hold one value are copied."""
        raw = self.result(found, sampler) * found.half + (found.low + found.half)
        return self.image.nodes.where(self.varied(found), raw, self.image)

    def result(self, found: Measured, sampler: Matched) -> Value:
        """The image denoised, on the network's scale."""
        low = self.image.at_most(found.ceiling())
        equalised = Equalised.of((low - found.low) / found.half - 1.0, found)
        x0 = sampled(self.network, sampler, equalised.even, equalised.level, found.correlation)
        return equalised.back(x0) + (self.image - low) / found.half

    def varied(self, found: Measured) -> Value:
        """Whether each plane holds more than one value, and their channel as well: (N, 1, 1, 1)."""
        nodes, axes = self.image.nodes, self.image.nodes.ints([ROWS, COLUMNS])
        varied = nodes.op("ReduceMax", self.image, axes) > nodes.op("ReduceMin", self.image, axes)
        return varied & (found.high > found.low)


def given(nodes: Nodes) -> Measured:
    """What is told of a channel, NaN where it is not."""
    told = _told(nodes)
    std = nodes.where(told.unknown, float("nan"), told.correlation.std)
    return Measured.of([*_measurable(nodes), std, *told.correlation.values[1:]])


def scalars(nodes: Nodes, name: str, count: int) -> list[Value]:
    """The numbers of an input of rank 1."""
    parts = nodes.ops("Split", count, nodes.given(name), num_outputs=count)
    return [nodes.op("Squeeze", part) for part in parts]


def _measurable(nodes: Nodes) -> list[Value]:
    return [one for name in MEASURABLE for one in scalars(nodes, name, INPUTS[name][0])]


def _told(nodes: Nodes) -> Told:
    """What is told of how pixels share the noise; where that is nothing, other numbers count for nothing."""
    given = Correlation.of([*scalars(nodes, "correlation", 4), nodes.given("kernel")])
    unknown = any_of([nodes.op("IsNaN", value.sum()) for value in given.values])
    nothing, white = any_of([unknown, given.is_white]), Correlation.white(nodes)
    pairs = zip(white.values, given.values, strict=True)
    return Told(Correlation.of([nodes.where(nothing, *pair) for pair in pairs]), unknown)
