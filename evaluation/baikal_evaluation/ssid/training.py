"""Learns the three networks one after the other from noisy planes alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from time import process_time

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn

from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.ssid.losses import bnn_loss, lan_loss, texture, unet_loss
from baikal_evaluation.ssid.networks import BlindNeighbourhood, Denoiser, LocallyAware

Plane = NDArray[np.float32]
Batches = Iterator[Tensor]

WIDTH, DEPTH = 16, 4
LAN_WIDTH, LAN_BLOCKS = 32, 4
BATCH, CROP = 4, 64
LEARNING_RATE = 2e-3
SHARES = (0.5, 0.2, 0.3)
"""Shares of the CPU time, for BNN, LAN and the U-Net."""


def learn(planes: Sequence[Plane], seconds: float, seed: int) -> Denoiser:
    """Learn the three networks, one after the other.

    Args:
        planes: noisy planes (H, W) on the network's scale.
        seconds: CPU time of all three stages; each takes one step at least.
        seed: of weights and crops. What is learnt still depends on the machine's speed.

    Returns:
        The network of the third stage.

    Raises:
        EvaluationError: a loss became NaN or infinite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        bnn, lan = BlindNeighbourhood(WIDTH, DEPTH), LocallyAware(LAN_WIDTH, LAN_BLOCKS)
        unet = Denoiser(WIDTH, DEPTH)

    def lan_step(noisy: Tensor) -> Tensor:
        target = bnn(noisy)
        return lan_loss(lan(noisy), target, texture(target, noisy))

    def unet_step(noisy: Tensor) -> Tensor:
        target = bnn(noisy)
        return unet_loss(unet(noisy), target, lan(noisy), texture(target, noisy))

    draws = [crops(planes, np.random.default_rng([seed, stage])) for stage in range(len(SHARES))]
    times = [share * seconds for share in SHARES]
    train(bnn, lambda noisy: bnn_loss(bnn(noisy), noisy), draws[0], times[0])
    train(lan, lan_step, draws[1], times[1])
    train(unet, unet_step, draws[2], times[2])
    return unet


def train(net: nn.Module, loss: Callable[[Tensor], Tensor], batches: Batches, seconds: float) -> list[float]:
    """Minimise a loss for some CPU time, one step at least, and freeze the network.

    The learning rate falls along half a cosine.

    Args:
        net: the network.
        loss: of a batch.
        batches: endless.
        seconds: CPU time.

    Returns:
        The loss of every step.

    Raises:
        EvaluationError: a loss became NaN or infinite.
    """
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    began, progress = process_time(), 0.0
    losses: list[float] = []
    while progress < 1:
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * progress)) / 2
        optimiser.zero_grad()
        value = loss(next(batches))
        value.backward()
        optimiser.step()
        losses.append(float(value.detach()))
        if not math.isfinite(losses[-1]):
            raise EvaluationError(
                f"ssid: the loss became {losses[-1]} at step {len(losses)}; try another seed"
            )
        progress = (process_time() - began) / seconds
    net.requires_grad_(False)
    return losses


def crops(planes: Sequence[Plane], rng: Generator) -> Batches:
    """Endless batches (BATCH, 1, CROP, CROP) of random crops, turned and flipped.

    Args:
        planes: (H, W), of any sizes.
        rng: draws the crops.
    """
    while True:
        batch = np.stack([_crop(planes[int(rng.integers(len(planes)))], rng) for _ in range(BATCH)])
        yield torch.from_numpy(batch)[:, None].contiguous(memory_format=torch.channels_last)


def _crop(plane: Plane, rng: Generator) -> Plane:
    top, left = (int(rng.integers(max(side - CROP, 0) + 1)) for side in plane.shape)
    crop = at_least(plane[top : top + CROP, left : left + CROP], CROP, CROP)
    crop = np.rot90(crop, int(rng.integers(4)))
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def at_least(planes: Plane, height: int, width: int) -> Plane:
    """Planes (…, H, W), continued below and on the right by reflection to a size.

    Args:
        planes: of any size.
        height, width: pixels that they have at least afterwards.
    """
    missing = (max(side - have, 0) for side, have in zip((height, width), planes.shape[-2:], strict=True))
    around = [(0, 0)] * (planes.ndim - 2) + [(0, count) for count in missing]
    return np.pad(planes, around, mode="reflect")
