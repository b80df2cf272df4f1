"""Convolutions in 8 bits, by ONNX Runtime's static quantisation."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from baikal_deploy.errors import ModelError
from baikal_export.planes import NoisyPlane
from baikal_export.tracing import quiet

BUDGET = 0.01
"""Relative error of the network's output up to which convolutions are rounded."""


def too_sensitive(errors: Mapping[str, float]) -> list[str]:
    """The convolutions to leave in fp32: as few as bring the others' errors together within BUDGET.

    Args:
        errors: of the output, with one convolution rounded. They add up as independent errors do, to
            the root of the sum of their squares.
    """
    names = sorted(errors, key=lambda name: errors[name])
    return [
        name
        for place, name in enumerate(names)
        if math.hypot(*(errors[n] for n in names[: place + 1])) > BUDGET
    ]


def quantised(model: onnx.ModelProto, fp32: Collection[str], inputs: Sequence[NoisyPlane]) -> onnx.ModelProto:
    """The graph with QuantizeLinear and DequantizeLinear around its convolutions.

    Symmetric, with fp32 biases: TensorRT takes nothing else, and the others compute it as well. Each
    output channel's weights have a scale of their own, activations one for all.

    Args:
        model: the graph in fp32.
        fp32: weights of the convolutions that are left as they are.
        inputs: to calibrate the ranges of the activations with; minimum and maximum are kept.

    Raises:
        ModelError: no convolution would be left.
    """
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    left = [node.name for node in convolutions if node.input[1] in fp32]
    if len(left) == len(convolutions):
        raise ModelError(
            f"no convolution of the network can compute in int8 within an error of {BUDGET:.0%}; "
            "choose --precision bf16 or fp16"
        )
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    add_pre_process_metadata(prepared)  # or it recommends in the log to do what the exporter has done
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "int8.onnx"
        quantize_static(
            prepared,
            path,
            _Feeds(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=left,
            extra_options={"ActivationSymmetric": True, "QuantizeBias": False},
        )
        return onnx.load(path)


class _Feeds(CalibrationDataReader):  # type: ignore[misc]  # the package has no types
    def __init__(self, inputs: Sequence[NoisyPlane]) -> None:
        self._feeds: Iterator[dict[str, Any]] = iter(
            {"x_t": x_t, "timesteps": np.full(len(x_t), t, dtype=np.float32)} for x_t, t in inputs
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)
