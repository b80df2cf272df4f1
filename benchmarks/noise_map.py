"""A network that is given a map of noise levels, against equalising the noise: PSNR of one evaluation each.

    python benchmarks/noise_map.py CHECKPOINT CLEAN PAIRS --minutes 6

Both begin with CHECKPOINT (of baikal-train) and learn on from CLEAN for as many CPU minutes:

equalised  the network as it is, on white noise; planes are equalised as the runtime does it
map        a second input, whose weights begin at 0: log(σ(s)/σ) with σ(s) as the equaliser takes it, from the
           noisy plane blurred. It learns from noise of std² = a·x + b, with random shares of a and b.
           A map of zeros is the ordinary timestep.

Every plane of PAIRS gets one evaluation by each at the geometric mean of its noise, from one fit of the
noise, and so does the network of CHECKPOINT as it was ("before"). PSNR is on the range of the clean plane.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor, nn
from torch.nn import functional as F

from baikal_deploy.diffusion.samplers.matched import posterior_mean
from baikal_deploy.measurement.analysis import analyse
from baikal_deploy.measurement.channel import Measurement, measure
from baikal_deploy.measurement.equaliser import Equaliser
from baikal_evaluation.pairs import find_pairs
from baikal_training.checkpoint import Checkpoint
from baikal_training.config import TrainingConfig
from baikal_training.data import AUGMENTATIONS, in_memory, open_clean
from baikal_training.distributed import World
from baikal_training.loop import Trainer
from baikal_training.losses import Diffusion
from baikal_training.unet import UNet
from baikal_training.validation import predictor

STEEPEST = (0.1, 100.0)
"""Range of var(bright)/var(dark) − 1 in training."""
BLUR = 4.0
"""Sigma in pixels, as in the runtime's equaliser."""

Plane = np.ndarray


class MapUNet(nn.Module):
    """(N, 2, H, W): planes, and maps of log noise level over the timestep's."""

    def __init__(self, net: UNet) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        stem = self.net.stem
        self.map_stem = nn.Conv2d(stem.in_channels, stem.out_channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.map_stem.weight)
        self.level = torch.zeros(1)
        self.net.stem.register_forward_hook(self._add_map)

    def _add_map(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + self.map_stem(F.pixel_unshuffle(self.level, self.net.config.unshuffle))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        planes, self.level = x[:, :1], x[:, 1:]
        return self.net(planes, t)


class Given(nn.Module):
    """A network with its map, for planes alone."""

    def __init__(self, net: MapUNet, level: Plane) -> None:
        super().__init__()
        self.net, self.level = net, torch.from_numpy(level)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.net(torch.cat([x, self.level], 1), t)


class MapDiffusion(Diffusion):
    """The same loss with noise that depends on the signal."""

    def loss(self, net, x0, t, noise):  # type: ignore[no-untyped-def]
        steepness = 10 ** (torch.rand(len(x0), 1, 1, 1) * 3 - 1)
        ratio = relative_std(x0, steepness)
        noisy = x0 + self.noise[t][:, None, None, None] / self.signal[t][:, None, None, None] * ratio * noise
        known = relative_std(blurred(noisy), steepness)
        return super().loss(lambda x, steps: net(torch.cat([x, known.log()], 1), steps), x0, t, ratio * noise)


def relative_std(planes: Tensor, steepness: Tensor) -> Tensor:
    """Standard deviation of noise over its geometric mean; the dark is −1, the bright 1."""
    std = (1 + steepness * (planes + 1).clamp(min=0) / 2).sqrt()
    return std / std.log().mean((1, 2, 3), keepdim=True).exp()


def blurred(planes: Tensor) -> Tensor:
    reach = int(3 * BLUR)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / BLUR) ** 2)
    taps /= taps.sum()
    padded = F.pad(planes, [reach] * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, taps[None, None, None]), taps[None, None, :, None])


def learn(net: nn.Module, diffusion: Diffusion, checkpoint: Checkpoint, clean: Path, minutes: float) -> None:
    """Train in place; the network ends with the averaged weights."""
    config = TrainingConfig(iterations=None, minutes=minutes, clock="cpu", batch=8, crop=64, warm_up=50)
    trainer = Trainer(net, diffusion, checkpoint.schedule.build(), config, World())
    volumes = in_memory(open_clean([clean], checkpoint.normalisation).volumes, 2 << 30)
    for step in trainer.steps(volumes, AUGMENTATIONS["narrow"], 0):
        if step.is_last:
            print(f"learnt {step.iteration} steps, loss {step.loss:.4f}", flush=True)
    net.load_state_dict(trainer.ema.weights)
    net.eval()


class Judge:
    """Denoises planes with one evaluation of any of the networks."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.schedule = checkpoint.schedule.build()
        self.diffusion = Diffusion(self.schedule, checkpoint.objective)
        self.normalisation = checkpoint.normalisation
        self.first = checkpoint.network()

    def measurement(self, plane: Plane) -> Measurement:
        def estimate(normalised: Plane, sigma: float) -> Plane:
            return self.mean(self.first, normalised[None, None], sigma)[0, 0]

        found = measure([plane], self.normalisation, estimate)
        return analyse([plane], self.normalisation, found, estimate)

    def mean(self, net: nn.Module, planes: Plane, sigma: float) -> Plane:
        """The posterior mean of planes (N, 1, H, W)."""
        step = round(self.schedule.timestep_of_noise(sigma))
        level = float(self.schedule.noise_levels[step])
        return posterior_mean(predictor(net, self.diffusion), planes, self.schedule, level)

    def equalised(self, net: nn.Module, plane: Plane, found: Measurement) -> Plane:
        z, equaliser = self._prepared(plane, found)
        x0 = equaliser.back(self.mean(net, z[:, None], found.matched_sigma)[:, 0])
        return found.intensity.denormalise(x0[0], np.float64)

    def mapped(self, net: MapUNet, plane: Plane, found: Measurement) -> Plane:
        y, equaliser = found.intensity.normalise(plane)[None], self._prepared(plane, found)[1]
        level = np.log(equaliser.spread)[:, None]
        x0 = self.mean(Given(net, level), y[:, None], found.matched_sigma)
        return found.intensity.denormalise(x0[0, 0], np.float64)

    def _prepared(self, plane: Plane, found: Measurement) -> tuple[Plane, Equaliser]:
        assert found.noise is not None
        return Equaliser.equalised(plane[None], found.noise, found.intensity)


def planes(path: Path, side: int) -> Iterator[tuple[Plane, Plane]]:
    """(noisy, clean) planes, cut to multiples of the network's downsampling."""
    for pair in find_pairs(path):
        noisy, clean = pair.read()
        assert clean is not None, "a clean side is needed"
        height, width = (length // side * side for length in noisy.shape[-2:])
        for one, other in zip(noisy, clean, strict=True):
            yield one[:height, :width].astype(np.float64), other[:height, :width].astype(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("clean", type=Path)
    parser.add_argument("pairs", type=Path, nargs="+")
    parser.add_argument("--minutes", type=float, default=6.0)
    args = parser.parse_args()
    torch.manual_seed(0)
    checkpoint = Checkpoint.load(args.checkpoint)
    judge = Judge(checkpoint)
    plain, mapped = checkpoint.network(), MapUNet(checkpoint.network())
    learn(plain, judge.diffusion, checkpoint, args.clean, args.minutes)
    learn(mapped, MapDiffusion(judge.schedule, checkpoint.objective), checkpoint, args.clean, args.minutes)
    print("| PSNR, dB | planes | equalised, before | equalised | map |\n|---|---|---|---|---|")
    for pairs in args.pairs:
        rows = []
        for noisy, clean in planes(pairs, checkpoint.unet.downsampling):
            found = judge.measurement(noisy)
            results = (
                judge.equalised(judge.first, noisy, found),
                judge.equalised(plain, noisy, found),
                judge.mapped(mapped, noisy, found),
            )
            rows.append([peak_signal_noise_ratio(clean, one, data_range=np.ptp(clean)) for one in results])
        means = " | ".join(f"{mean:.2f}" for mean in np.mean(rows, axis=0))
        print(f"| {pairs.name} | {len(rows)} | {means} |", flush=True)


if __name__ == "__main__":
    main()
