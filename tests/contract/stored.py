"""The tiny models of tests/models.py, stored in every precision."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime import quantization

from baikal_deploy.diffusion.schedule import Variance
from baikal_deploy.models.manifest import METADATA_KEY, Stored, read_manifest
from baikal_training.losses import Prediction
from tests.models import exported

HALF = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
OPSET = 22
"""The first that has bf16 convolutions."""


@functools.cache
def stored(precision: Stored, prediction: Prediction, variance: Variance) -> Path:
    """The .onnx file of ``exported`` with its convolutions in this precision; it lies beside that one."""
    plain = exported(prediction, variance)
    if precision == "fp32":
        return plain
    path = plain.with_name(f"{plain.stem}-{precision}.onnx")
    model = _quantised(plain, path) if precision == "int8" else _halved(onnx.load(plain), HALF[precision])
    del model.metadata_props[:]
    manifest = replace(read_manifest(plain), precision=precision)
    model.metadata_props.add(key=METADATA_KEY, value=manifest.to_json())
    onnx.save(model, path)
    return path


def _halved(model: onnx.ModelProto, half: int) -> onnx.ModelProto:
    """The model with a cast to 16 bits before each convolution and one to 32 bits after it."""
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Conv":
            nodes.append(node)
            continue
        for place, name in enumerate(node.input):
            nodes.append(helper.make_node("Cast", [name], [f"{node.name}_{place}"], to=half))
            node.input[place] = f"{node.name}_{place}"
        nodes += [
            node,
            helper.make_node("Cast", [f"{node.name}_half"], list(node.output), to=TensorProto.FLOAT),
        ]
        node.output[0] = f"{node.name}_half"
    del model.graph.node[:]
    del model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.opset_import[0].version = OPSET
    return model


def _quantised(plain: Path, path: Path) -> onnx.ModelProto:
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it advises to prepare the model first
    try:
        quantization.quantize_static(
            plain, path, Noise(), per_channel=True, op_types_to_quantize=["Conv"],
            activation_type=quantization.QuantType.QUInt8,
        )  # fmt: skip
    finally:
        logging.root.setLevel(level)
    return onnx.load(path)


class Noise(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Planes to calibrate with."""

    def __init__(self) -> None:
        self._inputs = self._make()

    def _make(self) -> Iterator[dict[str, Any]]:
        generator = np.random.default_rng(1)
        for t in range(0, 1000, 100):
            yield {
                "x_t": generator.standard_normal((1, 1, 32, 32), np.float32),
                "timesteps": np.full(1, t, np.float32),
            }

    def get_next(self) -> dict[str, Any] | None:
        return next(self._inputs, None)
