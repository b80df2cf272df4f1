"""The UNet: shapes, locality, and the embedding of timesteps."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from baikal_deploy.errors import ConfigError
from baikal_training.unet import UNet, flops, parameters, timestep_embedding
from baikal_training.unet_config import PRESETS, UNetConfig, unet_config
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
        {"blocks": (2, 2, 2, 0)},
        {"norm_groups": 7},
        {"norm_groups": -1},
        {"attention": (4,), "head_channels": 16},
        {"attention": (1,), "head_channels": 48},
        {"middle": (True,), "head_channels": 48},
        {"skips": "none"},
        {"resample": "block"},
        {"sinusoids": 7},
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


@pytest.mark.parametrize(
    ("name", "downsampling", "weights"),
    [("light", 16, 2_259_172), ("paper", 64, 143_375_425), ("paper-light", 8, 3_558_113)],
)
def test_presets(name: str, downsampling: int, weights: int) -> None:
    config = unet_config(name, 1)
    assert config == PRESETS[name]
    assert config.downsampling == downsampling
    with torch.device("meta"):
        assert parameters(UNet(config)) == weights


def test_learned_variance_adds_an_output() -> None:
    assert unet_config("paper-light", 2).out_channels == 2


def test_paper_has_attention_where_the_authors_have_it() -> None:
    with torch.device("meta"):
        net = UNet(PRESETS["paper"])
    attended = [[hasattr(block.attention, "qkv") for block in level] for level in net.encoder]
    assert attended == [[False], [True] * 2, [True] * 2, [True] * 2, [False] * 2, [False] * 3, [False] * 4]
    decoded = [len(level) for level in net.decoder]
    assert decoded == [2, 3, 3, 3, 3, 4, 5]


def test_attention_sees_the_whole_window() -> None:
    config = UNetConfig(
        (8, 8),
        (1, 1),
        skips="block",
        attention=(1,),
        middle=(True,),
        head_channels=4,
        norm_groups=4,
        unshuffle=1,
    )
    net = UNet(config)
    for weights in net.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    x, t = torch.randn(1, 1, 8, 256), torch.tensor([10.0])
    changed = x.clone()
    changed[..., -1] += 100
    with torch.no_grad():
        assert (net(changed, t) - net(x, t))[..., :8].abs().max() > 1e-4


def test_flops_of_one_convolution_more() -> None:
    """A residual block of two 3x3 convolutions at half the resolution: 2·2·9·c² per four pixels."""
    one, two = (UNetConfig((8, 8), (count, 1)) for count in (1, 2))
    more = flops(UNet(two)) - flops(UNet(one))
    assert more == pytest.approx(2 * 2 * 2 * 9 * 8**2 / 4, rel=0.01)  # encoder and decoder


def test_configuration_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text("channels = [8, 16]\nblocks = [1, 2]\nnorm_groups = 4\n")
    config = unet_config(str(path), 2)
    assert config == UNetConfig((8, 16), (1, 2), norm_groups=4, out_channels=2)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("channels = 8", "channels is 8; needed is something like"),
        ("channels = [8.5]\nblocks = [1]", "needed is something like"),
        ("widths = [8]", "there is no 'widths'; there are channels, "),
        ("channels = [8]\nblocks = [1, 2]", "one entry per level"),
        ("out_channels = 2", "follows from --variance"),
        ("channels = [", "cannot be read as TOML"),
    ],
)
def test_wrong_configuration_file_is_refused(text: str, match: str, tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=match) as caught:
        unet_config(str(path), 1)
    assert str(path) in str(caught.value)


def test_unknown_preset_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="unet 'heavy': no such file; the presets are light, paper, paper-light"
    ):
        unet_config("heavy", 1)
