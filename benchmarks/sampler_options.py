"""PSNR of option sets of the samplers, from which a model's recommended options are chosen.

    python benchmarks/sampler_options.py [PAIRS] [--model MODEL] [--sampler NAME …]

PAIRS are real 8-bit images as baikal-eval takes them; their upper left corners are used. The simulated planes
show what the model knows (none, for a model that specimens.py has not), with a seed that none was trained on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from specimens import SPECIMENS

from baikal_deploy.diffusion.samplers import sampler_names
from baikal_evaluation.methods import Model, Spec
from baikal_evaluation.methods.base import Stack
from baikal_evaluation.metrics import Definition, score
from baikal_evaluation.pairs import find_pairs
from baikal_training.camera import add_noise
from baikal_training.simulate import simulate

SIDE = 256
SIMULATED_PSNR = (15.0, 12.0, 9.0)
SIMULATED = {"nuclei": (8, 4), "tribolium": (1, 0), "membranes": (1, 0)}
"""Planes of the simulated volume, and the plane that is used."""
SEED = 100


class Planes(NamedTuple):
    """A noisy plane (1, H, W), its reference, what kind the two are, and the data range of PSNR."""

    noisy: Stack
    clean: Stack
    kind: str
    data_range: float

    def psnr(self, spec: Spec, model: Model) -> float:
        denoised = spec.make(model).denoise(self.noisy, None).planes
        definition = Definition(normalisation=None, psnr_range=self.data_range)
        return score(denoised, self.clean, definition, is_volume=False).psnr


def real_planes(pairs: Path) -> Iterator[Planes]:
    for pair in find_pairs(pairs):
        noisy, clean = pair.read()
        if clean is not None:
            yield Planes(noisy[:1, :SIDE, :SIDE], clean[:1, :SIDE, :SIDE], "real", 255.0)


def simulated_planes(model: str) -> Iterator[Planes]:
    name = Path(model).stem
    if name not in SIMULATED:
        return
    planes, plane = SIMULATED[name]
    clean = simulate(SPECIMENS[name], (1, planes, SIDE, SIDE), SEED)[0, plane]
    for psnr in SIMULATED_PSNR:
        noisy = add_noise(clean, psnr, seed=int(psnr))
        yield Planes(noisy[None].astype(np.float32), clean[None], "simulated", 1.0)


def option_sets(sampler: str) -> list[str]:
    """What is tried, beside the recommended options, as baikal-eval's --methods takes it."""
    scales, weights, single = {
        "forward-backward": (
            (), (), "start_scale=0.7 start_scale=1.0 start_scale=1.2 start_scale=1.5 start_scale=1.8 "
            "start_scale=2.2 steps=walk5 steps=walk20 start_scale=1.0,steps=walk5",
        ),
        "mixing": (
            (1.2, 1.45, 1.8), (0.15, 0.3, 0.5),
            "stop_scale=0.25 stop_scale=0.75 weights=constant steps=walk6 steps=walk20",
        ),
        "repaint": (
            (1.0, 1.2, 1.45), (0.15, 0.3), "stop_scale=0.25 stop_scale=0.75 renoise=False repeats=2 "
            "repeats=5,steps=walk6 interval=5 final_repeats=1,interval=5",
        ),
    }[sampler]  # fmt: skip
    grid = product(("before", "after"), scales, weights)
    sets = [f"mix={mix},start_scale={scale},w_start={weight}" for mix, scale, weight in grid]
    return [sampler, *(f"{sampler},{options}" for options in (*sets, *single.split()))]


def line(text: str, tried: list[Planes], model: Model) -> str:
    """Mean PSNR of each kind of plane, that of each plane, and the options."""
    values = [(planes.kind, planes.psnr(Spec.parse(text), model)) for planes in tried]
    means = (
        f"{kind} {np.mean([value for own, value in values if own == kind]):.2f}" for kind in dict(values)
    )
    return f"{' '.join(means)} [{' '.join(f'{value:.2f}' for _, value in values)}] {text}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pairs", nargs="?", type=Path)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--sampler", action="append", choices=sampler_names())
    args = parser.parse_args()
    tried = [*(real_planes(args.pairs) if args.pairs else ()), *simulated_planes(args.model)]
    for text in [text for sampler in args.sampler or sampler_names() for text in option_sets(sampler)]:
        print(line(text, tried, Model(args.model)), flush=True)


if __name__ == "__main__":
    main()
