"""The whole graph: raw units in, raw units out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import onnx
from onnx import helper

from baikal_deploy.diffusion.samplers.matched import Matched
from baikal_deploy.models.manifest import ModelManifest
from baikal_export.fused.matched.equaliser import Equalised, Measured
from baikal_export.fused.matched.measuring import measured
from baikal_export.fused.matched.surroundings import COLUMNS, ROWS
from baikal_export.fused.matched.walk import Network, sampled
from baikal_export.fused.nodes import Nodes, Value

TOLD = {"intensity": 2, "noise_model": 3}
"""Inputs beside the image, and how many numbers each holds; NaN stands for what is to be measured."""
_ESTIMATE = Matched()


def build(
    network: onnx.ModelProto, manifest: ModelManifest, sampler: Matched, *, measures: bool = False
) -> onnx.ModelProto:
    """The model that runs the sampler, without metadata.

    Args:
        network: the model that ``manifest`` describes.
        sampler: its options.
        measures: whether the image is the only input, and the rest is measured.
    """
    nodes, told = Nodes(), {} if measures else TOLD
    _Channel(nodes.given("image"), Network(network.graph, manifest), sampler).add(told)
    shapes: dict[str, list[str | int]] = {"image": ["N", 1, "H", "W"]}
    shapes |= {name: [count] for name, count in told.items()}
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

    def add(self, told: dict[str, int]) -> None:
        """Add the nodes for the output.

        Args:
            told: see ``TOLD``.
        """
        found = Measured(*(self._found(told) if told else self._measured()))
        self.image.nodes.named(self._denoised(found, self.sampler), "denoised")

    def _found(self, told: dict[str, int]) -> list[Value]:
        """What is given, and what is measured of the rest."""
        nodes = self.image.nodes
        given = [
            nodes.op("Squeeze", value)
            for name, count in told.items()
            for value in nodes.ops("Split", count, nodes.given(name), num_outputs=count)
        ]
        missing = [nodes.op("IsNaN", value) for value in given]
        anything = reduce(lambda one, other: nodes.op("Or", one, other), missing)
        measured = nodes.either(anything, self._measured, lambda: given)
        return [nodes.where(*three) for three in zip(missing, measured, given, strict=True)]

    def _measured(self) -> list[Value]:
        normalisation = self.network.manifest.normalisation
        found = measured(self.image, normalisation, lambda known: self._denoised(known, _ESTIMATE))
        return [found.low, found.high, found.gain, found.intercept, found.floor]

    def _denoised(self, found: Measured, sampler: Matched) -> Value:
        """The image in raw units, denoised; planes that hold one value are copied."""
        low = self.image.at_most(found.ceiling())
        normalised = (low - found.low) / found.half - 1.0
        equalised = Equalised.of(normalised, found)
        x0 = equalised.back(sampled(self.network, sampler, equalised.even, equalised.level))
        raw = x0 * found.half + (found.low + found.half) + (self.image - low)
        return self.image.nodes.where((found.high > found.low) & self._varied(), raw, self.image)

    def _varied(self) -> Value:
        """Whether each plane holds more than one value: (N, 1, 1, 1)."""
        nodes, axes = self.image.nodes, self.image.nodes.ints([ROWS, COLUMNS])
        return nodes.op("ReduceMax", self.image, axes) > nodes.op("ReduceMin", self.image, axes)
