"""Networks of the three stages. All of them take and give (N, 1, H, W)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLIND = 9
"""Side, in pixels, of the square that the blind-neighbourhood network does not see."""
SLOPE = 0.1
"""Slope of the leaky ReLUs below 0, as in Laine et al. 2019."""


class Conv(nn.Conv2d):
    """3x3 convolution that keeps the size; one that looks ``upward`` sees its own row and the two above."""

    def __init__(self, channels_in: int, channels: int, upward: bool) -> None:
        super().__init__(channels_in, channels, 3)
        self.border = (1, 1, 2, 0) if upward else (1, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(F.pad(x, self.border)), SLOPE)


class UNet(nn.Module):
    """U-Net of max pooling and nearest-neighbour upsampling (N, 1, H, W) -> (N, width, H, W).

    H and W must be multiples of 2^depth. The ``upward`` one sees nothing below a pixel's row: Laine et al.
    2019, High-Quality Self-Supervised Deep Image Denoising, section 2.
    """

    def __init__(self, width: int, depth: int, upward: bool) -> None:
        super().__init__()
        self.upward = upward
        self.stem = nn.Sequential(Conv(1, width, upward), Conv(width, width, upward))
        self.down = nn.ModuleList(Conv(width, width, upward) for _ in range(depth))
        self.up = nn.ModuleList(
            nn.Sequential(Conv(2 * width, width, upward), Conv(width, width, upward)) for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        skips = []
        for conv in self.down:
            skips.append(h)
            h = conv(self._pooled(h))
        for convs in self.up:
            h = convs(torch.cat([F.interpolate(h, scale_factor=2.0, mode="nearest"), skips.pop()], dim=1))
        return h

    def _pooled(self, x: Tensor) -> Tensor:
        # Without the shift, the upper row of a pair would see the lower one.
        return F.max_pool2d(shifted(x, 1) if self.upward else x, 2)


class BlindNeighbourhood(nn.Module):
    """BNN: predicts a pixel from what lies outside a BLIND x BLIND square around it.

    Four half planes, each BLIND // 2 + 1 pixels away from the pixel, make up the outside; one network that
    looks upward sees them in an image turned four ways.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.half_plane = UNet(width, depth, upward=True)
        self.head = nn.Sequential(
            nn.Conv2d(4 * width, 2 * width, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * width, width, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        away = BLIND // 2 + 1
        views = []
        for turns in range(4):
            seen = shifted(self.half_plane(torch.rot90(x, turns, (2, 3))), away)
            views.append(torch.rot90(seen, -turns, (2, 3)))
        return self.head(torch.cat(views, dim=1))


class LocallyAware(nn.Module):
    """LAN: predicts a pixel from the 3x3 pixels around it; all further layers are 1x1."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            *(PointwiseBlock(width) for _ in range(blocks)),
            nn.Conv2d(width, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class PointwiseBlock(nn.Sequential):
    """Residual block of two 1x1 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Denoiser(nn.Sequential):
    """The network of the third stage, and the only one that denoises: an ordinary U-Net."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(UNet(width, depth, upward=False), nn.Conv2d(width, 1, 1))


def shifted(x: Tensor, rows: int) -> Tensor:
    """Planes moved down; zeros come in at the top.

    Args:
        x: (N, C, H, W).
        rows: pixels to move by.
    """
    return F.pad(x, (0, 0, rows, -rows))
