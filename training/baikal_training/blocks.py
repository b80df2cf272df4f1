"""Building blocks of the UNet: residual blocks, self-attention, resampling."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from baikal_training.unet_config import UNetConfig


def norm(channels: int, groups: int) -> nn.Module:
    """GroupNorm, or nothing.

    Without norms nothing depends on the statistics of the window, so a tile's result does not
    depend on the rest of the tile.
    """
    return nn.GroupNorm(groups, channels) if groups else nn.Identity()


class Attention(nn.Module):
    """Multi-head self-attention over the pixels, added to its input. (N, C, H, W) -> the same."""

    def __init__(self, channels: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = norm(channels, groups)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)  # all queries, all keys, all values
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, 3, self.heads, channels // self.heads, height * width)
        q, k, v = qkv.transpose(3, 4).unbind(1)  # each (N, heads, pixels, head channels)
        h = F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(n, channels, height, width)
        out: Tensor = x + self.out(h)
        return out


class ResBlock(nn.Module):
    """Residual block with scale-shift time conditioning; may change the resolution by a factor of 0.5 or 2.

    (N, channels_in, H, W) and (N, embedding) -> (N, channels, H·resolution, W·resolution).
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        config: UNetConfig,
        attention: bool = False,
        resolution: float = 1.0,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.norm1 = norm(channels_in, config.norm_groups)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.modulation = nn.Linear(config.embedding, 2 * channels)
        self.norm2 = norm(channels, config.norm_groups)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        # Zero start: every block begins as its skip (and a bias), so that deep networks train.
        nn.init.zeros_(self.conv2.weight)
        self.skip = nn.Identity() if channels_in == channels else nn.Conv2d(channels_in, channels, 1)
        self.attention = (
            Attention(channels, config.heads_of(channels), config.norm_groups) if attention else nn.Identity()
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(self._resampled(F.silu(self.norm1(x))))
        h = self.norm2(h) * (1 + scale) + shift
        out: Tensor = self.attention(self.skip(self._resampled(x)) + self.conv2(F.silu(h)))
        return out

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resolution < 1:
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2.0, mode="nearest") if self.resolution > 1 else x


class Down(nn.Conv2d):
    """A convolution that halves the resolution; shaped like a ResBlock."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__(channels_in, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


class Up(nn.Conv2d):
    """A convolution that doubles the resolution; shaped like a ResBlock."""

    def __init__(self, channels_in: int, channels: int, kernel: int) -> None:
        super().__init__(channels_in, channels, kernel, padding=kernel // 2)
        # A 1x1 convolution gives the same before the pixels are repeated, for a quarter of the work.
        self.first = kernel == 1

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:  # type: ignore[override]
        if self.first:
            return F.interpolate(super().forward(x), scale_factor=2.0, mode="nearest")
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))
