"""A network as a graph of operators, which can be evaluated in another arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

_DTYPE_CHECK = torch.ops.aten._assert_tensor_metadata.default
"""Operator that torch.export adds where a network converts a dtype: it insists on the dtype of the trace."""


def operators(net: nn.Module, downsampling: int) -> fx.GraphModule:
    """The ATen operators of a network, with its weights; they can be replaced without changing ``net``.

    Args:
        net: (N, 1, H, W) planes and (N,) timesteps -> (N, outputs, H, W), in evaluation mode.
        downsampling: H and W are multiples of it.
    """
    dynamic = torch.export.Dim.DYNAMIC
    example = torch.zeros(2, 1, 4 * downsampling, 6 * downsampling), torch.zeros(2)
    shapes = {0: dynamic, 2: dynamic, 3: dynamic}, {0: dynamic}
    program = torch.export.export(net, example, dynamic_shapes=shapes, strict=False)
    exported = program.module(check_guards=False)
    graph = fx.GraphModule(exported, exported.graph)  # unlike what was exported, it can be exported again
    for node in graph.graph.find_nodes(op="call_function", target=_DTYPE_CHECK):
        graph.graph.erase_node(node)
    return graph


def replace_weight(graph: fx.GraphModule, name: str, weight: Tensor) -> None:
    """Put another tensor in a parameter's place."""
    owner, _, attribute = name.rpartition(".")
    setattr(graph.get_submodule(owner), attribute, nn.Parameter(weight.detach(), requires_grad=False))


def depend_on_planes(graph: fx.GraphModule) -> set[fx.Node]:
    """The operators whose tensors follow from the planes, not from timesteps and shapes alone."""
    found = {graph.graph.find_nodes(op="placeholder")[0]}
    for node in graph.graph.nodes:
        if node.op == "call_function" and _gives_tensors(node) and not found.isdisjoint(node.all_input_nodes):
            found.add(node)
    return {node for node in found if node.op == "call_function"}


def _gives_tensors(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value[0] if isinstance(value, list | tuple) else value, Tensor)
