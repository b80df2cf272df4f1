"""Ways to denoise noise that depends on the signal with a network that knows one level: PSNR / SSIM of each.

    python benchmarks/noise_handling.py [PAIRS]

global     one level for the whole plane
blend      levels blended pixel by pixel: 4 evaluations at levels spread over those of the plane
anscombe   one evaluation in the domain of the generalised Anscombe transform, with the exact unbiased inverse
equalised  what the runtime does (baikal_deploy/equalise.py): one evaluation

on pairs as baikal-eval takes them (with the model nuclei), and on simulated planes of 256² for each of the
models of specimens.py. All get the same fit of the noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from specimens import SPECIMENS

from baikal_deploy import Denoiser
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.sample import block_means
from baikal_deploy.measurement.surroundings import base
from baikal_evaluation.methods.anscombe_bm3d import inverse, transformed
from baikal_evaluation.pairs import find_pairs
from baikal_training.camera import Camera
from baikal_training.simulate import simulate

SIMULATED = {"nuclei": (8, 4), "tribolium": (1, 0), "membranes": (1, 0)}
"""Planes of the simulated volume, and the plane that is used."""
LEVELS = (18.0, 15.0, 12.0, 9.0)
SEED = 100
BLENDED = 4
PASSES = 3
"""In which the Anscombe domain's percentiles settle."""

Plane = np.ndarray


def global_level(denoiser: Denoiser, plane: Plane, found: Measurement) -> Plane:
    return estimate(denoiser, plane, found.intensity, found.sigma)


def blend(denoiser: Denoiser, plane: Plane, found: Measurement) -> Plane:
    assert found.noise is not None
    std = found.noise.std(base(plane))
    levels = np.geomspace(*np.percentile(std, [0.5, 99.5]), BLENDED)
    results = np.stack([estimate(denoiser, plane, found.intensity, level) for level in levels])
    place = np.interp(np.log(std), np.log(levels), np.arange(BLENDED))
    low = np.minimum(place.astype(int), BLENDED - 2)[None]
    share = place - low[0]
    below, above = (np.take_along_axis(results, low + step, 0)[0] for step in (0, 1))
    return (1 - share) * below + share * above


def anscombe(denoiser: Denoiser, plane: Plane, found: Measurement) -> Plane:
    noise, percentiles = found.noise, denoiser.manifest.normalisation
    assert noise is not None
    if noise.gain == 0:
        return global_level(denoiser, plane, found)
    values = transformed(plane, noise)
    intensity = percentiles.of([block_means(values)])
    for _ in range(PASSES):
        intensity = percentiles.of([estimate(denoiser, values, intensity, 1.0)])
    return inverse(estimate(denoiser, values, intensity, 1.0), noise)


def equalised(denoiser: Denoiser, plane: Plane, found: Measurement) -> Plane:
    recipe = denoiser.recipe(make_sampler("matched", {}, {}), found, 0)
    return denoiser.run(recipe, Stack(plane[None], [0])).planes[0]


def estimate(denoiser: Denoiser, plane: Plane, intensity: IntensityMap, sigma: float) -> Plane:
    """One evaluation at a noise level in the units of the plane."""
    measurement = Measurement(intensity, sigma, 0)
    recipe = denoiser.recipe(make_sampler("matched", {"noise": "uniform"}, {}), measurement, 0)
    return denoiser.run(recipe, Stack(plane[None], [0])).planes[0]


WAYS: dict[str, Callable[[Denoiser, Plane, Measurement], Plane]] = {
    "global": global_level, "blend": blend, "anscombe": anscombe, "equalised": equalised
}  # fmt: skip


def simulated(model: str) -> Iterator[tuple[str, Plane, Plane, float]]:
    planes, plane = SIMULATED[model]
    clean = simulate(SPECIMENS[model], (1, planes, 256, 256), SEED)[0, plane]
    for level in LEVELS:
        camera = Camera.at_psnr(clean, level)
        true = camera.expected(clean).astype(np.float64)
        yield (
            f"{model}, {level:g} dB",
            camera.expose(clean, int(level)).astype(np.float64),
            true,
            np.ptp(true),
        )


def real(path: Path) -> Iterator[tuple[str, Plane, Plane, float]]:
    """Planes of 8 bit."""
    for pair in find_pairs(path):
        noisy, clean = pair.read()
        assert clean is not None, "a clean side is needed"
        yield pair.name, noisy[0].astype(np.float64), clean[0].astype(np.float64), 255.0


def report(denoiser: Denoiser, name: str, noisy: Plane, clean: Plane, data_range: float) -> None:
    found = denoiser.measure([noisy], make_sampler("matched", {}, {}))
    cells = []
    for way in WAYS.values():
        result = way(denoiser, noisy, found)
        psnr = peak_signal_noise_ratio(clean, result, data_range=data_range)
        cells.append(f"{psnr:.2f} / {structural_similarity(clean, result, data_range=data_range):.3f}")
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pairs", type=Path, nargs="?")
    args = parser.parse_args()
    print(f"| PSNR / SSIM | {' | '.join(WAYS)} |\n{'|---' * (len(WAYS) + 1)}|")
    for model in SIMULATED:
        with Denoiser.load(model) as denoiser:
            pairs = list(real(args.pairs)) if args.pairs and model == "nuclei" else []
            for pair in [*pairs, *simulated(model)]:
                report(denoiser, *pair)


if __name__ == "__main__":
    main()
