"""A network in 16-bit floating point, but for what would lose by it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from baikal_deploy.errors import ModelError
from baikal_export.precision.graph import depend_on_planes, operators, replace_weight

aten = torch.ops.aten
PRECISE = (aten.group_norm.default, aten.layer_norm.default, aten.softmax.int)
"""Operators that compute in fp32, and whose result is rounded."""


class HalfNetwork(nn.Module):
    """A network whose weights and activations have 16 bits. Its inputs and its output are float32.

    Whatever depends on the planes is in 16 bits, except that normalisations and the softmax of
    attention compute in fp32. What follows from the timesteps alone, the embedding and its
    projections, is in fp32 altogether: it costs nothing, and sines of timesteps need the bits.

    Args:
        net: (N, 1, H, W) planes and (N,) timesteps -> (N, outputs, H, W), in evaluation mode.
        downsampling: H and W are multiples of it.
        dtype: float16 or bfloat16.

    Attributes:
        emulated: multiply, add up in fp32 and round the result of every operator, as tensor cores
            do, with the operators of fp32: a CPU has hardly any for float16. Otherwise the
            operators are those of ``dtype``, as they belong into a file.
    """

    def __init__(self, net: nn.Module, downsampling: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.graph = operators(net, downsampling)
        self.dtype, self.emulated = dtype, False
        self.reduced = depend_on_planes(self.graph)
        for name, weight in list(self.graph.named_parameters()):
            users = [user for node in self._named(name) for user in node.users]
            if all(user in self.reduced and user.target not in PRECISE for user in users):
                replace_weight(self.graph, name, weight.to(dtype))

    def _named(self, weight: str) -> list[fx.Node]:
        return [node for node in self.graph.graph.find_nodes(op="get_attr") if node.target == weight]

    def forward(self, x_t: Tensor, timesteps: Tensor) -> Tensor:
        output: Tensor = _Half(self).run(x_t, timesteps)
        return output.float()


class _Half(fx.Interpreter):
    """An interpreter that evaluates the graph; what ``network.reduced`` names, in 16 bits."""

    def __init__(self, network: HalfNetwork) -> None:
        super().__init__(network.graph)
        self.network = network

    def run_node(self, n: fx.Node) -> Any:
        if n not in self.network.reduced:
            return super().run_node(n)
        return self._reduced(n.target, *self.fetch_args_kwargs_from_env(n))

    def _reduced(self, operator: Any, args: Any, kwargs: Any) -> Any:
        if operator is aten.scaled_dot_product_attention.default:
            return self._attention(*args, **kwargs)
        if operator not in PRECISE:
            args, kwargs = _cast((args, kwargs), self.network.dtype)
        if operator in PRECISE or self.network.emulated:
            args, kwargs = _cast((args, kwargs), torch.float32)
        return _cast(operator(*args, **kwargs), self.network.dtype)

    def _attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None = None,
        dropout: float = 0.0,
        causal: bool = False,
        scale: float | None = None,
    ) -> Tensor:
        """Attention softmax(q·kᵀ/√d)·v in single operators, as the softmax is one of PRECISE."""
        if mask is not None or dropout or causal:
            raise ModelError("attention with a mask or dropout cannot be exported in 16 bits")
        scaled = self._reduced(aten.mul.Scalar, (q, scale or q.shape[-1] ** -0.5), {})
        scores = self._reduced(aten.matmul.default, (scaled, k.transpose(-1, -2)), {})
        weights = self._reduced(aten.softmax.int, (scores, -1), {})
        output: Tensor = self._reduced(aten.matmul.default, (weights, v), {})
        return output


def _cast(values: Any, dtype: torch.dtype) -> Any:
    def cast(value: Any) -> Any:
        return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

    return tree_map(cast, values)
