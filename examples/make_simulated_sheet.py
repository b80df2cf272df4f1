"""Make the contact sheets of the simulator's documentation.

One shows tissues clean, noisy, cut and moving, the other how the pictures of cells vary.

python examples/make_simulated_sheet.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import zoom

from baikal_training.camera import Camera
from baikal_training.simulate import load_scene, simulate

DEFAULT = Path(__file__).parents[1] / "docs" / "images"
TISSUES = ("tribolium", "planaria", "flywing")
CELLS = ("outlines", "filaments", "mitochondria", "vesicles")
SIDE = 180
CUTS = 3
PLANES = 6
GAP = 4
PSNR = 15.0
SEED = 13
GAMMA = 0.8
GREYS = 48
"""Levels of the PNG: finer ones are noise that does not compress."""
Picture = NDArray[np.float32]


def row(morphology: str) -> Picture:
    """Two clean planes, the first with white and with correlated noise, xz cuts, and frames."""
    planes = [simulate(morphology, (1, 1, SIDE, SIDE), SEED + i)[0, 0] for i in range(2)]
    noisy = [exposed(planes[0], correlated) for correlated in (0.0, 0.7)]
    return np.hstack([framed(tile) for tile in (*planes, *noisy, cut(morphology), motion(morphology))])


def variety(morphology: str) -> Picture:
    """Clean planes of several seeds."""
    planes = [simulate(morphology, (1, 1, SIDE, SIDE), SEED + i)[0, 0] for i in range(PLANES)]
    return np.hstack([framed(plane) for plane in planes])


def exposed(plane: Picture, correlated: float) -> Picture:
    """A noisy plane on the scale of the clean one, clipped to 0 … 1."""
    camera = Camera.at_psnr(plane, PSNR, correlated)
    counts = camera.expose(plane, SEED).astype(np.float32)
    return np.clip((counts - camera.offset) / (camera.gain * camera.photons), 0, 1)


def cut(morphology: str) -> Picture:
    """Three xz cuts through a volume, in true proportion; planes are interpolated."""
    spacing = round(load_scene(morphology).plane_spacing)
    stack = simulate(morphology, (1, SIDE // CUTS // spacing, SIDE, SIDE), SEED)[0]
    rows = range(SIDE // (2 * CUTS), SIDE, SIDE // CUTS)
    return np.vstack([zoom(stack[:, y], (spacing, 1), order=1, grid_mode=True, mode="nearest") for y in rows])


def motion(morphology: str) -> Picture:
    """Frames 0, 4, 8 and 12 of a series."""
    half = SIDE // 2
    series = simulate(morphology, (13, 1, half, half), SEED)[::4, 0]
    return np.vstack([np.hstack(series[:2]), np.hstack(series[2:])])


def framed(tile: Picture) -> Picture:
    return np.pad(tile, ((0, GAP), (0, GAP)), constant_values=1)


def write(path: Path, rows: list[Picture]) -> None:
    """Write a sheet as a PNG."""
    sheet = np.vstack(rows)[:-GAP, :-GAP]
    greys = np.rint(sheet**GAMMA * (GREYS - 1)) * (255 / (GREYS - 1))
    Image.fromarray(greys.astype(np.uint8)).save(path, optimize=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    write(folder / "simulated.png", [row(morphology) for morphology in TISSUES])
    write(folder / "simulated-cells.png", [variety(morphology) for morphology in CELLS])
