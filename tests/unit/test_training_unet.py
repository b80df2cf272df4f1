"""The UNet: shapes, locality, and the embedding of timesteps."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from baikal_deploy.errors import ConfigError
from baikal_training.unet import UNet, UNetConfig, timestep_embedding
from tests.models import tiny_net


@pytest.mark.parametrize("out_channels", [1, 2])
@pytest.mark.parametrize("size", [(4, 4), (8, 20), (32, 12)], ids=str)
def test_output_has_the_shape_of_the_input(out_channels: int, size: tuple[int, int]) -> None:
    output = tiny_net(out_channels)(torch.randn(3, 1, *size), torch.tensor([0, 500, 999]))
    assert output.shape == (3, out_channels, *size)


@pytest.mark.parametrize(
    ("config", "downsampling"),
    [
        (UNetConfig(), 16),
        (UNetConfig(channels=(8, 16), blocks=(1, 1)), 4),
        (UNetConfig(channels=(8, 16, 8), blocks=(1, 2, 1), unshuffle=1), 4),
        (UNetConfig(channels=(8,), blocks=(1,), unshuffle=4), 4),
    ],
)
def test_downsampling_is_the_smallest_size_that_is_taken(config: UNetConfig, downsampling: int) -> None:
    assert config.downsampling == downsampling
    net, t = UNet(config), torch.zeros(1)
    assert net(torch.zeros(1, 1, downsampling, 3 * downsampling), t).shape[2:] == (
        downsampling,
        3 * downsampling,
    )
    with pytest.raises(RuntimeError):
        net(torch.zeros(1, 1, downsampling, downsampling * 3 // 2), t)


@pytest.mark.parametrize(
    "values",
    [
        {"channels": (8, 16), "blocks": (1,)},
        {"channels": (), "blocks": ()},
        {"out_channels": 3},
        {"out_channels": 0},
    ],
    ids=str,
)
def test_impossible_shapes_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="unet"):
        UNetConfig(**values)  # type: ignore[arg-type]


def test_config_survives_json() -> None:
    config = UNetConfig((8, 24), (2, 3), unshuffle=4, embedding=32, out_channels=2)
    assert UNetConfig.from_dict(config.as_dict()) == config
    assert UNetConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize("width", [8, 128])
def test_embedding_against_the_formula(width: int) -> None:
    t = [0.0, 1.0, 17.0, 250.5, 999.0]
    half = width // 2
    angles = np.outer(t, [math.exp(-math.log(10_000) * i / half) for i in range(half)])
    expected = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    found = timestep_embedding(torch.tensor(t), width)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_embedding_of_integers_is_that_of_floats() -> None:
    t = torch.arange(0, 1000, 37)
    assert torch.equal(timestep_embedding(t, 64), timestep_embedding(t.float(), 64))


@torch.no_grad()
def test_each_plane_has_its_own_timestep() -> None:
    net, x, t = tiny_net(), torch.randn(3, 1, 16, 16), torch.tensor([10.0, 500.0, 900.0])
    together = net(x, t)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], net(x[i : i + 1], t[i : i + 1]), atol=1e-5, rtol=0)
    assert (net(x, t + 100) - together).abs().amax(dim=(1, 2, 3)).min() > 0.01


@torch.no_grad()
def test_far_pixels_do_not_matter() -> None:
    """The receptive field of this shape reaches 34 pixels; a norm over the window would break this."""
    net, t = tiny_net(2), torch.tensor([300.0])
    x = torch.randn(1, 1, 32, 128, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[..., 80:] = 10 * x[..., 80:] + 5
    difference = (net(changed, t) - net(x, t)).abs().amax(dim=(0, 1, 2))
    assert difference[:44].max() < 1e-6
    assert difference[70:80].min() > 1e-3


@torch.no_grad()
def test_window_gives_what_the_plane_gives_away_from_its_rim() -> None:
    net, t = tiny_net(), torch.tensor([300.0])
    x = torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    window = net(x[..., 20:108, 12:100], t)
    torch.testing.assert_close(window[..., 36:52, 36:52], net(x, t)[..., 56:72, 48:64], atol=1e-5, rtol=0)
