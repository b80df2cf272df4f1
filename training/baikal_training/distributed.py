"""Data-parallel training under torchrun, or one process without it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from baikal_deploy.errors import ConfigError


@dataclass(frozen=True)
class World:
    """The processes that train together, and the device of this one.

    Attributes:
        rank: number of this process.
        size: number of processes.
        local: number of those on this machine.
        device: that this one computes on.
    """

    rank: int = 0
    size: int = 1
    local: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """True in the one process that writes files and talks."""
        return self.rank == 0

    def wrap(self, net: nn.Module) -> nn.Module:
        """A network whose gradients are averaged over all processes."""
        return DistributedDataParallel(net) if self.size > 1 else net

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a number on the device over all processes; a GPU is not waited for."""
        if self.size == 1:
            return value
        total = value.double()
        dist.all_reduce(total)
        return total / self.size

    def from_main(self, value: float) -> float:
        """The main process' number, everywhere. It passes from host to host: no GPU is waited for."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(shared, src=0)
        return float(shared)


@contextmanager
def world(device: str) -> Iterator[World]:
    """Join the processes that torchrun has started; without torchrun, this process alone.

    Args:
        device: "cpu", "cuda", or "auto": CUDA where torch finds it.

    Raises:
        ConfigError: CUDA was asked for and torch does not find it.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch finds no CUDA device; check its build and the driver")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(device=torch.device(device))
        return
    place = torch.device(device, int(os.environ["LOCAL_RANK"])) if device == "cuda" else torch.device(device)
    if device == "cuda":
        torch.cuda.set_device(place)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size, int(os.environ.get("LOCAL_WORLD_SIZE", size)), place)
    finally:
        dist.destroy_process_group()


def has_fast_bf16(device: torch.device) -> bool:
    """True if the device computes bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
