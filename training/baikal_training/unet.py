"""The noise-prediction UNet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from baikal_training.blocks import Down, ResBlock, Up, norm
from baikal_training.unet_config import UNetConfig

COST_SIDE = 128


Levels = Sequence[Sequence[nn.Module]]
"""The type of a ModuleList of ModuleLists: the stubs lack it."""


def timestep_embedding(t: Tensor, width: int) -> Tensor:
    """Embedding [cos, sin] of timesteps with frequencies exp(-ln(10000)·i/half): t (N,) -> (N, width)."""
    half = width // 2
    exponent = torch.arange(half, dtype=torch.float32, device=t.device) / half
    angles = t.float()[:, None] * torch.exp(-math.log(10000.0) * exponent)[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class UNet(nn.Module):
    """The network: (N, 1, H, W) noisy planes and (N,) timesteps -> (N, out_channels, H, W).

    Timesteps are the original 0 … T−1, as int or float. H and W must be multiples of
    ``config.downsampling``.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, embedding = config.channels, config.embedding
        self.embed = nn.Sequential(
            nn.Linear(config.sinusoids, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.stem = nn.Conv2d(config.unshuffle**2, widths[0], 3, padding=1)
        self.encoder = _levels(config, _encoder_inputs(config))
        self.down = nn.ModuleList(_down(config, level) for level in range(len(widths) - 1))
        self.middle = nn.ModuleList(ResBlock(widths[-1], widths[-1], config, a) for a in config.middle)
        self.up = nn.ModuleList(_up(config, level) for level in range(len(widths) - 1))
        self.decoder = _levels(config, _decoder_inputs(config))
        self.norm = norm(widths[0], config.norm_groups)
        self.head = nn.Conv2d(widths[0], config.out_channels * config.unshuffle**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        embedding = self.embed(timestep_embedding(t, self.config.sinusoids))
        h, skips = self._encode(self.stem(F.pixel_unshuffle(x, self.config.unshuffle)), embedding)
        for block in self.middle:
            h = block(h, embedding)
        h = self._decode(h, skips, embedding)
        return F.pixel_shuffle(self.head(F.silu(self.norm(h))), self.config.unshuffle)

    def _encode(self, h: Tensor, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        every_block = self.config.skips == "block"
        skips = [h] if every_block else []
        for level, blocks in enumerate(self.encoder):
            for block in blocks:
                h = block(h, embedding)
                if every_block:
                    skips.append(h)
            if level < len(self.down):
                skipped = h
                h = self.down[level](h, embedding)
                skips.append(h if every_block else skipped)
        return h, skips

    def _decode(self, h: Tensor, skips: list[Tensor], embedding: Tensor) -> Tensor:
        for level in reversed(range(len(self.decoder))):
            for index, block in enumerate(self.decoder[level]):
                if index == 0 or self.config.skips == "block":
                    h = torch.cat([h, skips.pop()], dim=1)
                h = block(h, embedding)
            if level:
                h = self.up[level - 1](h, embedding)
        return h


def _encoder_inputs(config: UNetConfig) -> list[list[int]]:
    """Widths that the encoder's blocks receive, per level."""
    # A downsampling between "level" skips changes the width, one between "block" skips does not.
    first = config.channels if config.skips == "level" else (config.channels[0], *config.channels)
    return [
        [before, *[width] * (count - 1)]
        for before, width, count in zip(first, config.channels, config.blocks, strict=False)
    ]


def _decoder_inputs(config: UNetConfig) -> list[list[int]]:
    """Widths that the decoder's blocks receive, skips included, per level."""
    levels = list(zip(config.channels, config.blocks, strict=True))
    if config.skips == "level":
        return [*([2 * width, *[width] * (count - 1)] for width, count in levels[:-1]), []]
    skips = [config.channels[0]]
    for width, count in levels:
        skips += [width] * (count + 1)
    skips.pop()  # there is no downsampling below the coarsest level
    inputs: list[list[int]] = []
    h = config.channels[-1]
    for width, count in reversed(levels):
        before = [h, *[width] * count]
        inputs.insert(0, [b + skips.pop() for b in before])
        h = width
    return inputs


def _levels(config: UNetConfig, inputs: list[list[int]]) -> Levels:
    levels = nn.ModuleList(
        nn.ModuleList(ResBlock(b, width, config, level in config.attention) for b in before)
        for level, (width, before) in enumerate(zip(config.channels, inputs, strict=True))
    )
    return cast(Levels, levels)


def _down(config: UNetConfig, level: int) -> nn.Module:
    """The way from a level to the next coarser one."""
    width, below = config.channels[level : level + 2]
    if config.resample == "block":
        return ResBlock(width, width, config, resolution=0.5)
    return Down(width, below if config.skips == "level" else width)


def _up(config: UNetConfig, level: int) -> nn.Module:
    """The way to a level from the next coarser one."""
    width, below = config.channels[level : level + 2]
    if config.resample == "block":
        return ResBlock(below, below, config, resolution=2)
    return Up(below, width, 1) if config.skips == "level" else Up(below, below, 3)


def parameters(net: nn.Module) -> int:
    """Number of weights."""
    return sum(weights.numel() for weights in net.parameters())


def flops(net: UNet) -> int:
    """Floating-point operations (two per multiply-add) of one evaluation per pixel, rounded."""
    side = max(COST_SIDE, net.config.downsampling)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 1, side, side), torch.zeros(1))
    return round(counter.get_total_flops() / side**2)
