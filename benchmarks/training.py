"""Time of a training step against the bare torch step, what the crops take, and memory (make bench-train).

    python benchmarks/training.py [--steps 60] [--batch 16] [--workers N] [--clock wall|cpu]
        [--memory-steps 0]

1. Steps of baikal-train (reading, augmentation, noise, averaging, checks) and bare torch steps (forward,
   backward, AdamW) on one fixed batch, of the same network, in turn, on a GPU if there is one. The ratio is
   of their median times; 1.1 at most is wanted. On a machine that others use too, --clock cpu compares CPU
   time, which their work does not lengthen; it counts this process alone, without its workers.
2. The share of a bare step that making its crops takes, which decides whether workers pay.
3. With --memory-steps N: resident memory after a tenth of N steps and after all of them, on small crops,
   which take less time; a leak per step shows all the same.
"""

from __future__ import annotations

import argparse
import itertools
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
from baikal_training.data import Augmentation, CleanVolume, CropDataset
from baikal_training.data.volumes import InMemory
from baikal_training.distributed import World, has_fast_bf16
from baikal_training.loader import default_workers
from baikal_training.loop import Trainer
from baikal_training.losses import Diffusion, Objective
from baikal_training.samples import SampleDataset, TimestepSampler
from baikal_training.simulate import simulate_nuclei
from baikal_training.unet import UNet
from baikal_training.unet_config import PRESETS

WARM_UP = 3
SCHEDULE = ScheduleSpec("linear").build()


def volumes() -> list[CleanVolume]:
    """16 simulated planes of 512², 8-bit, so that they are dithered."""
    pixels = (simulate_nuclei((16, 512, 512), seed=0) * 255).astype(np.uint8)
    return [CleanVolume("simulated", InMemory("simulated", pixels), IntensityMap(0, 255), "0" * 64)]


def trainer_step(
    config: TrainingConfig, clean: list[CleanVolume], device: torch.device, workers: int
) -> Callable[[], None]:
    diffusion = Diffusion(SCHEDULE, Objective(), device)
    trainer = Trainer(UNet(PRESETS["light"]), diffusion, SCHEDULE, config, World(device=device))
    steps = trainer.steps(clean, Augmentation(), workers)

    def step() -> None:
        next(steps)

    return step


def bare_step(config: TrainingConfig, device: torch.device) -> Callable[[], None]:
    net = UNet(PRESETS["light"]).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    x = torch.randn(config.batch, 1, config.crop, config.crop, device=device)
    t = torch.full((config.batch,), 300, device=device)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.bf16):
            loss = net(x, t).float().square().mean()
        loss.backward()
        optimiser.step()

    return step


def crops(config: TrainingConfig, clean: list[CleanVolume]) -> Callable[[], None]:
    """The making of one batch."""
    dataset = CropDataset(clean, config.crop, config.seed, Augmentation())
    samples = SampleDataset(dataset, TimestepSampler(SCHEDULE, config.timesteps), config.seed)
    numbers = itertools.count()

    def make() -> None:
        for _ in range(config.batch):
            samples[next(numbers)]

    return make


def seconds(step: Callable[[], None], clock: Callable[[], float], device: torch.device) -> float:
    """Seconds of a few steps, for each: a GPU is waited for once, at their end, as in a training."""
    count = 10 if device.type == "cuda" else 1
    started = clock()
    for _ in range(count):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (clock() - started) / count


def resident() -> float:
    """Memory of this process in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096 / 1e6


def watch_memory(config: TrainingConfig, steps: int, device: torch.device) -> None:
    step = trainer_step(config, volumes(), device, 0)
    for count in range(steps):
        step()
        if count + 1 in (steps // 10, steps):
            print(f"resident memory after {count + 1} steps: {resident():.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--memory-steps", type=int, default=0)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clock = time.process_time if args.clock == "cpu" else time.perf_counter
    workers = default_workers(device) if args.workers is None else args.workers
    config = TrainingConfig(iterations=10**6, batch=args.batch, bf16=has_fast_bf16(device))
    steps = (
        trainer_step(config, volumes(), device, workers),
        bare_step(config, device),
        crops(config, volumes()),
    )
    for step in steps * WARM_UP:
        step()
    times = np.array([[seconds(step, clock, device) for step in steps] for _ in range(args.steps)])
    mine, bare, made = np.median(times, axis=0) * 1e3
    precision = "bfloat16" if config.bf16 else "float32"
    threads = f"{torch.get_num_threads()} threads, {workers} workers"
    print(f"{platform.machine()}, {device.type}, {threads}, {precision}, {args.clock} time")
    print(f"step of baikal-train {mine:.1f} ms, bare torch step {bare:.1f} ms, its crops {made:.1f} ms")
    print(f"a step takes {mine / bare:.3f} times the bare torch step")
    watch_memory(replace(config, crop=32), args.memory_steps, device)


if __name__ == "__main__":
    main()
