"""What --model auto takes, and what that loses against the best model and wins against the default.

    python benchmarks/which_model.py [--pairs PAIRS] [--clean FOLDER] [--simulated 1] [--default MODEL]

--pairs      noisy and clean images, as baikal-eval takes them
--clean      a folder of images without noise, seen by a camera at 12 and 15 dB
--simulated  number of planes of each of some scenes of baikal-simulate, seen by a camera at 12 dB

Of each image the middle of the first plane is used, and all shipped models make one evaluation of it.
PSNR is of the range of the clean crop, after a linear fit to it, as the two sides of some pairs differ in
their scale. Prints a line for each crop, and the table of docs/models.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baikal_deploy import Denoiser
from baikal_deploy.denoising.suiting import best_suited
from baikal_deploy.models.manifest import DEFAULT_MODEL, shipped_models
from baikal_evaluation.pairs import find_pairs
from baikal_training.camera import Camera
from baikal_training.data.readers import images
from baikal_training.simulate import simulate

SIDE = 256
LEVELS = (15.0, 12.0)
"""Noise that clean images are seen with, in dB."""
SCENES = ("nuclei", "tribolium", "flywing", "outlines", "filaments")
SIMULATED_LEVEL = 12.0
SEED = 9100
"""Of the simulated planes and the noise: none was trained on, and nothing was chosen by them."""

Plane = NDArray[np.generic]


@dataclass(frozen=True)
class Crop:
    """A noisy crop (H, W), the clean one, the group that it counts in, and its name."""

    group: str
    name: str
    noisy: Plane
    clean: Plane


@dataclass(frozen=True)
class Choice:
    """PSNR in dB of the model that was taken, of the best one, and of the default, on a crop of a group."""

    group: str
    taken: float
    best: float
    usual: float


def of_pairs(path: Path) -> Iterator[Crop]:
    for pair in find_pairs(path):
        noisy, clean = pair.read()
        if clean is not None:
            yield Crop("pairs", pair.name, middle(noisy[0]), middle(clean[0]))


def of_clean(folder: Path) -> Iterator[Crop]:
    for number, path in enumerate(sorted(folder.iterdir())):
        planes = next(iter(images(path))).planes(None)
        _, height, width = planes.shape
        plane = middle(planes.read(0, slice(0, height), slice(0, width))).astype(np.float32)
        low, high = np.percentile(plane, (0.1, 99.9))
        clean = np.clip((plane - low) / (high - low), 0, 1)
        for level in LEVELS:
            name = f"{path.stem}, {level:g} dB"
            yield Crop("clean images, noise added", name, *exposed(clean, level, SEED + number))


def of_scenes(count: int) -> Iterator[Crop]:
    for scene in SCENES:
        for number in range(count):
            clean = simulate(scene, (1, 1, SIDE, SIDE), SEED + number)[0, 0]
            yield Crop("simulated", f"{scene} {number}", *exposed(clean, SIMULATED_LEVEL, SEED + number))


def exposed(clean: Plane, level: float, seed: int) -> tuple[Plane, Plane]:
    """What a camera sees of a clean plane (0 … 1), and what it would see without noise."""
    camera = Camera.at_psnr(clean, level)
    return camera.expose(clean, seed), camera.expected(clean)


def middle(plane: Plane) -> Plane:
    top, left = (max(0, (length - SIDE) // 2) for length in plane.shape)
    return np.ascontiguousarray(plane[top : top + SIDE, left : left + SIDE])


def psnr(result: Plane, clean: Plane) -> float:
    """PSNR in dB after the linear fit that brings the result nearest to the clean plane."""
    found, truth = (np.ravel(plane).astype(np.float64) for plane in (result, clean))
    slope, offset = np.polyfit(found, truth, 1)
    return float(10 * np.log10(np.ptp(truth) ** 2 / np.mean((slope * found + offset - truth) ** 2)))


def choice(crop: Crop, denoisers: Mapping[str, Denoiser], default: str) -> Choice:
    found = {
        name: psnr(one.denoise(crop.noisy, budget="preview", dtype=np.float32), crop.clean)
        for name, one in denoisers.items()
    }
    suited = best_suited([crop.noisy], denoisers, default)
    told = ", ".join(f"{name} {found[name]:.2f} dB ({suited.errors.get(name, 0):+.4f})" for name in found)
    print(f"{crop.group}, {crop.name}: takes {suited.name}; {told}", flush=True)
    return Choice(crop.group, found[suited.name], max(found.values()), found[default])


def report(choices: list[Choice]) -> None:
    print("\n| | crops | takes the best | dB against the best | dB against the default | worst |")
    print("|---|---|---|---|---|---|")
    for group in dict.fromkeys(one.group for one in choices):
        rows = [(one.taken, one.best, one.usual) for one in choices if one.group == group]
        taken, best, usual = np.array(rows).T
        print(
            f"| {group} | {len(rows)} | {np.sum(taken == best)} | {np.mean(taken - best):+.2f} | "
            f"{np.mean(taken - usual):+.2f} | {np.min(taken - usual):+.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--clean", type=Path)
    parser.add_argument("--simulated", type=int, default=1)
    parser.add_argument("--default", default=DEFAULT_MODEL, help="the model that is taken in doubt")
    options = parser.parse_args()
    crops = [
        *([] if options.pairs is None else of_pairs(options.pairs)),
        *([] if options.clean is None else of_clean(options.clean)),
        *of_scenes(options.simulated),
    ]
    with ExitStack() as stack:
        denoisers = {
            name: stack.enter_context(Denoiser.load(path)) for name, path in shipped_models().items()
        }
        report([choice(crop, denoisers, options.default) for crop in crops])


if __name__ == "__main__":
    main()
