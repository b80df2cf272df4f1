"""The check that a parsed network computes in the precision that its manifest promises.

In a strongly typed network the graph alone decides the precision of each layer, so that a wrong graph
would give wrong figures and wrong speed without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from baikal_deploy.errors import EngineBuildError
from baikal_deploy.models.manifest import ModelManifest, Precision

ALLOWED: dict[Precision, set[str]] = {
    "fp32": {"FLOAT"},
    "fp16": {"FLOAT", "HALF"},
    "bf16": {"FLOAT", "BF16"},
    "int8": {"FLOAT", "INT8"},
}
"""The vendor's names of the dtypes that may occur in a network of each precision, beside INDICES."""
INDICES = {"INT32", "INT64", "BOOL"}
CONVOLUTIONS: dict[Precision, str] = {"fp32": "FLOAT", "fp16": "HALF", "bf16": "BF16", "int8": "FLOAT"}
"""The dtype of convolutions. Those of int8 lie between layers that quantise, and are fused with them."""


def audit(trt: Any, network: Any, manifest: ModelManifest, path: Path) -> None:
    """Check the dtypes of all layers, and the names and dtypes of inputs and outputs.

    Raises:
        EngineBuildError: they are not what the manifest promises; with the layer.
    """
    for problem in _problems(trt, network, manifest):
        raise EngineBuildError(
            f"{path}: not a model in {manifest.precision}, as its manifest says: {problem}; export it again"
        )


def _problems(trt: Any, network: Any, manifest: ModelManifest) -> Iterator[str]:
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    outputs = [network.get_output(i) for i in range(network.num_outputs)]
    yield from _interface("inputs", inputs, ["x_t", "timesteps"])
    yield from _interface(
        "outputs", outputs, ["eps", "v"] if manifest.variance == "learned_range" else ["eps"]
    )
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    for layer in layers:
        yield from _layer(trt, layer, manifest.precision)
    if manifest.precision == "int8" and not any(one.type == trt.LayerType.QUANTIZE for one in layers):
        yield "nothing in it is quantised"


def _interface(what: str, tensors: list[Any], names: list[str]) -> Iterator[str]:
    found = [tensor.name for tensor in tensors]
    if found != names:
        yield f"its {what} are {', '.join(found) or 'none'}, not {', '.join(names)}"
    for tensor in tensors:
        if tensor.dtype.name != "FLOAT":
            yield f"{tensor.name} is {tensor.dtype.name}, not FLOAT"


def _layer(trt: Any, layer: Any, precision: Precision) -> Iterator[str]:
    tensors = [layer.get_input(i) for i in range(layer.num_inputs)]
    tensors += [layer.get_output(i) for i in range(layer.num_outputs)]
    dtypes = {tensor.dtype.name for tensor in tensors if tensor is not None}  # optional inputs are None
    if extra := dtypes - ALLOWED[precision] - INDICES:
        yield f"layer {layer.name} has {', '.join(sorted(extra))}"
    wanted = CONVOLUTIONS[precision]
    if layer.type == trt.LayerType.CONVOLUTION and dtypes != {wanted}:
        yield f"convolution {layer.name} has {', '.join(sorted(dtypes))}, not {wanted}"
