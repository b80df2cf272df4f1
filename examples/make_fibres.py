"""Make the picture of fibres in docs/results.md: clean, noisy, by BM3D, and by this project.

    python examples/make_fibres.py [FILE.png] [--model general]

Filaments of the simulator with seeds that no model has learnt from, white Poisson-Gaussian noise; BM3D in the
domain of the Anscombe transform (the extra bm3d, for non-commercial use). Boxes are where the model's
result differs most from the clean plane in what is as fine as a fibre. Prints PSNR, and how many of the clean
plane's ridges are still there at half their height or more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, maximum_filter

from baikal_deploy import Denoiser
from baikal_evaluation.methods import Spec
from baikal_training.camera import add_noise
from baikal_training.simulate import simulate

DEFAULT = Path(__file__).parents[1] / "docs" / "images" / "fibres.png"
SEEDS = (4, 2)
LEVELS = (12.0, 9.0)
"""PSNR of the noisy planes in dB, one for each seed."""
SIDE, GAP = 224, 4
FINE, COARSE = 1.0, 3.0
"""Sigmas of the two blurs between which fibres are, in pixels."""
BOXES, BOX = 3, 32
RIDGE = 0.3
"""Height of a ridge of the clean plane from which on it counts, of the highest one's (percentile 99)."""
HALF = 0.5
GAMMA, GREYS = 0.6, 40
Plane = NDArray[np.float64]


def fibres(plane: Plane) -> Plane:
    """What is as fine as a fibre."""
    return np.asarray(gaussian_filter(plane, FINE) - gaussian_filter(plane, COARSE))


def kept(result: Plane, clean: Plane) -> float:
    """Share of the ridges' points at which the result has half the height of the clean plane or more."""
    height = fibres(clean)
    ridges = height > RIDGE * np.percentile(height, 99)
    return float(np.mean(fibres(result)[ridges] > HALF * height[ridges]))


def worst(result: Plane, clean: Plane) -> list[tuple[int, int]]:
    """Corners of the BOXES boxes in which fibres differ most; none overlap."""
    lost = gaussian_filter(np.square(fibres(result) - fibres(clean)), BOX / 4)
    inside = lost[BOX // 2 : -BOX // 2, BOX // 2 : -BOX // 2]
    peaks = np.argwhere(inside == maximum_filter(inside, 2 * BOX))
    order = np.argsort([-inside[tuple(peak)] for peak in peaks])
    return [(int(y), int(x)) for y, x in peaks[order[:BOXES]]]


def boxed(plane: Plane, corners: list[tuple[int, int]]) -> Plane:
    """The plane with white frames, clipped to 0 … 1."""
    drawn = np.clip(plane, 0, 1)
    for y, x in corners:
        for edge in (y, y + BOX - 1):
            drawn[edge, x : x + BOX] = 1
        for edge in (x, x + BOX - 1):
            drawn[y : y + BOX, edge] = 1
    return np.pad(drawn, ((0, GAP), (0, GAP)), constant_values=1)


def row(denoiser: Denoiser, seed: int, level: float) -> Plane:
    """Clean, noisy, BM3D's and the model's plane side by side."""
    clean = simulate("filaments", (1, 1, SIDE, SIDE), seed)[0, 0]
    noisy = add_noise(clean, level, seed)
    bm3d = Spec.parse("anscombe-bm3d").make(None).denoise(noisy[None], None).planes[0]
    ours = denoiser.denoise(noisy, dtype=np.float64)
    planes = [np.asarray(plane, np.float64) for plane in (clean, noisy, bm3d, ours)]
    for name, plane in zip(("noisy", "BM3D", "model"), planes[1:], strict=True):
        psnr = -10 * np.log10(np.mean((plane - planes[0]) ** 2))
        print(f"seed {seed}, {name}: {psnr:.2f} dB, {kept(plane, planes[0]):.0%} of the ridges kept")
    corners = worst(planes[3], planes[0])
    return np.hstack([boxed(plane, [] if plane is planes[1] else corners) for plane in planes])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", nargs="?", type=Path, default=DEFAULT)
    parser.add_argument("--model", default="general")
    options = parser.parse_args()
    with Denoiser.load(options.model) as denoiser:
        rows = [row(denoiser, seed, level) for seed, level in zip(SEEDS, LEVELS, strict=True)]
    sheet = np.vstack(rows)[:-GAP, :-GAP]
    greys = np.rint(sheet**GAMMA * (GREYS - 1)) * (255 / (GREYS - 1))
    Image.fromarray(greys.astype(np.uint8)).save(options.output, optimize=True)


if __name__ == "__main__":
    main()
