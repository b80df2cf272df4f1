"""What `matched` costs, as ratios measured in one run (make bench-matched).

    python benchmarks/matched.py [--side 2048] [--engine openvino --precision bf16]

1. A plane with one evaluation of `matched`, against its engine calls alone.
2. The paper's setting, Repaint with 560 evaluations in torch eager with the same network, against `matched`:
   the time of single evaluations, in turn, and the PSNR of both results.
"""

from __future__ import annotations

import argparse
import platform
import time
from statistics import median

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio

from baikal_deploy import Denoiser
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.engines import AUTO
from baikal_deploy.live.timed import TimedEngine
from baikal_export.trained import TrainedModel
from baikal_training.camera import Camera
from baikal_training.checkpoint import Checkpoint
from baikal_training.losses import Objective
from baikal_training.simulate import simulate_nuclei
from baikal_training.unet import UNet
from baikal_training.unet_config import UNetConfig

PAPER_EVALUATIONS = 560
"""The most of the paper's settings: Repaint on Flywing."""
REPEATS = 5
PSNR = 12.0


def overhead(denoiser: Denoiser, side: int) -> float:
    """Median over planes of (time of a plane) / (time of its engine calls)."""
    timed = TimedEngine(denoiser.predictor.engine)
    plane = exposed(side)[0][None]
    sampler, ratios = make_sampler("matched", {}, {}), []
    recipe = denoiser.recipe(sampler, denoiser.measure([plane[0, :512, :512]], sampler), 0)
    denoiser.predictor = TiledPredictor(timed)
    for _ in range(REPEATS + 1):
        before, started = timed.seconds, time.perf_counter()
        denoiser.run(recipe, Stack(plane, [0]))
        ratios.append((time.perf_counter() - started) / (timed.seconds - before))
    denoiser.predictor = TiledPredictor(timed.engine)
    print(f"a plane of {side}², over its engine calls:", " ".join(f"{ratio:.3f}" for ratio in ratios[1:]))
    return median(ratios[1:])  # the first warms up


def exposed(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy plane, and what it shows."""
    clean = np.tile(simulate_nuclei((1, 512, 512), seed=3)[0], (-(-side // 512),) * 2)[:side, :side]
    camera = Camera.at_psnr(clean, PSNR)
    return camera.expose(clean, 1).astype(np.float32), camera.expected(clean).astype(np.float32)


@torch.no_grad()
def cost_ratio(denoiser: Denoiser, side: int = 512) -> float:
    """(PAPER_EVALUATIONS evaluations in torch eager) / (a plane with matched), timed in turn."""
    shape = UNetConfig()
    untrained = UNet(shape).state_dict()  # weights do not change the time
    manifest = denoiser.manifest
    checkpoint = Checkpoint(shape, manifest.schedule, Objective(), manifest.normalisation, untrained, {})
    network = TrainedModel.of_checkpoint(checkpoint).network().eval()
    plane, ratios = exposed(side)[0][None], []
    sampler = make_sampler("matched", {}, {})
    recipe = denoiser.recipe(sampler, denoiser.measure(list(plane), sampler), 0)
    x, t = torch.zeros(1, 1, side, side), torch.zeros(1)
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        network(x, t)
        eager = time.perf_counter() - started
        started = time.perf_counter()
        denoiser.run(recipe, Stack(plane, [0]))
        ratios.append(PAPER_EVALUATIONS * eager / (time.perf_counter() - started))
    print(f"{PAPER_EVALUATIONS} evaluations in torch eager, over a plane of {side}² with matched:",
          " ".join(f"{ratio:.0f}" for ratio in ratios[1:]))  # fmt: skip
    return median(ratios[1:])


def quality(denoiser: Denoiser) -> None:
    """PSNR of both on a plane of 256², in dB of the clean plane's range."""
    noisy, clean = exposed(256)
    for name, options in (("matched", {}), ("repaint", {"preset": "paper"})):
        result = denoiser.denoise(noisy, name, **options)
        print(f"{name} {options}: {peak_signal_noise_ratio(clean, result, data_range=np.ptp(clean)):.2f} dB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--engine", default=AUTO)
    parser.add_argument("--precision", default="fp32")
    args = parser.parse_args()
    with Denoiser.load(engine=args.engine, precision=args.precision) as denoiser:
        engine = denoiser.predictor.engine
        print(f"{platform.machine()}, {torch.get_num_threads()} threads; {engine.name} {engine.precision}")
        print(f"a plane over its engine calls: {overhead(denoiser, args.side):.3f} (wanted: at most 1.05)")
        print(f"the paper's setting over matched: {cost_ratio(denoiser):.0f} (wanted: at least 500)")
        quality(denoiser)


if __name__ == "__main__":
    main()
