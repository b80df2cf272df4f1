"""Losses that the three stages minimise. All tensors are (N, 1, H, W), in any one unit."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

NOISE = 16.0
"""Standard deviation of the noise in the paper's photographs (SIDD, about 24 dB), in 8-bit grey levels."""
WINDOW = 7
"""Side of the window of ``local_std``, in pixels."""
FLAT, TEXTURED = 1.0, 5.0
"""Standard deviations, in grey levels, below which a place is flat and above which it is textured."""


def local_std(x: Tensor) -> Tensor:
    """Standard deviation over WINDOW x WINDOW pixels; planes are reflected at the border."""
    half = WINDOW // 2
    # float64: the difference of two squares would leave nothing of a small deviation.
    x64 = F.pad(x.double(), (half, half, half, half), mode="reflect")
    mean = F.avg_pool2d(x64, WINDOW, stride=1)
    return (F.avg_pool2d(x64**2, WINDOW, stride=1) - mean**2).clamp(min=0).sqrt().to(x.dtype)


def texture(bnn: Tensor, noisy: Tensor) -> Tensor:
    """Adaptive coefficient α: below 1/2 where BNN's output is flat, above where it is textured.

    With σ the ``local_std`` of BNN(y): sigmoid(σ − FLAT) where σ < FLAT, sigmoid(σ − TEXTURED) where
    σ > TEXTURED, 1/2 in between. A grey level is 1 / NOISE of the rms of y − BNN(y) over the plane.

    Args:
        bnn: BNN(y).
        noisy: y.
    """
    noise = (noisy - bnn).square().mean((2, 3), keepdim=True).sqrt()
    std = local_std(bnn) / noise.clamp(min=torch.finfo(noise.dtype).tiny) * NOISE
    return (F.relu(std - TEXTURED) - F.relu(FLAT - std)).sigmoid()


def bnn_loss(bnn: Tensor, noisy: Tensor) -> Tensor:
    """Loss of BNN: mean |BNN(y) − y|."""
    return (bnn - noisy).abs().mean()


def lan_loss(lan: Tensor, bnn: Tensor, alpha: Tensor) -> Tensor:
    """Loss of LAN: mean (1 − α)·|LAN(y) − BNN(y)|."""
    return ((1 - alpha) * (lan - bnn).abs()).mean()


def unet_loss(unet: Tensor, bnn: Tensor, lan: Tensor, alpha: Tensor) -> Tensor:
    """Loss of the U-Net: mean (1 − α)·|U(y) − BNN(y)| + α·|U(y) − LAN(y)|."""
    return ((1 - alpha) * (unet - bnn).abs() + alpha * (unet - lan).abs()).mean()
