"""Which convolutions int8 costs most, measured one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from baikal_export.planes import NoisyPlane
from baikal_export.precision.int8 import BUDGET, too_sensitive
from baikal_export.precision.rounding import convolution_errors


class Two(nn.Module):
    """Two convolutions, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.second = nn.Conv2d(3, 1, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x))) + 0 * t[:, None, None, None]


def rounded(values: Tensor, scale: Tensor | float) -> Tensor:
    return (values / scale).round().clamp(-127, 127) * scale


@pytest.fixture
def net() -> Two:
    made, generator = Two(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    return made.eval()


@pytest.fixture
def inputs() -> list[NoisyPlane]:
    generator = torch.Generator().manual_seed(1)
    return [(scale * torch.randn(1, 1, 8, 8, generator=generator).numpy(), 5.0) for scale in (3.0, 1.0)]


@torch.no_grad()
def test_error_is_that_of_the_output_with_one_convolution_in_8_bits(
    net: Two, inputs: list[NoisyPlane]
) -> None:
    planes = torch.cat([torch.from_numpy(x_t) for x_t, _ in inputs])
    hidden = torch.tanh(net.first(planes))
    exact = net.second(hidden)
    weight = rounded(net.first.weight, net.first.weight.abs().amax((1, 2, 3), keepdim=True) / 127)
    convolved = torch.conv2d(rounded(planes, planes.abs().max() / 127), weight, net.first.bias, padding=1)
    first = (net.second(torch.tanh(convolved)) - exact).norm() / exact.norm()
    weight = rounded(net.second.weight, net.second.weight.abs().amax((1, 2, 3), keepdim=True) / 127)
    convolved = torch.conv2d(rounded(hidden, hidden.abs().max() / 127), weight, net.second.bias)
    second = (convolved - exact).norm() / exact.norm()
    expected = {"first.weight": float(first), "second.weight": float(second)}
    assert convolution_errors(net, 4, inputs) == pytest.approx(expected, rel=1e-3)


def test_zeros_are_no_obstacle(net: Two, inputs: list[NoisyPlane]) -> None:
    with torch.no_grad():
        for weight in net.parameters():
            weight.zero_()
    assert set(convolution_errors(net, 4, inputs).values()) == {0.0}


def test_as_few_as_possible_stay_in_fp32() -> None:
    assert BUDGET == 0.01
    errors = {"a": 0.02, "b": 0.005, "c": 0.008, "d": 0.001}
    assert too_sensitive(errors) == ["a"]  # 0.005² + 0.008² + 0.001² < 0.01²
    assert set(too_sensitive(errors | {"c": 0.0088})) == {"a", "c"}
    assert too_sensitive({"a": 0.01}) == []
