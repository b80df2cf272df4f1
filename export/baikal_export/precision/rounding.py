"""The loss of a network's output when single convolutions compute in 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from baikal_export.planes import NoisyPlane
from baikal_export.precision.graph import operators

CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)
_TOP, _TINY = 127, 1e-30


def convolution_errors(net: nn.Module, downsampling: int, inputs: Sequence[NoisyPlane]) -> dict[str, float]:
    """Relative error (L2) of the output, by the name of the weights of the one convolution that is rounded.

    It is rounded symmetrically: its input as a whole, its weights by output channel. The error is that over
    all inputs.
    """
    graph = operators(net, downsampling)
    feeds = [(torch.from_numpy(x_t), torch.full((len(x_t),), t)) for x_t, t in inputs]
    with torch.inference_mode():
        watch = _Watch(graph)
        wanted = [watch.run(*feed) for feed in feeds]
        norm = max(_norm(wanted), _TINY)
        errors = {}
        for node, reach in watch.reach.items():
            rounded = _RoundedAt(graph, node, reach)
            differences = [rounded.run(*feed) - output for feed, output in zip(feeds, wanted, strict=True)]
            errors[_weights(node)] = _norm(differences) / norm
    return errors


def _weights(convolution: fx.Node) -> str:
    weights = convolution.args[1]
    assert isinstance(weights, fx.Node)
    return str(weights.target)


def _norm(tensors: Sequence[Tensor]) -> float:
    return float(np.sqrt(sum(float(tensor.square().sum()) for tensor in tensors)))


class _Watch(fx.Interpreter):
    """An interpreter that evaluates a graph and notes the largest |value| that goes into each convolution."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.reach: dict[fx.Node, float] = {}

    def run_node(self, n: fx.Node) -> Any:
        if n.target in CONVOLUTIONS:
            (x, *_), _ = self.fetch_args_kwargs_from_env(n)
            self.reach[n] = max(self.reach.get(n, 0.0), float(x.abs().max()))
        return super().run_node(n)


class _RoundedAt(fx.Interpreter):
    """An interpreter that evaluates a graph with one convolution in 8 bits."""

    def __init__(self, graph: fx.GraphModule, node: fx.Node, reach: float) -> None:
        super().__init__(graph)
        self.node, self.reach = node, reach

    def run_node(self, n: fx.Node) -> Any:
        if n is not self.node:
            return super().run_node(n)
        (x, weight, *rest), kwargs = self.fetch_args_kwargs_from_env(n)
        x = torch.fake_quantize_per_tensor_affine(x, max(self.reach, _TINY) / _TOP, 0, -_TOP, _TOP)
        scales = weight.abs().amax((1, 2, 3)).clamp(min=_TINY) / _TOP
        zeros = torch.zeros(len(scales), dtype=torch.int32)
        weight = torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -_TOP, _TOP)
        convolution: Any = n.target
        return convolution(x, weight, *rest, **kwargs)
