"""What denoising costs here, and with its peers, side by side in one run (make bench-peers).

    python benchmarks/peers.py [--most-planes 64] [--most-side 4096]

CPU seconds on one thread, so that other work on the machine counts little:

1. One plane of 512²: this runtime (fp32), the same network in torch eager, in torch compiled with bf16, and
   in the loop of diffusers' DDIM pipeline (per evaluation); CAREamics' default Noise2Void network; BM3D. Each
   is taken in turn, and compared with this runtime's plane in the same turn.
2. File to file, how this runtime's cost grows: 1 to 64 planes of 256², and one plane of 256² to 4096².

What is not installed, or does not work here, is named as left out.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import zarr

from baikal_deploy import Denoiser, Run, RunConfig
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.host.machine import cpu
from baikal_evaluation.careamics.environment import WORKER, Environment
from baikal_export.trained import TrainedModel
from baikal_training.camera import Camera
from baikal_training.checkpoint import Checkpoint
from baikal_training.losses import Objective
from baikal_training.simulate import simulate_nuclei
from baikal_training.unet import UNet
from baikal_training.unet_config import UNetConfig

SIDE, TURNS, STEPS = 512, 3, 4
LEVEL = 0.2
"""Timestep, as a share of all, at which the networks are evaluated: it does not change the time."""

Plane = np.ndarray[Any, Any]
Peer = Callable[[], float]
"""Evaluates a plane once, or several times, and returns the CPU seconds of one evaluation."""


def exposed(side: int) -> Plane:
    """A noisy plane of nuclei."""
    clean = np.tile(simulate_nuclei((1, 256, 256), seed=3)[0], (-(-side // 256),) * 2)[:side, :side]
    return Camera().expose(clean, 1)


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of some work, on all of this process' threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


def timed(work: Callable[[], object], evaluations: int = 1) -> Peer:
    """Some work whose first call does not count, by its seconds for an evaluation."""
    work()
    return lambda: seconds(work) / evaluations


def network_of(denoiser: Denoiser) -> torch.nn.Module:
    """A network of the shipped model's shape; its weights do not change the time."""
    shape, manifest = UNetConfig(), denoiser.manifest
    untrained = UNet(shape).state_dict()
    checkpoint = Checkpoint(shape, manifest.schedule, Objective(), manifest.normalisation, untrained, {})
    return TrainedModel.of_checkpoint(checkpoint).network().eval()


def eager(denoiser: Denoiser, plane: Plane) -> Peer:
    network, x, t = network_of(denoiser), _input(plane), torch.full((1,), 200.0)
    return timed(lambda: network(x, t))


def compiled(denoiser: Denoiser, plane: Plane) -> Peer:
    network, x, t = torch.compile(network_of(denoiser)), _input(plane), torch.full((1,), 200.0)

    def work() -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return network(x, t)

    return timed(work)


def pipeline(denoiser: Denoiser, plane: Plane) -> Peer:
    from diffusers import DDIMScheduler

    network, x = network_of(denoiser), _input(plane)
    scheduler = DDIMScheduler(num_train_timesteps=1000)
    scheduler.set_timesteps(STEPS)

    def work() -> object:  # what DDIMPipeline.__call__ does, from a given image
        image = x
        for t in scheduler.timesteps:
            eps = network(image, t.float()[None])
            eps = eps[0] if isinstance(eps, tuple) else eps
            image = scheduler.step(eps, t, image).prev_sample
        return image

    return timed(work, STEPS)


def careamics(denoiser: Denoiser, plane: Plane) -> Peer:
    python = Environment.find("CAREamics").python
    command = [python, str(Path(__file__).with_name("peers_careamics.py")), str(WORKER), str(len(plane))]
    return lambda: float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def block_matching(denoiser: Denoiser, plane: Plane) -> Peer:
    from bm3d import bm3d

    y = plane.astype(np.float64) / plane.max()
    return timed(lambda: bm3d(y, 0.1))


def _input(plane: Plane) -> torch.Tensor:
    return torch.from_numpy(plane.astype(np.float32) / 1000 - 1)[None, None]


PEERS: dict[str, Callable[[Denoiser, Plane], Peer]] = {
    "the same network, torch eager": eager,
    "the same network, torch compiled, bf16": compiled,
    "the same network, diffusers' DDIM loop, per evaluation": pipeline,
    "CAREamics, default Noise2Void network": careamics,
    "BM3D": block_matching,
}


def ours(denoiser: Denoiser, plane: Plane) -> Peer:
    sampler = make_sampler("matched", {"evaluations": 1}, {})
    recipe = denoiser.recipe(sampler, denoiser.measure([plane], sampler), 0)
    return timed(lambda: denoiser.run(recipe, Stack(plane[None], [0])))


@torch.no_grad()
def side_by_side(denoiser: Denoiser) -> None:
    """A row for each peer: its seconds over ours in the same turn, and why some are left out."""
    plane = exposed(SIDE)
    own = ours(denoiser, plane)
    print(f"\n| one plane of {SIDE}² | CPU seconds | times this runtime |\n|---|---|---|")
    spent = median(own() for _ in range(TURNS))
    print(f"| this runtime, {denoiser.predictor.engine.name} fp32 | {spent:.2f} | 1 |", flush=True)
    left_out = []
    for name, make in PEERS.items():
        try:
            peer = make(denoiser, plane)
            turns = [(peer(), own()) for _ in range(TURNS)]
        except Exception as error:  # whatever a peer runs into
            left_out.append(f"{name} ({type(error).__name__}: {' '.join(str(error).split())[:80]})")
            continue
        ratio = median(theirs / mine for theirs, mine in turns)
        print(f"| {name} | {median(theirs for theirs, _ in turns):.2f} | {ratio:.2f} |", flush=True)
    for reason in left_out:
        print(f"\nLeft out: {reason}")


def file_to_file(shape: tuple[int, int, int]) -> float:
    """CPU seconds of a run, from file to file, after planning."""
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "in.zarr", Path(name) / "out.ome.zarr"
        chunks = (1, min(shape[1], 512), min(shape[2], 512))
        array = zarr.create_array(source, shape=shape, dtype="uint16", chunks=chunks)
        array[:] = np.broadcast_to(exposed(shape[1]), shape)
        config = RunConfig(source, target, engine="onnx-cpu", sampler="matched")
        with Run(config, threads=1) as run:
            return seconds(run.execute)


def growth(most_planes: int, most_side: int) -> None:
    """Seconds for each megapixel, over planes and over their side."""
    counts = [count for count in (1, 4, 16, 64) if count <= most_planes]
    sides = [side for side in (256, 512, 1024, 2048, 4096) if side <= most_side]
    shapes = [(count, 256, 256) for count in counts] + [(1, side, side) for side in sides[1:]]
    print("\n| file to file | CPU seconds | a megapixel |\n|---|---|---|")
    for shape in shapes:
        spent = file_to_file(shape)
        print(f"| {shape[0]} x {shape[1]}² | {spent:.2f} | {spent / np.prod(shape) * 1e6:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--most-planes", type=int, default=64)
    parser.add_argument("--most-side", type=int, default=4096)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{cpu().model}; {platform.machine()}, one thread; torch {torch.__version__}")
    with Denoiser.load(engine="onnx-cpu", threads=1) as denoiser:
        side_by_side(denoiser)
    growth(args.most_planes, args.most_side)


if __name__ == "__main__":
    main()
