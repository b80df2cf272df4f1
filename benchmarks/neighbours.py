"""What fusing neighbours brings: PSNR over one evaluation a plane, flicker, and what is lost of flashes.

    python benchmarks/neighbours.py [--side 160] [--frames 8] [--psnr 12] [--only NAME …] [--half fit|told]
                                    [--stack t|z TIFF …] [--frames-of TRUTH FRAME FRAME …] [--cap 2] [--bm4d]

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
from time import process_time

import numpy as np
from neighbour_cases import SEEDS, Case, Stack, cases

from baikal_deploy import Denoiser
from baikal_deploy.denoising import neighbours
from baikal_deploy.denoising.compared import Result, filled
from baikal_deploy.denoising.fusion import gated
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
    planes: Stack, at: int, axis: str, follow: bool = False
) -> dict[str, tuple[list[Stack], list[Stack]]]:
    reach = NEIGHBOURS[axis]
    before = [planes[k] for k in range(at - 1, max(at - 1 - reach, -1), -1)]
    return {axis: (before, [] if follow else list(planes[at + 1 : at + 1 + reach]))}


def fused(gate: Gate, recipe: Recipe, planes: Stack, axis: str, follow: bool = False) -> Stack:
    beside = [sides(planes, at, axis, follow) for at in range(len(planes))]
    pairs = zip(planes, beside, strict=True)
    return np.stack([gated(gate, plane, others, recipe.variance)[0] for plane, others in pairs])


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


def row(denoiser: Denoiser, case: Case, peer: bool) -> str:
    noisy, truth, axis = case.noisy, case.truth, case.axis
    sampler = make_sampler("matched", {"evaluations": 1}, {})
    recipe = denoiser.recipe(sampler, denoiser.measure(list(noisy), sampler), 0)
    intensity = recipe.measurement.intensity
    start = process_time()
    planes = unfused(denoiser, recipe, noisy)
    evaluated = process_time() - start
    before = psnr(intensity.raw(planes), truth)
    gate = gate_of(denoiser, recipe, noisy, planes, axis)
    start = process_time()
    after = intensity.raw(fused(gate, recipe, planes, axis))
    cost = (process_time() - start) / evaluated
    words = [f"{case.name:<12} gain {psnr(after, truth) - before:+.2f} (told {gate.gain:+.2f})"]
    changes = np.zeros(truth.shape, bool)
    changes[1:] = np.abs(np.diff(truth, axis=0)) > 0.1 * np.ptp(truth)
    if changes.any():
        own = psnr(intensity.raw(planes), truth, changes)
        words.append(f"changed {psnr(after, truth, changes) - own:+.2f}")
    if case.name in ("flashes", "dim"):
        words.append(lost(truth, gate, recipe, planes))
    words.append(f"flicker {flicker(intensity.raw(planes), truth):.2f} -> {flicker(after, truth):.2f}")
    if axis == "t":
        causal = gate_of(denoiser, recipe, noisy, planes, axis, follow=True)
        followed = intensity.raw(fused(causal, recipe, planes, axis, follow=True))
        streamed = intensity.raw(live(measure_stream_gate(denoiser, recipe, noisy[:2]), recipe, planes))
        words.append(f"follow {psnr(followed, truth) - before:+.2f}")
        words.append(f"live {psnr(streamed, truth) - before:+.2f}")
    if peer and recipe.measurement.noise is not None:
        words.append(f"bm4d {psnr(bm4d(noisy, recipe.measurement.noise), truth) - before:+.2f}")
    shares = [share for _, share in gate.shares]
    words.append(f"left {gate.left:.4f} ({min(shares):.4f} … {max(shares):.4f})")
    words.append(f"allowed {gate.allowed[axis]:.2f}, cost {100 * cost:.0f} %")
    return ", ".join(words)


def gate_of(
    denoiser: Denoiser, recipe: Recipe, noisy: Raw, planes: Stack, axis: str, follow: bool = False
) -> Gate:
    spots = [(2 * i + 1) * len(planes) // (2 * PLACES) for i in range(PLACES)]
    data = recipe.measurement.intensity.normalise(noisy)
    places = [Place(data[at], planes[at], sides(planes, at, axis, follow)) for at in spots]
    return measure_gate(denoiser, recipe, places, axis)  # type: ignore[arg-type]


def lost(truth: Stack, gate: Gate, recipe: Recipe, planes: Stack) -> str:
    """What a fused flash lacks of that of the results, and what of it comes into the frame before."""
    still = np.median(truth, axis=0)
    found = recipe.measurement.intensity.raw(planes)
    after = recipe.measurement.intensity.raw(fused(gate, recipe, planes, "t"))
    height = missing = leaked = 0.0
    for frame in range(1, len(truth) - 1):
        where = truth[frame] - still > 0.1 * np.ptp(truth)
        own, others = planes[frame - 1], sides(planes, frame - 1, "t")
        without = {"t": (others["t"][0], others["t"][1][1:])}
        both = (gated(gate, own, one, recipe.variance)[0] for one in (others, without))
        height += (found[frame] - still)[where].sum()
        missing += (found[frame] - after[frame])[where].sum()
        leaked += np.subtract(*both)[where].sum() * recipe.measurement.intensity.half
    return f"onset {100 * missing / height:.1f} %, leak {100 * leaked / height:.1f} %"


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
    given = parser.parse_args()
    neighbours.OPENINGS["t"] = tuple(np.arange(0.5, given.cap + 0.25, 0.5))
    for case in cases(given):
        with Denoiser.load(case.model, threads=1) as denoiser:
            print(row(denoiser, case, given.bm4d), flush=True)


if __name__ == "__main__":
    main()
