"""bf16 on a machine that cannot compute in it: every result in the network rounded to bf16.

That is harder on a network than hardware is, which keeps sums and fused steps in fp32.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from baikal_deploy.engines import engine_class, open_engine
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.models.manifest import ModelManifest
from baikal_deploy.pixels.arrays import Planes

ENGINE = "onnx-cpu"
RANK = 4
"""Dimensions of feature maps; what has fewer (timesteps, their embedding) stays in fp32."""


class Rounded(Engine):
    """A model of fp32, computed with every feature map and the weights of convolutions rounded to bf16."""

    precision = "bf16"

    def __init__(self, engine: Engine) -> None:
        self.manifest, self._engine = engine.manifest, engine

    @classmethod
    def version(cls) -> str:
        return f"every result rounded to bf16, {engine_class(ENGINE).version()}"

    @classmethod
    def open(cls, path: Path, manifest: ModelManifest, options: EngineOptions) -> Self:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "rounded.onnx"
            onnx.save(_rounded(onnx.load(path)), copy)
            return cls(open_engine(ENGINE, copy, manifest, options))

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        return self._engine.predict(x_t, t)

    def close(self) -> None:
        self._engine.close()


def _rounded(model: ModelProto) -> ModelProto:
    graph = model.graph
    maps = _feature_maps(model)
    last = max(index for index, node in enumerate(graph.node) if node.op_type == "Conv")
    weights = {name for node in graph.node if node.op_type == "Conv" for name in node.input[1:]}
    for tensor in graph.initializer:
        if tensor.name in weights and tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(to_bf16(numpy_helper.to_array(tensor)), tensor.name))
    given = {value.name for value in graph.input}
    names: dict[str, str] = {}
    nodes = _round(given & maps, names)
    for index, node in enumerate(graph.node):
        # What comes after the network puts its result into the form of the file, and sees x_t itself.
        seen = names if index <= last else {name: new for name, new in names.items() if name not in given}
        node.input[:] = [seen.get(name, name) for name in node.input]
        nodes += [node, *(_round(set(node.output) & maps, names) if index <= last else [])]
    nodes = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _round(found: set[str], names: dict[str, str]) -> list[NodeProto]:
    """Nodes that round some values, whose new names are added to the others."""
    new = {name: f"{name}_rounded" for name in sorted(found)}
    names.update(new)
    return [node for name, result in new.items() for node in _casts(name, result)]


def _feature_maps(model: ModelProto) -> set[str]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
        and len(value.type.tensor_type.shape.dim) == RANK
    }


def _casts(name: str, result: str) -> list[NodeProto]:
    narrow = f"{result}_bf16"
    return [
        helper.make_node("Cast", [name], [narrow], to=TensorProto.BFLOAT16),
        helper.make_node("Cast", [narrow], [result], to=TensorProto.FLOAT),
    ]


def to_bf16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values rounded to the nearest of bf16, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    kept = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    found: NDArray[np.float32] = kept.astype(np.uint32).view(np.float32).reshape(values.shape)
    return found
