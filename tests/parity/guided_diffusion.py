"""The UNetModel of guided-diffusion, written from its description (Dhariwal & Nichol 2021, appendix).

Only the names and the places of the weights are theirs: they are what a state dict consists of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """Arguments of a UNetModel; attention is given in levels, 0 being the finest."""

    model_channels: int = 8
    channel_mult: tuple[float, ...] = (1, 2)
    num_res_blocks: tuple[int, ...] = (1, 2)
    attention: tuple[int, ...] = (1,)
    middle_attention: bool = True
    num_heads: int = 1
    num_head_channels: int = -1
    new_order: bool = False
    resblock_updown: bool = False
    scale_shift: bool = True
    in_channels: int = 1
    out_channels: int = 1
    groups: int = 4

    @property
    def widths(self) -> list[int]:
        return [int(factor * self.model_channels) for factor in self.channel_mult]

    def heads(self, width: int) -> int:
        return self.num_heads if self.num_head_channels == -1 else width // self.num_head_channels


class Resample(nn.Module):
    """Halves (``op``) or doubles (``conv``) the resolution with a convolution."""

    def __init__(self, width: int, down: bool) -> None:
        super().__init__()
        if down:
            self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)
        else:
            self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.down = down

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.op(x) if self.down else self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class Residual(nn.Module):
    def __init__(self, before: int, width: int, shape: Shape, change: str = "") -> None:
        super().__init__()
        embedding = 4 * shape.model_channels
        self.in_layers = nn.Sequential(
            nn.GroupNorm(shape.groups, before), nn.SiLU(), nn.Conv2d(before, width, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(
            nn.SiLU(), nn.Linear(embedding, 2 * width if shape.scale_shift else width)
        )
        self.out_layers = nn.Sequential(
            nn.GroupNorm(shape.groups, width),
            nn.SiLU(),
            nn.Dropout(0.1),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.skip_connection = nn.Identity() if before == width else nn.Conv2d(before, width, 1)
        self.change = change

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        norm, activation, convolution = self.in_layers
        h = convolution(self._changed(activation(norm(x))))
        modulation = self.emb_layers(embedding)[..., None, None]
        out_norm, *rest = self.out_layers
        scale, shift = modulation.chunk(2, dim=1)
        h = out_norm(h) * (1 + scale) + shift
        for layer in rest:
            h = layer(h)
        return self.skip_connection(self._changed(x)) + h

    def _changed(self, x: Tensor) -> Tensor:
        if self.change == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2, mode="nearest") if self.change == "up" else x


class Attention(nn.Module):
    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(shape.groups, width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)
        self.heads, self.new_order = shape.heads(width), shape.new_order

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        flat = x.flatten(2)
        rows = self.qkv(self.norm(flat))
        if self.new_order:  # all queries, all keys, all values; each head a run of rows in each
            q, k, v = (part.chunk(self.heads, dim=1) for part in rows.chunk(3, dim=1))
        else:  # queries, keys and values of one head after the other
            per_head = [head.chunk(3, dim=1) for head in rows.chunk(self.heads, dim=1)]
            q, k, v = zip(*per_head, strict=True)
        results = []
        for queries, keys, values in zip(q, k, v, strict=True):  # each (N, head width, pixels)
            weights = torch.softmax(queries.transpose(1, 2) @ keys / math.sqrt(keys.shape[1]), dim=-1)
            results.append(values @ weights.transpose(1, 2))
        return (flat + self.proj_out(torch.cat(results, dim=1))).reshape(x.shape)


class Stem(nn.Conv2d):
    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


class UNetModel(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        base, embedding, widths = shape.model_channels, 4 * shape.model_channels, shape.widths
        self.time_embed = nn.Sequential(
            nn.Linear(base, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        blocks: list[list[nn.Module]] = [[Stem(shape.in_channels, widths[0], 3, padding=1)]]
        skips, width = [widths[0]], widths[0]
        for level, (after, count) in enumerate(zip(widths, shape.num_res_blocks, strict=True)):
            for _ in range(count):
                blocks.append(self._block(width, after, level))
                width = after
                skips.append(width)
            if level < len(widths) - 1:
                blocks.append([self._resample(width, "down")])
                skips.append(width)
        self.input_blocks = _stack(blocks)
        middle: list[nn.Module] = [Residual(width, width, shape), Residual(width, width, shape)]
        if shape.middle_attention:
            middle.insert(1, Attention(width, shape))
        self.middle_block = nn.ModuleList(middle)
        blocks = []
        for level, (after, count) in reversed(
            list(enumerate(zip(widths, shape.num_res_blocks, strict=True)))
        ):
            for index in range(count + 1):
                blocks.append(self._block(width + skips.pop(), after, level))
                width = after
                if level and index == count:
                    blocks[-1].append(self._resample(width, "up"))
        self.output_blocks = _stack(blocks)
        self.out = nn.Sequential(
            nn.GroupNorm(shape.groups, width), nn.SiLU(), nn.Conv2d(width, shape.out_channels, 3, padding=1)
        )

    def _block(self, before: int, after: int, level: int) -> list[nn.Module]:
        attention = [Attention(after, self.shape)] if level in self.shape.attention else []
        return [Residual(before, after, self.shape), *attention]

    def _resample(self, width: int, change: str) -> nn.Module:
        if self.shape.resblock_updown:
            return Residual(width, width, self.shape, change)
        return Resample(width, change == "down")

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        embedding = self.time_embed(sinusoids(t, self.shape.model_channels))
        h, skips = x, []
        for block in self.input_blocks:
            h = _run(block, h, embedding)
            skips.append(h)
        h = _run(self.middle_block, h, embedding)
        for block in self.output_blocks:
            h = _run(block, torch.cat([h, skips.pop()], dim=1), embedding)
        return self.out(h)


def sinusoids(t: Tensor, width: int) -> Tensor:
    half = width // 2
    frequencies = torch.tensor([math.exp(-math.log(10000) * i / half) for i in range(half)])
    angles = t.float()[:, None] * frequencies
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


def _stack(blocks: Sequence[Sequence[nn.Module]]) -> nn.ModuleList:
    return nn.ModuleList(nn.ModuleList(parts) for parts in blocks)


def _run(block: nn.Module, h: Tensor, embedding: Tensor) -> Tensor:
    for part in cast(nn.ModuleList, block):
        h = part(h, embedding)
    return h


def random_model(shape: Shape) -> UNetModel:
    """With weights that are nonzero everywhere, so that every one of them shows in the output."""
    net, generator = UNetModel(shape), torch.Generator().manual_seed(11)
    with torch.no_grad():
        for weight in net.parameters():
            scale = 0.3 if weight.ndim < 2 else weight[0].numel() ** -0.5
            weight.copy_(scale * torch.randn(weight.shape, generator=generator))
    return net.eval()
