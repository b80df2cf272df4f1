"""Speed of training as a share of the bare torch step, and whether memory stays flat (make bench-train).

    python benchmarks/training.py [--steps 60] [--memory-steps 0]

1. Steps of baikal-train (reading, augmentation, noise, averaging, checks) and bare torch steps (forward,
   backward, AdamW) on one fixed batch, of the same network, in turn; the share is of their median times.
2. With --memory-steps N: resident memory after a tenth of N steps and after all of them, on small crops,
   which take less time; a leak per step shows all the same.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_training.config import TrainingConfig
from baikal_training.data import Augmentation, CleanVolume
from baikal_training.data.volumes import InMemory
from baikal_training.distributed import World, has_fast_bf16
from baikal_training.loop import Trainer
from baikal_training.losses import Diffusion, Objective
from baikal_training.simulate import simulate_nuclei
from baikal_training.unet import UNet
from baikal_training.unet_config import PRESETS

WARM_UP = 5
SCHEDULE = ScheduleSpec("linear").build()
DIFFUSION = Diffusion(SCHEDULE, Objective())


def volumes() -> list[CleanVolume]:
    """16 simulated planes of 512², 8-bit, so that they are dithered."""
    pixels = (simulate_nuclei((16, 512, 512), seed=0) * 255).astype(np.uint8)
    return [CleanVolume("simulated", InMemory("simulated", pixels), IntensityMap(0, 255), "0" * 64)]


def trainer_step(config: TrainingConfig, clean: list[CleanVolume]) -> Callable[[], None]:
    trainer = Trainer(UNet(PRESETS["light"]), DIFFUSION, SCHEDULE, config, World())
    steps = trainer.steps(clean, Augmentation(), workers=0)

    def step() -> None:
        next(steps)

    return step


def bare_step(config: TrainingConfig) -> Callable[[], None]:
    net = UNet(PRESETS["light"]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    x = torch.randn(config.batch, 1, config.crop, config.crop)
    t = torch.full((config.batch,), 300)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.bf16):
            loss = net(x, t).float().square().mean()
        loss.backward()
        optimiser.step()

    return step


def seconds(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def resident() -> float:
    """Memory of this process in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096 / 1e6


def watch_memory(config: TrainingConfig, steps: int) -> None:
    step = trainer_step(config, volumes())
    for count in range(steps):
        step()
        if count + 1 in (steps // 10, steps):
            print(f"resident memory after {count + 1} steps: {resident():.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--memory-steps", type=int, default=0)
    args = parser.parse_args()
    bf16 = has_fast_bf16(torch.device("cpu"))
    config = TrainingConfig(iterations=10**6, bf16=bf16)
    ours, bare = trainer_step(config, volumes()), bare_step(config)
    for _ in range(WARM_UP):
        ours()
        bare()
    times = np.array([(seconds(ours), seconds(bare)) for _ in range(args.steps)])
    mine, theirs = np.median(times, axis=0)
    precision = "bfloat16" if bf16 else "float32"
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {precision}")
    print(f"step of baikal-train {mine * 1e3:.0f} ms, bare torch step {theirs * 1e3:.0f} ms")
    print(f"baikal-train runs at {theirs / mine:.1%} of the bare step's speed")
    watch_memory(replace(config, crop=32), args.memory_steps)


if __name__ == "__main__":
    main()
