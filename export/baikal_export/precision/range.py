"""The range of the values inside a 16-bit network, to find those that an overflow would lose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from baikal_deploy.errors import ModelError
from baikal_export.planes import NoisyPlane

LIMIT = float(np.finfo(np.float16).max)
NEAR = LIMIT / 8
"""Least value that comes near the limit. Normalisations, whose squares would reach it much sooner, compute in
fp32: their inputs need no limit of their own.
"""

_SUFFIX, _PREFIX = ".reach", "net.graph."


@dataclass(frozen=True)
class Range:
    """The largest |values| of what an fp16 file holds in 16 bits.

    Attributes:
        largest: by place, the largest first: the output of an operator, or a weight.
    """

    largest: tuple[tuple[str, float], ...]

    @property
    def near(self) -> tuple[tuple[str, float], ...]:
        """Places and values that come near the limit, or exceed it."""
        return tuple((place, value) for place, value in self.largest if not value < NEAR)

    def check(self) -> None:
        """Raise ModelError if any exceeds the limit."""
        beyond = [(place, value) for place, value in self.largest if not value <= LIMIT]
        if beyond:
            place, value = beyond[0]
            raise ModelError(
                f"fp16 reaches to {LIMIT:g}, and {len(beyond)} intermediate values or weights of the network "
                f"go beyond that (the largest, {value:.3g}, at {place}); export it with --precision bf16"
            )

    def as_dict(self) -> dict[str, Any]:
        """The range for the record."""
        place, value = self.largest[0]
        near = {place: _digits(value) for place, value in self.near}
        return {"limit": LIMIT, "largest": _digits(value), "at": place, "near": near}


def audit(model: onnx.ModelProto, inputs: Iterable[NoisyPlane]) -> Range:
    """The range of everything that an fp16 graph computes or holds in 16 bits.

    The graph is run with fp32 in place of fp16, so that nothing is cut off.
    """
    halves = {value.name for value in model.graph.value_info if _is_half(value.type.tensor_type.elem_type)}
    places = {name: place for name, place in _places(model.graph) if name in halves}
    session = onnxruntime.InferenceSession(_watched(model, list(places)).SerializeToString())
    reach = dict.fromkeys(places, 0.0)
    for x_t, t in inputs:
        feed = {"x_t": x_t, "timesteps": np.full(len(x_t), t, dtype=np.float32)}
        found = session.run([f"{name}{_SUFFIX}" for name in places], feed)
        for name, value in zip(places, found, strict=True):
            reach[name] = float(np.maximum(reach[name], value))
    values = [(places[name], value) for name, value in reach.items()] + list(_weights(model.graph))
    return Range(tuple(sorted(values, key=lambda pair: -np.nan_to_num(pair[1], nan=np.inf))))


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def _is_half(dtype: int) -> bool:
    return dtype == TensorProto.FLOAT16


def _places(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    """Yield (output, its place for people) of every operator; one with weights is known by their name."""
    weights = {weight.name for weight in graph.initializer}
    for node in graph.node:
        module = next((name.rpartition(".")[0] for name in node.input if name in weights), "")
        for output in node.output:
            yield output, f"{module.removeprefix(_PREFIX) or output} ({node.op_type})"


def _weights(graph: onnx.GraphProto) -> Iterator[tuple[str, float]]:
    for weight in graph.initializer:
        if _is_half(weight.data_type):
            values = numpy_helper.to_array(weight).astype(np.float32)
            yield weight.name.removeprefix(_PREFIX), float(np.abs(values).max())


def _watched(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The graph in fp32, whose outputs are max |value| of each name."""
    watched = _widened(model)
    graph = watched.graph
    del graph.output[:], graph.value_info[:]
    for name in names:
        top = f"{name}{_SUFFIX}"
        graph.node.append(helper.make_node("Abs", [name], [f"{top}_abs"]))
        graph.node.append(helper.make_node("ReduceMax", [f"{top}_abs"], [top], keepdims=0))
        graph.output.append(helper.make_tensor_value_info(top, TensorProto.FLOAT, []))
    return watched


def _widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with fp32 wherever it has fp16."""
    widened = onnx.ModelProto()
    widened.CopyFrom(model)
    for weight in widened.graph.initializer:
        _widen(weight)
    for attribute in (attribute for node in widened.graph.node for attribute in node.attribute):
        if attribute.name == "to" and _is_half(attribute.i):
            attribute.i = TensorProto.FLOAT
        if attribute.HasField("t"):
            _widen(attribute.t)
    return widened


def _widen(tensor: onnx.TensorProto) -> None:
    if _is_half(tensor.data_type):
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
