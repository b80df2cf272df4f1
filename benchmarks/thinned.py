"""Pairs as they would be with less light: binomial thinning of the photons of noisy images.

    python benchmarks/thinned.py PAIRS OUTPUT [--share 0.2]

Gain and offset are fitted to each noisy image against its clean one, y = gain·photons + offset; of the
photons of each pixel, rounded, a share is kept at random, and the image scaled up to its old brightness.
Thinned Poisson noise is Poisson noise; read noise is taken for photons and thinned as well.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tifffile

from baikal_deploy.measurement.noise_model import fit_noise
from baikal_evaluation.pairs import find_pairs


def thinned(noisy: np.ndarray, clean: np.ndarray, share: float, seed: int) -> np.ndarray:
    """(N, H, W) in the units of ``noisy``."""
    noise = fit_noise(list(noisy.astype(np.float64)), list(clean.astype(np.float64)))
    if noise.gain == 0:
        raise SystemExit("the noise does not grow with the signal: there are no photons to count")
    offset = -noise.intercept / noise.gain
    photons = np.maximum(np.rint((noisy - offset) / noise.gain), 0).astype(np.int64)
    kept = np.random.default_rng(seed).binomial(photons, share)
    return (kept * (noise.gain / share) + offset).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--share", type=float, default=0.2)
    args = parser.parse_args()
    for side in ("noisy", "clean"):
        (args.output / side).mkdir(parents=True)
    for seed, pair in enumerate(find_pairs(args.pairs)):
        noisy, clean = pair.read()
        assert clean is not None, "thinning needs the clean side"
        name = f"{Path(pair.name).stem}.tif"
        tifffile.imwrite(args.output / "noisy" / name, thinned(noisy, clean, args.share, seed))
        tifffile.imwrite(args.output / "clean" / name, clean.astype(np.float32))


if __name__ == "__main__":
    main()
