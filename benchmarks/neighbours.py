"""What fusing neighbours brings: PSNR over one evaluation a plane, flicker, and what is lost of flashes.

    python benchmarks/neighbours.py [--side 160] [--frames 8] [--psnr 12] [--only NAME …] [--half fit|told]
                                    [--stack t|z TIFF …] [--frames-of TRUTH FRAME FRAME …] [--cap 2] [--bm4d]
                                    [--model NAME] [--std]

Time lapses are made of simulated nuclei: they stay (static), drift 0.4 pixels a frame, move 0 to 3 pixels
each (moving), some light up for one frame (flashes; half as bright: dim), appear for good (appearing),
divide and move apart (dividing), or all fade by 4 % a frame (bleaching). Stacks are simulated volumes at
three spacings: as they are made, with planes put in between (z/fine), and with every second one left out
(z/coarse). The noise is that of a camera, and so it is in recorded stacks (--stack), which are taken for the
truth. Frames of one field (--frames-of) have noise of their own.

"--half" chooses the seeds: constants of fusion were chosen on those of "fit". The cap of the gate in t was
lowered after figures of "told" were seen.

gain      of PSNR, in dB, over the same planes without fusion; "told": what the gate expected
changed   the same where the truth differs from the frame before by more than a tenth of its range
onset     share of the brightness of all flashes that is lost in their frames
leak      what of it comes into the frames before
flicker   difference of neighbouring planes over that of the truth; 1 is as it should be
again     all of that of planes that are denoised once more, averaged (--again)
std       with --std: standard deviation that is told of these (--uncertainty), over the error, root mean
          squares; and the share of pixels whose error is below it
follow    gain with the frames before alone, as in --follow
live      gain of the causal form of a stream
bm4d      gain of BM4D (the package bm4d, which must be installed) on the same planes, their noise, as it was
          measured, made even by the generalised Anscombe transform
left      variance of the noise that is left in results, over that of the noise: the mean, and that where
          there is least and most structure
allowed   factor on that variance up to which results may differ; --cap is the root of the largest in t
cost      CPU time of fusion over that of one evaluation a plane
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import process_time
from typing import Any, Self

import numpy as np
from neighbour_cases import SEEDS, Case, Stack, cases

from baikal_deploy import Denoiser
from baikal_deploy.denoising import neighbours
from baikal_deploy.denoising.again import Again, data_of
from baikal_deploy.denoising.compared import Result, filled
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.fusion import Fused, fuse, sides_of
from baikal_deploy.denoising.neighbours import measure_gate, measure_stream_gate, unfused
from baikal_deploy.denoising.probes import Place
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.running import Running
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.measurement.gate import NEIGHBOURS, Gate
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.pixels.arrays import Raw
from baikal_evaluation.methods.anscombe_bm3d import inverse, transformed

PLACES = 4
SAMPLER = make_sampler("matched", {"evaluations": 1}, {})


def psnr(result: Stack, clean: Stack, where: Stack | None = None) -> float:
    errors = (result - clean) ** 2
    return float(
        10 * np.log10(np.ptp(clean) ** 2 / (errors.mean() if where is None else errors[where].mean()))
    )


def flicker(result: Stack, clean: Stack) -> float:
    """Of the errors alone, beside what changes: sqrt of mean squares, less what the truth does."""
    along, expected = (np.abs(np.diff(stack, axis=0)).mean() for stack in (result, clean))
    return float(along / expected) if expected > 0 else float("nan")


def sides(
    planes: Sequence[Any], at: int, axis: str, follow: bool = False
) -> dict[str, tuple[list[Any], list[Any]]]:
    reach = NEIGHBOURS[axis]
    before = [planes[k] for k in range(at - 1, max(at - 1 - reach, -1), -1)]
    return {axis: (before, [] if follow else list(planes[at + 1 : at + 1 + reach]))}


@dataclass(frozen=True)
class Results:
    """Results of a series of planes, ready to be fused."""

    denoiser: Denoiser
    recipe: Recipe
    gate: Gate
    ready: Sequence[Result]
    axis: str
    follow: bool = False

    @classmethod
    def of(
        cls, denoiser: Denoiser, recipe: Recipe, gate: Gate, planes: Stack, axis: str, *, follow: bool = False
    ) -> Self:
        ready = [Result.of(plane, recipe.variance(filled(plane)), gate) for plane in planes]
        return cls(denoiser, recipe, gate, ready, axis, follow)

    def with_its_data(self, at: int, *, left_out: int = 0) -> Fused:
        """One that is fused, without the first ones that follow it."""
        before, after = sides(self.ready, at, self.axis, self.follow)[self.axis]
        return fuse(self.ready[at], sides_of(self.gate, {self.axis: [before, after[left_out:]]}))

    def fused(self, at: int, *, left_out: int = 0) -> Stack:
        return self.with_its_data(at, left_out=left_out).plane

    @property
    def all(self) -> Stack:
        return np.stack([self.fused(at) for at in range(len(self.ready))])


class AgainResults(Results):
    """The same, of planes that are denoised again."""

    def with_data(self, noisy: Raw) -> Self:
        crop = Crop.uncut(noisy.shape[1:])
        data = [data_of(plane, crop, self.recipe.measurement) for plane in noisy]
        return replace(self, ready=[replace(r, data=own) for r, own in zip(self.ready, data, strict=True)])

    def fused(self, at: int, *, left_out: int = 0) -> Stack:
        return self.denoised(at, left_out=left_out)[0]

    def denoised(self, at: int, *, left_out: int = 0, std: bool = False) -> tuple[Stack, Stack | None]:
        crop = Crop.uncut(self.ready[at].plane.shape)
        again = Again.of(self.denoiser, SAMPLER, self.recipe, self.gate)
        return again.denoised(self.with_its_data(at, left_out=left_out), at, crop, crop, std=std)


def live(gate: Gate, recipe: Recipe, planes: Stack) -> Stack:
    results = [Result.of(plane, recipe.variance(filled(plane)), gate) for plane in planes]
    state, found = Running.first(results[0]), [planes[0]]
    for result in results[1:]:
        state = state.after(result, gate.allowed["t"], gate.coarse["t"])
        found.append(state.estimate.plane)
    return np.stack(found)


def bm4d(noisy: Raw, noise: NoiseModel) -> Stack:
    """BM4D of planes in raw units, whose noise is made even, with a variance of 1."""
    from bm4d import bm4d as denoise  # type: ignore[import-not-found]

    even = np.moveaxis(transformed(noisy.astype(np.float64), noise), 0, -1)
    return inverse(np.moveaxis(np.asarray(denoise(even, 1.0)), -1, 0), noise)


def row(denoiser: Denoiser, case: Case, given: argparse.Namespace) -> str:
    noisy, truth, axis = case.noisy, case.truth, case.axis
    recipe = denoiser.recipe(SAMPLER, denoiser.measure(list(noisy), SAMPLER), 0)
    intensity = recipe.measurement.intensity
    start = process_time()
    planes = unfused(denoiser, recipe, noisy)
    evaluated = process_time() - start
    own = intensity.raw(planes)
    gate = gate_of(denoiser, recipe, noisy, planes, axis)
    start = process_time()
    results = Results.of(denoiser, recipe, gate, planes, axis)
    after = intensity.raw(results.all)
    cost = (process_time() - start) / evaluated
    words = [
        f"{case.name:<12} {gained(case, own, after)} (told {gate.gains[0]:+.2f} … {gate.gains[1]:+.2f})",
        *lost(case, own, results),
    ]
    if axis == "t":
        causal = gate_of(denoiser, recipe, noisy, planes, axis, follow=True)
        followed = Results.of(denoiser, recipe, causal, planes, axis, follow=True).all
        streamed = live(measure_stream_gate(denoiser, recipe, noisy[:2]), recipe, planes)
        for name, found in (("follow", followed), ("live", streamed)):
            words.append(f"{name} {psnr(intensity.raw(found), truth) - psnr(own, truth):+.2f}")
    if given.bm4d and recipe.measurement.noise is not None:
        words.append(f"bm4d {psnr(bm4d(noisy, recipe.measurement.noise), truth) - psnr(own, truth):+.2f}")
    shares = [share for _, share in gate.shares]
    words.append(f"left {gate.left:.4f} ({min(shares):.4f} … {max(shares):.4f})")
    words.append(f"allowed {gate.allowed[axis]:.2f}, cost {100 * cost:.0f} %")
    again = AgainResults.of(denoiser, recipe, gate, planes, axis).with_data(noisy)
    twice = intensity.raw(again.all)
    words.append(f"again: {gained(case, own, twice)}")
    words += lost(case, own, again)
    if given.std:
        told = np.stack([again.denoised(at, std=True)[1][0] for at in range(len(planes))])
        errors = np.abs(twice - truth)
        size = float(np.sqrt(np.mean(told**2) / np.mean(errors**2)))
        words.append(f"std {size:.2f}, {100 * np.mean(errors < told):.0f} %")
    return ", ".join(words)


def gained(case: Case, own: Stack, after: Stack) -> str:
    """Gain over results of planes by themselves, in raw units, where the truth changes, and flicker."""
    truth, changes = case.truth, np.zeros(case.truth.shape, bool)
    changes[1:] = np.abs(np.diff(truth, axis=0)) > 0.1 * np.ptp(truth)
    words = [f"gain {psnr(after, truth) - psnr(own, truth):+.2f}"]
    if changes.any():
        words.append(f"changed {psnr(after, truth, changes) - psnr(own, truth, changes):+.2f}")
    words.append(f"flicker {flicker(own, truth):.2f} -> {flicker(after, truth):.2f}")
    return ", ".join(words)


def gate_of(
    denoiser: Denoiser, recipe: Recipe, noisy: Raw, planes: Stack, axis: str, follow: bool = False
) -> Gate:
    spots = [(2 * i + 1) * len(planes) // (2 * PLACES) for i in range(PLACES)]
    data = recipe.measurement.intensity.normalise(noisy)
    places = [Place(data[at], planes[at], sides(planes, at, axis, follow)) for at in spots]
    return measure_gate(denoiser, recipe, places, axis)  # type: ignore[arg-type]


def lost(case: Case, own: Stack, results: Results) -> list[str]:
    """What a fused flash lacks of that of the results, and what of it comes into the frame before."""
    if case.name not in ("flashes", "dim"):
        return []
    truth, still = case.truth, np.median(case.truth, axis=0)
    intensity = results.recipe.measurement.intensity
    height = missing = leaked = 0.0
    for frame in range(1, len(truth) - 1):
        where = truth[frame] - still > 0.1 * np.ptp(truth)
        if not where.any():
            continue
        after, without = results.fused(frame - 1), results.fused(frame - 1, left_out=1)
        height += (own[frame] - still)[where].sum()
        missing += (own[frame] - intensity.raw(results.fused(frame)))[where].sum()
        leaked += (after - without)[where].sum() * intensity.half
    return [f"onset {100 * missing / height:.1f} %, leak {100 * leaked / height:.1f} %"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--psnr", type=float, default=12.0)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--half", choices=SEEDS, default="told")
    parser.add_argument("--stack", nargs=2, action="append", default=[], metavar=("AXIS", "TIFF"))
    parser.add_argument("--frames-of", nargs="+", action="append", default=[], metavar=("TRUTH", "FRAME"))
    parser.add_argument("--bm4d", action="store_true")
    parser.add_argument("--cap", type=float, default=max(neighbours.OPENINGS["t"]))
    parser.add_argument("--model", default=None)
    parser.add_argument("--std", action="store_true")
    given = parser.parse_args()
    neighbours.OPENINGS["t"] = tuple(np.arange(0.5, given.cap + 0.25, 0.5))
    for case in cases(given):
        with Denoiser.load(given.model or case.model, threads=1) as denoiser:
            print(row(denoiser, case, given), flush=True)


if __name__ == "__main__":
    main()
