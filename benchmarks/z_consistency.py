"""How much results flicker from plane to plane along z, and their PSNR, on simulated volumes.

    python benchmarks/z_consistency.py [--shape Z Y X] [--psnr DB]

Flicker is the mean absolute difference of neighbouring planes over that of the clean volume: 1 is as it
should be, more is flicker, less is blur. "shared" is --share-noise z. The last rows are ideas that the
runtime does not have, on the result of auto: "mean" takes each plane with a quarter of both neighbours,
"alike" weighs neighbours by how well they agree with the plane around each pixel.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from scipy.ndimage import gaussian_filter
from specimens import SPECIMENS

from baikal_deploy import Denoiser
from baikal_deploy.denoising import stack
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.measurement.channel import Measurement
from baikal_training.camera import Camera
from baikal_training.simulate import simulate

SAMPLERS: dict[str, dict[str, object]] = {
    "auto": {},
    "matched": {},
    "posterior": {"steps": "walk5"},
    "mixing": {"steps": "walk5"},
    "repaint": {"steps": "walk4", "repeats": 2},
}
DRAW = ("posterior", "mixing", "repaint")
SEED = 100
AGREEMENT, AROUND = 0.4, 1.5
"""Width of the weights, in standard deviations of the noise; and the blur of differences, in pixels."""

Stack = np.ndarray


def psnr(result: Stack, clean: Stack) -> float:
    return float(10 * np.log10(np.ptp(clean) ** 2 / np.mean((result - clean) ** 2)))


def flicker(result: Stack, clean: Stack) -> float:
    along, expected = (np.abs(np.diff(stack, axis=0)).mean() for stack in (result, clean))
    return float(along / expected)


def denoised(denoiser: Denoiser, noisy: Stack, name: str, *, shared: bool) -> tuple[Stack, Measurement]:
    sampler = make_sampler(name, SAMPLERS[name], denoiser.recommended(name))
    found = denoiser.measure(list(noisy), sampler)
    fields = [0] * len(noisy) if shared else range(len(noisy))
    recipe = denoiser.recipe(sampler, found, SEED)
    planes = stack.Stack(noisy, range(len(noisy)), fields=fields)
    return denoiser.run(recipe, planes, wanted=stack.Wanted(np.float64)).planes, found


def neighbours(stack: Stack) -> Iterator[Stack]:
    """The plane below each plane, and the one above; at the ends the plane itself."""
    yield np.concatenate([stack[:1], stack[:-1]])
    yield np.concatenate([stack[1:], stack[-1:]])


def mean(stack: Stack) -> Stack:
    return 0.5 * stack + 0.25 * sum(neighbours(stack))


def alike(stack: Stack, level: float) -> Stack:
    total, weights = stack.copy(), np.ones_like(stack)
    for other in neighbours(stack):
        distance = gaussian_filter((other - stack) ** 2, AROUND, axes=(-2, -1))
        weight = np.exp(-distance / (2 * (AGREEMENT * level) ** 2))
        total, weights = total + weight * other, weights + weight
    return total / weights


def rows(model: str, shape: tuple[int, int, int], level: float) -> Iterator[tuple[str, float, float]]:
    clean = simulate(SPECIMENS[model], (1, *shape), SEED)[0]
    camera = Camera.at_psnr(clean, level)
    true = camera.expected(clean).astype(np.float64)
    noisy = camera.expose(clean, SEED)
    results = {"noisy": noisy.astype(np.float64)}
    with Denoiser.load(model) as denoiser:
        for name in SAMPLERS:
            results[name], found = denoised(denoiser, noisy, name, shared=False)
            if name in DRAW:
                results[f"{name}, shared"], _ = denoised(denoiser, noisy, name, shared=True)
            elif name == "auto":
                assert found.noise is not None
                ideas = {
                    "auto, mean": mean(results[name]),
                    "auto, alike": alike(results[name], found.noise.level),
                }
    for name, result in {**results, **ideas}.items():
        yield name, psnr(result, true), flicker(result, true)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(12, 128, 128))
    parser.add_argument("--psnr", type=float, default=12.0)
    args = parser.parse_args()
    columns = [list(rows(model, tuple(args.shape), args.psnr)) for model in SPECIMENS]
    print(f"| PSNR / flicker | {' | '.join(SPECIMENS)} |\n{'|---' * (len(SPECIMENS) + 1)}|")
    for row in zip(*columns, strict=True):
        cells = [f"{decibels:.2f} / {flickers:.2f}" for _, decibels, flickers in row]
        print(f"| {row[0][0]} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
