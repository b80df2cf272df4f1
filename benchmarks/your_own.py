"""What a model gains on structures that it has not learnt, from how few clean images (docs/your-own.md).

    python benchmarks/your_own.py [--specimen NAME …] [--images 1 3 10 30] [--iterations 200] [--levels 12]
        [--init general] [--crop 64] [--learning-rate …] [--augmentation …] [--side 256] [--planes 4]
    python benchmarks/your_own.py --clean FOLDER --unseen FOLDER …

For each structure and each number of images, baikal-train starts from --init and takes so many iterations,
exactly as a user's command does, with what that chooses for few images unless options say otherwise. Then
other planes of the structure, with Poisson-Gaussian noise of each level, are denoised by one evaluation: PSNR
in dB for a range of 1, mean over the planes.

The structures are the specimens of own_structures.py, or the images of two folders: the first so many of
--clean, in the order of their names, are learnt, and those of --unseen are denoised; their percentiles 0.1
and 99.9 become 0 and 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from own_structures import SPECIMENS, plane

from baikal_deploy import Denoiser
from baikal_deploy.volumes.open import open_input
from baikal_export.onnx_file import export
from baikal_export.trained import TrainedModel
from baikal_training.camera import add_noise
from baikal_training.checkpoint import Checkpoint
from baikal_training.cli import main as baikal_train

UNSEEN = 1000
"""Seed of the first specimen that is denoised; those that are learnt from are numbered from 0."""
PASSED_ON = ("crop", "batch", "learning_rate", "augmentation")
"""Options that go to baikal-train as they are."""
ENDS = 0.1, 99.9
"""Percentiles of a plane of a folder that become 0 and 1."""


@dataclass(frozen=True)
class Structure:
    """Clean planes of one kind: `clean` gives the first so many to learn; `unseen` are within 0 … 1."""

    name: str
    clean: Callable[[int], list[np.ndarray]]
    unseen: list[NDArray[np.float32]]


def simulated(specimen: str, side: int, planes: int) -> Structure:
    def clean(count: int) -> list[np.ndarray]:
        return [np.rint(plane(specimen, side, seed) * 60_000).astype(np.uint16) for seed in range(count)]

    return Structure(specimen, clean, [plane(specimen, side, UNSEEN + seed) for seed in range(planes)])


def of_folders(clean: Path, unseen: Path) -> Structure:
    planes = read(clean)
    return Structure(
        clean.parent.name, lambda count: planes[:count], [scaled(image) for image in read(unseen)]
    )


def read(folder: Path) -> list[np.ndarray]:
    """The first plane of each image of a folder, in the order of names."""
    return [np.asarray(open_input(path).read([0])[0]) for path in sorted(folder.iterdir())]


def scaled(image: np.ndarray) -> NDArray[np.float32]:
    low, high = np.percentile(image, ENDS)
    return np.asarray(np.clip((image.astype(np.float32) - low) / (high - low), 0, 1), np.float32)


def learn(planes: list[np.ndarray], options: argparse.Namespace, folder: Path) -> Path:
    """The exported model that has learnt the planes."""
    clean = folder / "clean"
    clean.mkdir()
    for number, pixels in enumerate(planes):
        tifffile.imwrite(clean / f"{number}.tif", pixels)
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


def psnr(model: str | Path, unseen: list[NDArray[np.float32]], level: float, threads: int) -> float:
    """Mean PSNR in dB of planes with noise of a level, denoised."""
    found = []
    with Denoiser.load(model, threads=threads) as denoiser:
        for seed, clean in enumerate(unseen, UNSEEN):
            denoised = denoiser.denoise(add_noise(clean, level, seed), dtype=np.float64)
            found.append(-10 * np.log10(np.mean((denoised - clean) ** 2)))
    return float(np.mean(found))


def measured(structure: Structure, options: argparse.Namespace) -> None:
    def levels(model: str | Path) -> list[float]:
        return [psnr(model, structure.unseen, level, options.threads) for level in options.levels]

    before = levels(options.init)
    print(f"| {structure.name} | none | | {' | '.join(f'{value:.2f} |' for value in before)} |", flush=True)
    for count in options.images:
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            model = learn(structure.clean(count), options, Path(folder))
            minutes = (time.process_time() - began) / 60
            after = levels(model)
        figures = [f"{new:.2f} | {new - old:+.2f}" for old, new in zip(before, after, strict=True)]
        print(f"| {structure.name} | {count} | {minutes:.1f} | {' | '.join(figures)} |", flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--specimen", nargs="+", choices=list(SPECIMENS), default=list(SPECIMENS))
    parser.add_argument(
        "--clean", type=Path, help="folder of clean images to learn, in place of the specimens"
    )
    parser.add_argument("--unseen", type=Path, help="folder of other clean images, to denoise; with --clean")
    parser.add_argument("--images", nargs="+", type=int, default=[1, 3, 10, 30])
    parser.add_argument(
        "--levels", nargs="+", type=float, default=[12.0], help="PSNR of the noisy planes, dB"
    )
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--init", default="general", help="model to start from")
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--augmentation")
    parser.add_argument("--side", type=int, default=256, help="of the specimens' planes, in pixels")
    parser.add_argument("--planes", type=int, default=4, help="of a specimen that are denoised")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if (options.clean is None) != (options.unseen is None):
        parser.error("--clean and --unseen go together: images to learn, and others to denoise")
    return options


def main() -> None:
    options = parsed()
    print(*sys.argv)
    columns = " | ".join(f"{level:g} dB | gain" for level in options.levels)
    print(f"| structure | clean images | CPU minutes | {columns} |")
    print("|---" * (3 + 2 * len(options.levels)) + "|")
    if options.clean:
        return measured(of_folders(options.clean, options.unseen), options)
    for specimen in options.specimen:
        measured(simulated(specimen, options.side, options.planes), options)


if __name__ == "__main__":
    main()
