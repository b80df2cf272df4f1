"""The whole graph: raw units in, raw units out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import onnx
from onnx import helper

from baikal_deploy.diffusion.samplers.matched import Matched
from baikal_deploy.models.manifest import ModelManifest
from baikal_export.fused.matched.equaliser import Equalised, Measured
from baikal_export.fused.matched.inputs import INPUTS, MEASURABLE
from baikal_export.fused.matched.measuring import measured
from baikal_export.fused.matched.spectrum import Correlation
from baikal_export.fused.matched.surroundings import COLUMNS, ROWS
from baikal_export.fused.matched.walk import Network, sampled
from baikal_export.fused.nodes import Nodes, Value

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
    channel = _Channel(nodes.given("image"), Network(network.graph, manifest), sampler)
    shapes: dict[str, list[str | int]] = {"image": ["N", 1, "H", "W"]}
    if not measures:
        shapes |= INPUTS
    nodes.named(channel.measured() if measures else channel.told(), "denoised")
    inputs, output = [_tensor(*one) for one in shapes.items()], _tensor("denoised", shapes["image"])
    return helper.make_model(
        helper.make_graph(nodes.made, "matched", inputs, [output], list(nodes.initializers.values())),
        ir_version=network.ir_version,
        opset_imports=network.opset_import,
        functions=network.functions,
        producer_name="baikal-export",
    )


def _tensor(name: str, shape: list[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


@dataclass(frozen=True)
class _Channel:
    """The image of a call, and what makes it clean."""

    image: Value
    network: Network
    sampler: Matched

    def told(self) -> Value:
        """The image denoised with what is told, and with what is measured of the rest."""
        nodes, correlation = self.image.nodes, _correlation(self.image.nodes)
        given = [one for name in MEASURABLE for one in _scalars(nodes, name)]
        missing = [nodes.op("IsNaN", value) for value in given]
        anything = reduce(lambda one, other: nodes.op("Or", one, other), missing)
        measured = nodes.either(anything, lambda: self._numbers(correlation), lambda: given)
        found = [nodes.where(*three) for three in zip(missing, measured, given, strict=True)]
        return self._denoised(Measured(*found, correlation), self.sampler)

    def measured(self) -> Value:
        """The image denoised with what is measured in it; its pixels are taken to be independent."""
        white = Correlation.white(self.image.nodes)
        return self._denoised(Measured(*self._numbers(white), white), self.sampler)

    def _numbers(self, correlation: Correlation) -> list[Value]:
        """What is measured: the numbers of MEASURABLE."""
        normalisation = self.network.manifest.normalisation
        found = measured(
            self.image, normalisation, lambda known: self._denoised(known, _ESTIMATE), correlation
        )
        return [found.low, found.high, found.gain, found.intercept, found.floor]

    def _denoised(self, found: Measured, sampler: Matched) -> Value:
        """The image in raw units, denoised; planes that hold one value are copied."""
        low = self.image.at_most(found.ceiling())
        normalised = (low - found.low) / found.half - 1.0
        equalised = Equalised.of(normalised, found)
        x0 = sampled(self.network, sampler, equalised.even, equalised.level, found.correlation)
        raw = equalised.back(x0) * found.half + (found.low + found.half) + (self.image - low)
        return self.image.nodes.where((found.high > found.low) & self._varied(), raw, self.image)

    def _varied(self) -> Value:
        """Whether each plane holds more than one value: (N, 1, 1, 1)."""
        nodes, axes = self.image.nodes, self.image.nodes.ints([ROWS, COLUMNS])
        return nodes.op("ReduceMax", self.image, axes) > nodes.op("ReduceMin", self.image, axes)


def _scalars(nodes: Nodes, name: str) -> list[Value]:
    """The numbers of an input of rank 1."""
    count = INPUTS[name][0]
    parts = nodes.ops("Split", count, nodes.given(name), num_outputs=count)
    return [nodes.op("Squeeze", part) for part in parts]


def _correlation(nodes: Nodes) -> Correlation:
    """What is told; where that is independent pixels, the other numbers count for nothing."""
    told = Correlation(*_scalars(nodes, "correlation"), nodes.given("kernel"))
    white = Correlation.white(nodes)
    pairs = zip(vars(white).values(), vars(told).values(), strict=True)
    return Correlation(*(nodes.where(told.is_white, *pair) for pair in pairs))
