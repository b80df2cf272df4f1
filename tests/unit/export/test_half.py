"""Networks in 16 bits, in torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from baikal_deploy.errors import ModelError
from baikal_export.precision.half import HalfNetwork
from baikal_training.unet import UNet, UNetConfig
from tests.models import tiny_net

CONFIG = UNetConfig(channels=(8,), blocks=(1,), norm_groups=4, attention=(0,), head_channels=4)
DTYPES = [torch.float16, torch.bfloat16]


class Elementary(nn.Module):
    """One operator on the planes."""

    def __init__(self, operator: nn.Module) -> None:
        super().__init__()
        self.operator = operator

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.operator(x) + 0 * t[:, None, None, None]


class Attention(nn.Module):
    """Self-attention of the pixels of a row."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x, is_causal=self.causal)


@pytest.fixture(scope="module")
def net() -> UNet:
    made, generator = UNet(CONFIG), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
    return made.eval()


@pytest.fixture(scope="module", params=DTYPES)
def half(request: pytest.FixtureRequest, net: UNet) -> HalfNetwork:
    return HalfNetwork(net, CONFIG.downsampling, request.param)


def difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@torch.no_grad()
def test_emulation_rounds_as_operators_of_16_bits_do(net: UNet, half: HalfNetwork) -> None:
    x, t = torch.randn(2, 1, 10, 14, generator=torch.Generator().manual_seed(1)), torch.tensor([3.0, 700.5])
    exact = net(x, t)
    half.emulated = False
    native = half(x, t)
    half.emulated = True
    emulated = half(x, t)
    assert native.dtype == emulated.dtype == torch.float32
    assert torch.equal(emulated, emulated.to(half.dtype).float())
    epsilon = torch.finfo(half.dtype).eps
    assert epsilon / 8 < difference(emulated, exact) < 4 * epsilon
    assert 0.5 < difference(emulated, exact) / difference(native, exact) < 2
    assert difference(emulated, native) < difference(emulated, exact)


class Convolution(nn.Module):
    """A network that ends with a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.conv(x)


class Dtypes(TorchDispatchMode):
    """Notes what convolutions compute with."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            self.found |= {argument.dtype for argument in args[:3]}
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def test_emulation_needs_no_operators_of_16_bits() -> None:
    """A convolution of float16 takes a CPU a hundred times as long."""
    half, x = HalfNetwork(Convolution().eval(), 4, torch.float16), torch.randn(1, 1, 8, 8)
    for emulated, expected in ((False, torch.float16), (True, torch.float32)):
        half.emulated = emulated
        with Dtypes() as dtypes:
            output = half(x, torch.zeros(1))
        assert dtypes.found == {expected}
        assert torch.equal(output, output.half().float())


def test_the_network_itself_stays_as_it_is(net: UNet, half: HalfNetwork) -> None:
    assert {weight.dtype for weight in net.parameters()} == {torch.float32}
    assert {weight.dtype for weight in half.parameters()} == {torch.float32, half.dtype}


@torch.no_grad()
@pytest.mark.parametrize("emulated", [False, True])
def test_norms_and_softmax_see_fp32(emulated: bool) -> None:
    """Squares of what goes in, and exponentials, would overflow."""
    generator = torch.Generator().manual_seed(2)
    for operator, large in ((nn.GroupNorm(1, 1), 1000.0), (Attention(causal=False), 30.0)):
        half = HalfNetwork(Elementary(operator), 4, torch.float16)
        half.emulated = emulated
        x, t = large * torch.randn(2, 1, 8, 8, generator=generator), torch.zeros(2)
        assert difference(half(x, t), operator(x)) < 1e-3


@torch.no_grad()
def test_overflow_shows() -> None:
    half = HalfNetwork(tiny_net(), 4, torch.float16)
    half.emulated = True
    weight = half.graph.get_submodule("stem").weight
    weight.mul_(60000 / weight.abs().max())
    assert not torch.isfinite(half(torch.ones(1, 1, 8, 8), torch.zeros(1))).all()


def test_masked_attention_is_refused() -> None:
    half = HalfNetwork(Elementary(Attention(causal=True)), 4, torch.float16)
    with pytest.raises(ModelError, match="attention with a mask"):
        half(torch.ones(1, 1, 8, 8), torch.zeros(1))
