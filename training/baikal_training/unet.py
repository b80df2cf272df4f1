"""The noise-prediction UNet."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baikal_deploy.errors import ConfigError


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a UNet; travels in the checkpoint.

    Attributes:
        channels: width of each level, finest first; each level halves the resolution.
        blocks: residual blocks per level and per side (encoder, decoder).
        unshuffle: factor of the pixel-unshuffle stem. With 2, no convolution runs at full
            resolution, which at equal width saves most of the work.
        embedding: width of the timestep embedding.
        out_channels: 1 (the prediction), or 2 with learned-range variance (prediction, v).
    """

    channels: tuple[int, ...] = (48, 64, 96, 112)
    blocks: tuple[int, ...] = (2, 2, 2, 1)
    unshuffle: int = 2
    embedding: int = 128
    out_channels: int = 1

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.blocks) or not self.channels:
            raise ConfigError(
                f"unet: channels {self.channels} and blocks {self.blocks} need one entry per level"
            )
        if self.out_channels not in (1, 2):
            raise ConfigError(f"unet: out_channels is {self.out_channels}; it must be 1 or 2")

    @property
    def downsampling(self) -> int:
        """Heights and widths must be multiples of this, in pixels."""
        return self.unshuffle << (len(self.channels) - 1)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> UNetConfig:
        channels, blocks = tuple(data["channels"]), tuple(data["blocks"])
        return cls(**{**data, "channels": channels, "blocks": blocks})


def timestep_embedding(t: Tensor, width: int) -> Tensor:
    """[cos, sin] embedding with frequencies exp(-ln(10000)·i/half). t (N,) -> (N, width)."""
    half = width // 2
    exponent = torch.arange(half, dtype=torch.float32, device=t.device) / half
    angles = t.float()[:, None] * torch.exp(-math.log(10000.0) * exponent)[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class ResBlock(nn.Module):
    """Residual block with scale-shift time conditioning and no normalisation layer.

    Without normalisation nothing depends on the statistics of the window, so a tile's result
    does not depend on the rest of the tile.
    """

    def __init__(self, channels_in: int, channels: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        # Zero start: every block begins as its skip (and a bias), which replaces what a norm stabilises.
        nn.init.zeros_(self.conv2.weight)
        self.skip = nn.Identity() if channels_in == channels else nn.Conv2d(channels_in, channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(x)) * (1 + scale) + shift
        out: Tensor = self.skip(x) + self.conv2(F.silu(h))
        return out


class Level(nn.Module):
    """Residual blocks at one resolution."""

    def __init__(self, channels_in: int, channels: int, count: int, embedding: int) -> None:
        super().__init__()
        widths = [channels_in, *[channels] * (count - 1)]
        self.blocks = nn.ModuleList(ResBlock(width, channels, embedding) for width in widths)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, embedding)
        return x


class UNet(nn.Module):
    """(N, 1, H, W) noisy planes and (N,) timesteps -> (N, out_channels, H, W).

    Timesteps are the original 0 … T−1, as int or float. H and W must be multiples of
    ``config.downsampling``.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        channels, width = config.channels, config.embedding
        self.embed = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.stem = nn.Conv2d(config.unshuffle**2, channels[0], 3, padding=1)
        self.encoder = nn.ModuleList(
            Level(c, c, n, width) for c, n in zip(channels, config.blocks, strict=True)
        )
        pairs = list(itertools.pairwise(channels))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.middle = Level(channels[-1], channels[-1], 1, width)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        self.decoder = nn.ModuleList(
            Level(2 * c, c, n, width) for c, n in zip(channels[:-1], config.blocks, strict=False)
        )
        self.head = nn.Conv2d(channels[0], config.out_channels * config.unshuffle**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        embedding = self.embed(timestep_embedding(t, self.config.embedding))
        h = self.stem(F.pixel_unshuffle(x, self.config.unshuffle))
        skips = []
        for depth, level in enumerate(self.encoder):
            h = level(h, embedding)
            if depth < len(self.down):
                skips.append(h)
                h = self.down[depth](h)
        h = self.middle(h, embedding)
        for depth in reversed(range(len(self.up))):
            h = F.interpolate(self.up[depth](h), scale_factor=2.0, mode="nearest")
            h = self.decoder[depth](torch.cat([h, skips[depth]], dim=1), embedding)
        return F.pixel_shuffle(self.head(F.silu(h)), self.config.unshuffle)
