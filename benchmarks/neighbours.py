"""What fusing neighbours brings: PSNR over one evaluation a plane, flicker, and what is lost of flashes.

    python benchmarks/neighbours.py [--side 160] [--frames 8] [--psnr 12] [--only NAME …] [--half fit|told]
                                    [--stack t|z TIFF …] [--bm4d]

Time lapses are made of simulated nuclei: they stay (static), drift 0.4 pixels a frame, move 0 to 3 pixels
each (moving), some light up for one frame (flashes), appear for good (appearing), divide and move apart
(dividing), or all fade by 4 % a frame (bleaching). Stacks are simulated volumes at three spacings: as they
are made, with planes put in between (z/fine), and with every second one left out (z/coarse). Recorded stacks
(--stack) are taken for the truth. The noise is that of a camera.

The constants of fusion were chosen on the seeds of "--half fit"; the figures are those of "--half told".

gain      of PSNR, in dB, over the same planes without fusion; "told": what the gate expected
changed   the same where the truth differs from the frame before by more than a tenth of its range
onset     share of the brightness of all flashes that is lost in their frames
leak      what of it comes into the frames before
flicker   difference of neighbouring planes over that of the truth; 1 is as it should be
live      gain of the causal form of a stream
bm4d      gain of BM4D (the package bm4d, which must be installed) on the same planes, their noise made even
          by the generalised Anscombe transform
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tifffile
from scipy.ndimage import shift, zoom

from baikal_deploy import Denoiser
from baikal_deploy.denoising.compared import Result, filled
from baikal_deploy.denoising.fusion import gated
from baikal_deploy.denoising.neighbours import measure_gate, measure_stream_gate, unfused
from baikal_deploy.denoising.probes import Place
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.running import Running
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.measurement.gate import NEIGHBOURS, Gate
from baikal_training.camera import Camera
from baikal_training.simulate import simulate

SEEDS = {"fit": 300, "told": 700}
PLACES = 4
Stack = np.ndarray


def static(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    return np.repeat(parts.sum(0)[None], frames, axis=0)


def drift(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    return np.stack([shift(parts.sum(0), 0.4 * frame, order=1, mode="grid-wrap") for frame in range(frames)])


def moving(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    speeds = [rng.uniform(0, 3) * np.array([np.cos(a), np.sin(a)]) for a in rng.uniform(0, 7, len(parts))]
    return np.stack(
        [
            sum(shift(parts[i], frame * speeds[i], order=1, mode="grid-wrap") for i in range(len(parts)))
            for frame in range(frames)
        ]
    )


def flashes(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    sequence = static(parts, frames, rng)
    for frame in range(1, frames, 3):
        sequence[frame] += 1.2 * parts[rng.integers(len(parts))]
    return sequence


def appearing(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    starts = np.where(np.arange(len(parts)) % 2, 0, rng.integers(1, frames, len(parts)))
    return np.stack([parts[starts <= frame].sum(0) for frame in range(frames)])


def dividing(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    sequence = static(parts, frames, rng)
    for number in rng.permutation(len(parts))[: len(parts) // 2]:
        start, angle = rng.integers(1, frames - 2), rng.uniform(0, 2 * np.pi)
        for frame in range(start, frames):
            way = (2 + 1.5 * (frame - start)) * np.array([np.cos(angle), np.sin(angle)])
            halves = sum(shift(parts[number], side * way, order=1, mode="grid-wrap") for side in (-1, 1))
            sequence[frame] += 0.55 * halves - parts[number]
    return sequence


def bleaching(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    return static(parts, frames, rng) * (0.96 ** np.arange(frames))[:, None, None]


LAPSES: dict[str, Callable[[Stack, int, np.random.Generator], Stack]] = {
    made.__name__: made for made in (static, drift, moving, flashes, appearing, dividing, bleaching)
}


def parts_of(side: int, seed: int) -> Stack:
    """Twelve planes of simulated nuclei, each with those of a few columns: they sum up to one scene."""
    whole = simulate("nuclei", (1, 8, side, side), seed)[0]
    planes = (whole[4] - whole.min()) * 0.45  # room for flashes
    masks = np.indices(planes.shape).sum(0) * 12 // (2 * side)
    return np.stack([np.where(masks == number, planes, 0) for number in range(12)])


def psnr(result: Stack, clean: Stack, where: Stack | None = None) -> float:
    errors = (result - clean) ** 2
    return float(
        10 * np.log10(np.ptp(clean) ** 2 / (errors.mean() if where is None else errors[where].mean()))
    )


def flicker(result: Stack, clean: Stack) -> float:
    """Of the errors alone, beside what changes: sqrt of mean squares, less what the truth does."""
    along, expected = (np.abs(np.diff(stack, axis=0)).mean() for stack in (result, clean))
    return float(along / expected) if expected > 0 else float("nan")


def sides(planes: Sequence[Stack], at: int, axis: str) -> dict[str, tuple[list[Stack], list[Stack]]]:
    reach = NEIGHBOURS[axis]
    before = [planes[k] for k in range(at - 1, max(at - 1 - reach, -1), -1)]
    return {axis: (before, list(planes[at + 1 : at + 1 + reach]))}


def fused(gate: Gate, recipe: Recipe, planes: Stack, axis: str) -> Stack:
    return np.stack(
        [gated(gate, plane, sides(planes, at, axis), recipe.variance)[0] for at, plane in enumerate(planes)]
    )


def live(gate: Gate, recipe: Recipe, planes: Stack) -> Stack:
    results = [Result.of(plane, recipe.variance(filled(plane)), gate) for plane in planes]
    state, found = Running.first(results[0]), [planes[0]]
    for result in results[1:]:
        state = state.after(result, gate.allowed["t"], gate.coarse["t"])
        found.append(state.estimate.plane)
    return np.stack(found)


def bm4d(recipe: Recipe, noisy: Stack, planes: Stack) -> Stack:
    """BM4D on planes on the network's scale: variance a·x + b, made 1 (Mäkitalo, Foi 2013), and back."""
    from bm4d import bm4d as denoise  # type: ignore[import-not-found]

    variance = np.stack([recipe.variance(filled(plane)) for plane in planes])
    a, b = np.polyfit(planes.ravel(), variance.ravel(), 1)
    a = max(a, 1e-6)
    even = 2 / a * np.sqrt(np.maximum(a * noisy + b + 3 / 8 * a * a, 1e-9))
    found = np.moveaxis(np.asarray(denoise(np.moveaxis(even, 0, -1), 1.0)), -1, 0)
    return ((found * a / 2) ** 2 - b - a * a / 8) / a


def row(denoiser: Denoiser, name: str, clean: Stack, axis: str, level: float, seed: int, peer: bool) -> str:
    camera = Camera.at_psnr(clean, level)
    noisy, truth = camera.expose(clean, seed), camera.expected(clean).astype(float)
    sampler = make_sampler("matched", {"evaluations": 1}, {})
    recipe = denoiser.recipe(sampler, denoiser.measure(list(noisy), sampler), 0)
    intensity = recipe.measurement.intensity
    planes = unfused(denoiser, recipe, noisy)
    spots = [(2 * i + 1) * len(planes) // (2 * PLACES) for i in range(PLACES)]
    places = [Place(intensity.normalise(noisy[at]), planes[at], sides(planes, at, axis)) for at in spots]
    gate = measure_gate(denoiser, recipe, places, axis)  # type: ignore[arg-type]
    before, after = (intensity.raw(found) for found in (planes, fused(gate, recipe, planes, axis)))
    changes = np.zeros(truth.shape, bool)
    changes[1:] = np.abs(np.diff(truth, axis=0)) > 0.1 * np.ptp(truth)
    words = [f"{name:<12} gain {psnr(after, truth) - psnr(before, truth):+.2f} (told {gate.gain:+.2f})"]
    if changes.any():
        words.append(f"changed {psnr(after, truth, changes) - psnr(before, truth, changes):+.2f}")
    if name == "flashes":
        words.append(lost(truth, gate, recipe, planes))
    words.append(f"flicker {flicker(before, truth):.2f} -> {flicker(after, truth):.2f}")
    if axis == "t":
        streamed = intensity.raw(live(measure_stream_gate(denoiser, recipe, noisy[:2]), recipe, planes))
        words.append(f"live {psnr(streamed, truth) - psnr(before, truth):+.2f}")
    if peer:
        found = intensity.raw(bm4d(recipe, intensity.normalise(noisy), planes))
        words.append(f"bm4d {psnr(found, truth) - psnr(before, truth):+.2f}")
    words.append(f"left {gate.left:.4f}, allowed {gate.allowed[axis]:.4f}")
    return ", ".join(words)


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


def simulated(given: argparse.Namespace, seed: int) -> Iterator[tuple[str, str, Stack, str]]:
    """Model, name, clean planes and axis of each sequence."""
    for name, make in LAPSES.items():
        if not given.only or name in given.only:
            made = make(parts_of(given.side, seed), given.frames, np.random.default_rng(seed))
            yield "nuclei", name, np.clip(made, 0, 1).astype(np.float32), "t"
    for morphology in ("nuclei", "tribolium", "flywing", "planaria"):
        if not given.only or morphology in given.only:
            model = "nuclei" if morphology == "planaria" else morphology
            whole = simulate(morphology, (1, 2 * given.frames, given.side, given.side), seed)[0]
            fine = zoom(whole[: given.frames // 2 + 1], (2, 1, 1), order=3)
            for spacing, planes in (("fine", np.clip(fine, 0, 1)), ("made", whole), ("coarse", whole[::2])):
                yield model, f"{morphology} z/{spacing}", planes[: given.frames], "z"


def recorded(given: argparse.Namespace) -> Iterator[tuple[str, str, Stack, str]]:
    """The same of recorded stacks, scaled to 0 … 1."""
    for axis, path in given.stack:
        planes = tifffile.imread(path).astype(np.float32)
        planes = planes.reshape(-1, *planes.shape[-2:])[: given.frames, : given.side, : given.side]
        low, high = np.percentile(planes, (0.5, 99.9))
        yield "nuclei", path, np.clip((planes - low) / (high - low), 0, 1), axis


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--psnr", type=float, default=12.0)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--half", choices=SEEDS, default="told")
    parser.add_argument("--stack", nargs=2, action="append", default=[], metavar=("AXIS", "TIFF"))
    parser.add_argument("--bm4d", action="store_true")
    given = parser.parse_args()
    seed = SEEDS[given.half]
    for model, name, clean, axis in recorded(given) if given.stack else simulated(given, seed):
        with Denoiser.load(model, threads=1) as denoiser:
            print(row(denoiser, name, clean, axis, given.psnr, seed, given.bm4d), flush=True)


if __name__ == "__main__":
    main()
