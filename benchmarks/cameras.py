"""What real cameras do to an image, and how much of it is mended (make bench-cameras).

    python benchmarks/cameras.py [defects] [noise] [alarms] [--side 192] [--planes 20] [--seed 4000]

Simulated planes alone, of the kinds that the shipped models know.

defects  pixels that say nothing or the wrong thing: PSNR of the good pixels with and without them
noise    noise that pixels share, five kinds, two models: PSNR of the noisy plane, of the Gaussian blur that
         is nearest to the truth, of BM3D told the measured spectrum (where bm3d is installed), and of
         matched with 1, 2 and 3 evaluations
alarms   planes of each model with white noise: how many are said to have correlated noise, and how many of
         their pixels are taken for hot or dead
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import time
from collections.abc import Iterator
from statistics import mean

import numpy as np
from camera_cases import Defect, Shared, best_blur, black_frame, defects, scene, shared_noise
from specimens import SPECIMENS

from baikal_deploy import Denoiser
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.host.machine import cpu
from baikal_evaluation.methods import Model, Spec
from baikal_training.camera import Camera

MODELS = "nuclei", "membranes"
EVALUATIONS = 1, 2, 3
PSNR = 14.0
"""Of the noise that pixels share, in dB."""
LEVELS = (18.0, 15.0, 12.0, 9.0)
"""Of the white noise, in dB."""

Plane = np.ndarray


def psnr(result: Plane, truth: Plane, peak: float) -> float:
    return float(10 * np.log10(peak**2 / np.square(result.astype(np.float64) - truth).mean()))


def of_defect(denoiser: Denoiser, case: Defect) -> tuple[float, float, float]:
    """PSNR of the compared pixels: noisy, denoised without the defect, and with it."""
    good, truth = case.compared, case.truth[case.compared]
    plain = denoiser.denoise(case.plain, dtype=np.float32).reshape(case.truth.shape)
    broken = denoiser.denoise(case.broken, dtype=np.float32)[case.place]
    noisy = case.plain.reshape(case.truth.shape)
    peak = float(np.ptp(case.truth))
    a, b, c = (psnr(image[good], truth, peak) for image in (noisy, plain, broken))
    return a, b, c


def report_defects(side: int, seed: int) -> None:
    print("\n| defect (model nuclei) | noisy | denoised without it | with it |\n|---|---|---|---|")
    with Denoiser.load("nuclei") as denoiser:
        for case in (*defects("nuclei", side, seed), black_frame("nuclei", side // 2, seed)):
            noisy, plain, broken = of_defect(denoiser, case)
            print(
                f"| {case.name} | {noisy:.1f} | {plain:.2f} | {broken:.2f} ({broken - plain:+.2f}) |",
                flush=True,
            )


def ways(model: str) -> dict[str, Spec]:
    found = {f"matched, {count}": Spec.parse(f"matched,evaluations={count}") for count in EVALUATIONS}
    told = {"BM3D, spectrum": Spec.parse("spectral-bm3d")} if importlib.util.find_spec("bm3d") else {}
    return told | found


def of_noise(model: str, case: Shared) -> Iterator[tuple[str, float]]:
    """PSNR of each way to denoise a plane."""
    peak, noisy = float(np.ptp(case.truth)), case.noisy.astype(np.float32)
    yield "noisy", psnr(noisy, case.truth, peak)
    yield "best blur", psnr(best_blur(noisy, case.truth), case.truth, peak)
    for name, spec in ways(model).items():
        yield name, psnr(spec.make(Model(model)).denoise(noisy[None], None).planes[0], case.truth, peak)


def report_noise(side: int, seed: int) -> None:
    columns = ["noisy", "best blur", *ways("nuclei")]
    print(f"\n| noise, correlation, model | {' | '.join(columns)} |\n{'|---' * (len(columns) + 1)}|")
    gains: dict[str, list[float]] = {name: [] for name in columns[2:]}
    for model in MODELS:
        for case in shared_noise(SPECIMENS[model], side, PSNR, seed):
            found = dict(of_noise(model, case))
            for name, own in gains.items():
                own.append(found[name] - found["best blur"])
            cells = " | ".join(f"{found[name]:.2f}" for name in columns)
            print(f"| {case.name}, {case.correlation:.2f}, {model} | {cells} |", flush=True)
    for name, own in gains.items():
        print(f"{name}: {mean(own):+.2f} dB over the best blur in the mean, {min(own):+.2f} at worst")


def report_alarms(side: int, seed: int, planes: int) -> None:
    sampler = make_sampler("matched", {}, {})
    print()
    for model in SPECIMENS:
        with Denoiser.load(model) as denoiser:
            correlated = broken = 0
            for number in range(planes):
                clean = scene(SPECIMENS[model], side, seed + 100 + number).astype(np.float32)
                noisy = Camera.at_psnr(clean, LEVELS[number % len(LEVELS)]).expose(clean, number)
                found = denoiser.measure([noisy], sampler)
                correlated += found.noise is not None and found.noise.is_correlated
                bad = found.screen.screened(noisy).defects
                broken += 0 if bad is None else int(np.count_nonzero(bad))
        share = broken / (planes * side**2)
        print(
            f"{model}: {planes} planes of white noise, {correlated} said to be correlated; "
            f"{share:.5%} of the pixels taken for hot or dead",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["defects", "noise", "alarms"], metavar="PART")
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--planes", type=int, default=20, help="of each model, for alarms")
    parser.add_argument("--seed", type=int, default=4000)
    args = parser.parse_args()
    if unknown := set(args.parts) - {"defects", "noise", "alarms"}:
        parser.error(f"unknown part {unknown.pop()}; choose of defects, noise, alarms")
    logging.disable()  # what is said of single planes
    print(f"{cpu().model}; planes of {args.side}²")
    started = time.perf_counter()
    if "defects" in args.parts:
        report_defects(args.side, args.seed)
    if "noise" in args.parts:
        report_noise(args.side, args.seed)
    if "alarms" in args.parts:
        report_alarms(args.side, args.seed, args.planes)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
