"""Formulas as nodes of an ONNX graph: what is written with + and * in Python becomes nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike
from onnx import helper, numpy_helper

from baikal_export.fused.copies import named, renamed

_FLOAT, _INT64, _DOUBLE = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.DOUBLE


@dataclass(frozen=True, eq=False)
class Value:
    """A value of a graph. Operators add nodes to it; numbers beside it become constants of float32.

    Attributes:
        nodes: the graph's.
        name: in the graph.
    """

    nodes: Nodes
    name: str

    def __add__(self, other: Term) -> Value:
        return self.nodes.op("Add", self, other)

    def __radd__(self, other: Term) -> Value:
        return self.nodes.op("Add", other, self)

    def __sub__(self, other: Term) -> Value:
        return self.nodes.op("Sub", self, other)

    def __rsub__(self, other: Term) -> Value:
        return self.nodes.op("Sub", other, self)

    def __mul__(self, other: Term) -> Value:
        return self.nodes.op("Mul", self, other)

    def __rmul__(self, other: Term) -> Value:
        return self.nodes.op("Mul", other, self)

    def __truediv__(self, other: Term) -> Value:
        return self.nodes.op("Div", self, other)

    def __rtruediv__(self, other: Term) -> Value:
        return self.nodes.op("Div", other, self)

    def __neg__(self) -> Value:
        return self.nodes.op("Neg", self)

    def __gt__(self, other: Term) -> Value:
        return self.nodes.op("Greater", self, other)

    def __lt__(self, other: Term) -> Value:
        return self.nodes.op("Less", self, other)

    def __ge__(self, other: Term) -> Value:
        return self.nodes.op("GreaterOrEqual", self, other)

    def __le__(self, other: Term) -> Value:
        return self.nodes.op("LessOrEqual", self, other)

    def __and__(self, other: Value) -> Value:
        return self.nodes.op("And", self, other)

    def sqrt(self) -> Value:
        return self.nodes.op("Sqrt", self)

    def abs(self) -> Value:
        return self.nodes.op("Abs", self)

    def at_least(self, other: Term) -> Value:
        return self.nodes.op("Max", self, other)

    def at_most(self, other: Term) -> Value:
        return self.nodes.op("Min", self, other)

    def float(self) -> Value:
        return self.nodes.op("Cast", self, to=_FLOAT)

    def whole(self) -> Value:
        """The value without its fraction, int64."""
        return self.nodes.op("Cast", self, to=_INT64)

    def double(self) -> Value:
        return self.nodes.op("Cast", self, to=_DOUBLE)

    def sum(self) -> Value:
        """The sum of all elements, a scalar."""
        return self.nodes.op("ReduceSum", self, keepdims=0)

    def max(self) -> Value:
        return self.nodes.op("ReduceMax", self, keepdims=0)

    def min(self) -> Value:
        return self.nodes.op("ReduceMin", self, keepdims=0)

    def flat(self) -> Value:
        return self.nodes.op("Reshape", self, self.nodes.ints([-1]))

    def size(self) -> Value:
        """Number of elements, int64."""
        return self.nodes.op("Size", self)

    def side(self, axis: int) -> Value:
        """Length of an axis: a scalar, int64."""
        shape = self.nodes.op("Shape", self, start=axis, end=axis + 1)
        return self.nodes.op("Squeeze", shape)

    def part(self, axis: int, start: int | Value, stop: int | Value, step: int | Value = 1) -> Value:
        """A slice of one axis; the bounds are as in Python."""
        bounds = (self.nodes.ints([bound]) if isinstance(bound, int) else bound for bound in (start, stop))
        steps = self.nodes.ints([step]) if isinstance(step, int) else step
        return self.nodes.op("Slice", self, *bounds, self.nodes.ints([axis]), steps)

    def taken(self, axis: int, indices: Value) -> Value:
        return self.nodes.op("Gather", self, indices, axis=axis)


Term = Value | float


def any_of(conditions: Iterable[Value]) -> Value:
    """Whether one of several conditions holds."""
    return reduce(lambda one, other: one.nodes.op("Or", one, other), conditions)


class Nodes:
    """Nodes and constants of a graph in the making."""

    def __init__(self) -> None:
        self.initializers = dict[str, onnx.TensorProto]()
        self._constants = dict[tuple[str, tuple[int, ...], bytes], str]()
        self._lists: list[list[onnx.NodeProto]] = [[]]
        self._count = 0

    @property
    def made(self) -> list[onnx.NodeProto]:
        """The nodes of the graph itself."""
        return self._lists[0]

    def op(self, kind: str, *inputs: Term, **attributes: Any) -> Value:
        """Value of a node with one output.

        Args:
            kind: of operator.
            inputs: numbers become constants of float32.
            attributes: of the node.
        """
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: Term, **attributes: Any) -> list[Value]:
        """Values of a node with several outputs; see ``op``."""
        names = [one.name if isinstance(one, Value) else self.constant(one).name for one in inputs]
        made = [self._new(kind) for _ in range(outputs)]
        self._lists[-1].append(helper.make_node(kind, names, [one.name for one in made], **attributes))
        return made

    def constant(self, value: ArrayLike, dtype: DTypeLike = np.float32) -> Value:
        """A constant; equal ones are the same."""
        array = np.array(value, dtype)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            name = self._constants[key] = f"constant_{len(self._constants)}"
            self.initializers[name] = numpy_helper.from_array(array, name)
        return Value(self, self._constants[key])

    def ints(self, values: ArrayLike) -> Value:
        return self.constant(values, np.int64)

    def given(self, name: str) -> Value:
        """An input of the graph."""
        return Value(self, name)

    def named(self, value: Value, name: str) -> Value:
        """The same value under a name: an output of the graph."""
        self._lists[-1].append(helper.make_node("Identity", [value.name], [name]))
        return Value(self, name)

    def where(self, condition: Value, one: Term, other: Term) -> Value:
        return self.op("Where", condition, one, other)

    @contextmanager
    def _branch(self) -> Iterator[list[onnx.NodeProto]]:
        """Nodes made meanwhile are those of a branch."""
        self._lists.append([])
        yield self._lists[-1]
        self._lists.pop()

    def either(self, condition: Value, one: Any, other: Any) -> list[Value]:
        """Values of one of two branches, of which only that is computed.

        Args:
            condition: a scalar.
            one, other: functions that make each branch's list of values, float32.
        """
        branches = {}
        for branch, make in (("then_branch", one), ("else_branch", other)):
            with self._branch() as nodes:
                values = [self.named(value, self._new(branch).name) for value in make()]
            outputs = [helper.make_tensor_value_info(value.name, _FLOAT, None) for value in values]
            branches[branch] = helper.make_graph(nodes, branch, [], outputs)
        return self.ops("If", len(outputs), condition, **branches)

    def inlined(self, network: onnx.GraphProto, inputs: dict[str, Value]) -> list[Value]:
        """Outputs of a network whose nodes are put here; its constants are shared among its copies.

        Args:
            network: it keeps nothing of its own but nodes and initializers.
            inputs: by name.
        """
        for tensor in network.initializer:
            self.initializers.setdefault(f"network_{tensor.name}", named(tensor, f"network_{tensor.name}"))
        names = {tensor.name: f"network_{tensor.name}" for tensor in network.initializer}
        names |= {name: value.name for name, value in inputs.items()}
        prefix = self._new("network").name
        names |= {name: f"{prefix}_{name}" for node in network.node for name in node.output if name}
        self._lists[-1].extend(renamed(node, names, prefix) for node in network.node)
        return [Value(self, names[output.name]) for output in network.output]

    def _new(self, kind: str) -> Value:
        self._count += 1
        return Value(self, f"{kind.lower()}_{self._count}")
