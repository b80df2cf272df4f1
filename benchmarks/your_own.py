"""What a model gains on structures that it has not learnt, from how few clean images (docs/your-own.md).

    python benchmarks/your_own.py [--specimen NAME …] [--images 1 3 10 30] [--iterations 200]
        [--init general] [--crop 64] [--learning-rate …] [--augmentation …] [--side 256] [--planes 4]

For each specimen of own_structures.py and each number of images, baikal-train starts from --init and takes so
many iterations, exactly as a user's command does, with what that chooses for few images unless options say
otherwise. The planes that are denoised then, by one evaluation, are others of the same specimen, with
Poisson-Gaussian noise of 12 dB: PSNR in dB for a range of 1, mean over the planes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from own_structures import SPECIMENS, plane

from baikal_deploy import Denoiser
from baikal_export.onnx_file import export
from baikal_export.trained import TrainedModel
from baikal_training.camera import add_noise
from baikal_training.checkpoint import Checkpoint
from baikal_training.cli import main as baikal_train

LEVEL = 12.0
"""PSNR of the noisy planes, in dB."""
UNSEEN = 1000
"""Seed of the first plane that is denoised; those that are learnt from are numbered from 0."""
PASSED_ON = ("crop", "batch", "learning_rate", "augmentation")
"""Options that go to baikal-train as they are."""


def learn(specimen: str, count: int, options: argparse.Namespace, folder: Path) -> Path:
    """The exported model that has learnt `count` planes."""
    clean = folder / "clean"
    clean.mkdir()
    for seed in range(count):
        pixels = np.rint(plane(specimen, options.side, seed) * 60_000).astype(np.uint16)
        tifffile.imwrite(clean / f"{specimen}-{seed}.tif", pixels)
    learnt, exported = folder / "mine.pt", folder / "mine.onnx"
    given = [
        word
        for name in PASSED_ON
        if (value := getattr(options, name)) is not None
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    command = [clean, "-o", learnt, "--init", options.init, "--iterations", options.iterations, *given]
    command += ["--split", "100:0:0"]  # other planes are denoised afterwards: none need be set aside
    baikal_train([str(word) for word in command], standalone_mode=False)
    model = TrainedModel.of_checkpoint(Checkpoint.load(learnt))
    export(model.network(), model.manifest("mine"), exported)
    return exported


def psnr(model: str | Path, specimen: str, options: argparse.Namespace) -> float:
    """Mean PSNR in dB of planes that were not learnt from; without a model, of the noisy ones."""
    found = []
    with Denoiser.load(model, threads=options.threads) as denoiser:
        for seed in range(UNSEEN, UNSEEN + options.planes):
            clean = plane(specimen, options.side, seed)
            denoised = denoiser.denoise(add_noise(clean, LEVEL, seed), dtype=np.float64)
            found.append(-10 * np.log10(np.mean((denoised - clean) ** 2)))
    return float(np.mean(found))


def measured(specimen: str, options: argparse.Namespace) -> None:
    before = psnr(options.init, specimen, options)
    print(f"| {specimen} | none | | {before:.2f} | |", flush=True)
    for count in options.images:
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            model = learn(specimen, count, options, Path(folder))
            minutes = (time.process_time() - began) / 60
            after = psnr(model, specimen, options)
        print(f"| {specimen} | {count} | {minutes:.1f} | {after:.2f} | {after - before:+.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--specimen", nargs="+", choices=list(SPECIMENS), default=list(SPECIMENS))
    parser.add_argument("--images", nargs="+", type=int, default=[1, 3, 10, 30])
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--init", default="general", help="model to start from")
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--augmentation")
    parser.add_argument("--side", type=int, default=256, help="of the planes, in pixels")
    parser.add_argument("--planes", type=int, default=4, help="that are denoised")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(*sys.argv)
    print("| specimen | clean images | CPU minutes | PSNR, dB | gain, dB |\n|---|---|---|---|---|")
    for specimen in options.specimen:
        measured(specimen, options)


if __name__ == "__main__":
    main()
