"""Speed of a Repaint run, as ratios measured in one run (make bench).

    python benchmarks/speed.py [--planes 32] [--side 512]

1. Share of a run, from file to file, that is spent outside the engine.
2. The same network in torch eager with a plain Repaint loop, against our run, plane by plane in turn.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import zarr

from baikal_deploy import Run, RunConfig
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.live.timed import TimedEngine
from baikal_export.trained import TrainedModel
from baikal_training.camera import add_noise
from baikal_training.checkpoint import Checkpoint
from baikal_training.losses import Objective
from baikal_training.simulate import simulate_nuclei
from baikal_training.unet import UNet
from baikal_training.unet_config import UNetConfig

PAIRS = 5
"""Planes that are timed with both loops."""


def outside_engine(folder: Path, planes: int, side: int) -> float:
    """Share of the wall time of a run from file to file that is not spent in engine calls."""
    clean = simulate_nuclei((4, side, side), seed=3)
    noisy = np.concatenate([add_noise(clean, 15, seed) for seed in range(-(-planes // 4))])[:planes]
    counts = np.clip(noisy * 1000 + 500, 0, 65535).astype(np.uint16)
    source = zarr.create_array(folder / "in.zarr", shape=counts.shape, dtype="uint16", chunks=(1, side, side))
    source[:] = counts
    with Run(RunConfig(folder / "in.zarr", sampler="repaint")) as run:
        denoiser = run.models.of(0).denoiser
        timed = TimedEngine(denoiser.predictor.engine)
        denoiser.predictor = TiledPredictor(timed)
        seconds = run.execute().seconds
    print(f"run of {planes} planes of {side}²: {seconds:.1f} s, of which engine {timed.seconds:.1f} s")
    return 1 - timed.seconds / seconds


@torch.no_grad()
def torch_repaint(network: torch.nn.Module, y: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Repaint with renoising as one would write it first: torch eager, no tricks."""
    schedule, sampler = recipe.schedule, recipe.sampler
    start, stop = schedule.index_of(sampler.start), schedule.index_of(sampler.stop)
    weights = sampler.request.mixing_weights(start, stop)
    levels, betas = schedule.alphas_cumprod, schedule.betas
    x = levels[start] ** 0.5 * y + (1 - levels[start]) ** 0.5 * torch.randn_like(y)
    for repeat in range(sampler.request.repeats):
        for i in range(start if repeat else 0):
            x = (1 - betas[i]) ** 0.5 * x + betas[i] ** 0.5 * torch.randn_like(y)
        for i in reversed(range(start)):
            eps = network(x, torch.full((1,), float(schedule.timesteps[i])))
            x0 = ((x - (1 - levels[i]) ** 0.5 * eps) / levels[i] ** 0.5).clamp(-1.15, 2.2)
            x = torch.from_numpy(schedule.posterior_mean(x0.numpy(), x.numpy(), i))
            if i > 0:
                x = x + float(schedule.reverse_std(i, "fixed_small")) * torch.randn_like(y)
            if weights[i]:
                noisy = levels[i] ** 0.5 * y + (1 - levels[i]) ** 0.5 * torch.randn_like(y)
                x = (1 - weights[i]) * x + weights[i] * noisy
    return x


def torch_ratio(folder: Path, side: int) -> float:
    """Median over planes of (torch eager loop) / (our run), timed in turn."""
    shape, ratios = UNetConfig(), []
    with Run(RunConfig(folder / "in.zarr", folder / "unused.ome.zarr", sampler="repaint")) as run:
        denoiser = run.models.of(0).denoiser
        manifest = denoiser.manifest
        untrained = UNet(shape).state_dict()  # weights do not change the time
        checkpoint = Checkpoint(shape, manifest.schedule, Objective(), manifest.normalisation, untrained, {})
        network, recipe = TrainedModel.of_checkpoint(checkpoint).network().eval(), run.recipes.first(0)
        for plane in range(PAIRS + 1):
            pixels = run.volume.read([plane])
            started = time.perf_counter()
            denoiser.run(recipe, Stack(pixels, [plane]))
            ours = time.perf_counter() - started
            started = time.perf_counter()
            y = torch.from_numpy(recipe.measurement.intensity.normalise(pixels))[None]
            torch_repaint(network, y, recipe)
            ratios.append((time.perf_counter() - started) / ours)
    print("torch eager / ours, plane by plane:", " ".join(f"{ratio:.2f}" for ratio in ratios[1:]))
    return float(np.median(ratios[1:]))  # the first pair warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--planes", type=int, default=32)
    parser.add_argument("--side", type=int, default=512)
    args = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as name:
        share = outside_engine(Path(name), args.planes, args.side)
        ratio = torch_ratio(Path(name), args.side)
    print(f"time outside the engine: {100 * share:.1f} % of the run (wanted: at most 8 %)")
    print(f"torch eager with a plain loop: {ratio:.2f} times our time per plane (wanted: at least 1.5)")


if __name__ == "__main__":
    main()
