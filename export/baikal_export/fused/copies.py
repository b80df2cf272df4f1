"""Copies of a network's nodes and tensors under other names."""

from __future__ import annotations

import onnx

from baikal_deploy.errors import ModelError


def named(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    """A copy of a tensor under a name."""
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    return copy


def renamed(node: onnx.NodeProto, names: dict[str, str], prefix: str) -> onnx.NodeProto:
    """A copy of a node whose values have other names.

    Args:
        node: of a network.
        names: new names by old ones.
        prefix: of the node's own name.

    Raises:
        ModelError: a node with a graph inside, whose names would stay.
    """
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = f"{prefix}_{node.name}"
    copy.input[:] = [names.get(name, name) for name in node.input]
    copy.output[:] = [names.get(name, name) for name in node.output]
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        raise ModelError(
            f"the network has a node {node.op_type} with a graph of its own, which cannot be copied"
        )
    return copy
