"""Quality of the samplers against a Gaussian blur and BM3D, on real pairs and on simulated planes.

    python benchmarks/quality.py table [PAIRS] [--model MODEL] [--panels FOLDER]
    python benchmarks/quality.py sweep [PAIRS] [--model MODEL]

The simulated planes are of the morphology that the model is named after (none, for a model of another name),
with a seed that none was trained on.
PAIRS is a folder with NAME_raw1.png and NAME_gt.png (or .tif) of each pair, such as the nuclei of
the FMD data set (Zhang et al., CVPR 2019).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from baikal_deploy import Denoiser
from baikal_deploy.intensity import noise_std
from baikal_training.camera import add_noise
from baikal_training.simulate import simulate

REAL = ("TwoPhoton_MICE", "n2f_mice", "TwoPhoton_BPAE_B", "Confocal_BPAE_B")
SIMULATED_PSNR = (15.0, 12.0, 9.0)
SIMULATED = {"nuclei": (8, 4), "tribolium": (1, 0), "flywing": (1, 0)}
"""Planes of the simulated volume, and the plane that is used."""
SEED = 100
SAMPLERS = ("forward-backward", "mixing", "repaint")
GAUSSIAN_SIGMAS = np.arange(0.5, 6.1, 0.25)

Plane = NDArray[Any]


@dataclass(frozen=True)
class Pair:
    """A noisy plane and its reference, and the data range of the metrics."""

    name: str
    noisy: Plane
    clean: Plane
    data_range: float

    def psnr(self, image: Plane) -> float:
        return float(
            peak_signal_noise_ratio(self.clean, image.astype(self.clean.dtype), data_range=self.data_range)
        )

    def ssim(self, image: Plane) -> float:
        image = image.astype(self.clean.dtype)
        return float(structural_similarity(self.clean, image, data_range=self.data_range))

    def cropped(self, side: int) -> Pair:
        return Pair(self.name, self.noisy[:side, :side], self.clean[:side, :side], self.data_range)


def real_pairs(folder: Path | None) -> Iterator[Pair]:
    for name in REAL if folder else ():
        yield Pair(name, _read(folder, f"{name}_raw1"), _read(folder, f"{name}_gt"), 255.0)


def _read(folder: Path, stem: str) -> Plane:
    if (png := folder / f"{stem}.png").exists():
        return np.asarray(Image.open(png), dtype=np.float64)
    return tifffile.imread(folder / f"{stem}.tif").astype(np.float64)


def simulated_pairs(model: str, side: int) -> Iterator[Pair]:
    morphology = Path(model).stem
    if morphology not in SIMULATED:
        return
    planes, plane = SIMULATED[morphology]
    clean = simulate(morphology, (1, planes, side, side), SEED)[0, plane].astype(np.float64)
    for psnr in SIMULATED_PSNR:
        noisy = add_noise(clean, psnr, seed=int(psnr)).astype(np.float64)
        yield Pair(f"simulated, {psnr:g} dB", noisy, clean, 1.0)


def gaussian(pair: Pair) -> Plane:
    """The blur with the best PSNR: an oracle, since it looks at the truth."""
    return max((gaussian_filter(pair.noisy, s) for s in GAUSSIAN_SIGMAS), key=pair.psnr)


def bm3d(pair: Pair) -> Plane:
    from bm3d import bm3d as run  # slow to import, and not needed by the sweep

    return np.asarray(run(pair.noisy, noise_std([pair.noisy])))


def sampled(denoiser: Denoiser, sampler: str, **options: Any) -> Callable[[Pair], tuple[Plane, int]]:
    def run(pair: Pair) -> tuple[Plane, int]:
        evaluations = []
        result = denoiser.denoise(pair.noisy, sampler, seed=0, progress=evaluations.append, **options)
        return result, sum(evaluations)

    return run


def table(args: argparse.Namespace) -> None:
    """Every method on every pair."""
    pairs = [*real_pairs(args.pairs), *simulated_pairs(args.model, 512)]
    rows, panels = [], {pair.name: [] for pair in pairs}
    with Denoiser.load(args.model) as denoiser:
        methods: dict[str, Callable[[Pair], Any]] = {
            "noisy": lambda pair: pair.noisy,
            "Gaussian, best sigma": gaussian,
            "BM3D": bm3d,
            **{name: sampled(denoiser, name) for name in SAMPLERS},
        }
        for pair in pairs:
            for name, method in methods.items():
                started = time.perf_counter()
                result = method(pair)
                seconds = time.perf_counter() - started
                result, nfe = result if isinstance(result, tuple) else (result, 0)
                rows.append(
                    {"pair": pair.name, "method": name, "psnr": pair.psnr(result), "ssim": pair.ssim(result)}
                    | {"nfe": nfe, "seconds": seconds}
                )
                print(
                    "{pair:18} {method:22} {psnr:6.2f} dB {ssim:.3f} {nfe:3d} {seconds:6.1f} s".format(
                        **rows[-1]
                    )
                )
                panels[pair.name].append(result)
            panels[pair.name].append(pair.clean)
    print_markdown(rows, list(methods))
    if args.panels:
        for name, images in panels.items():
            save_panel(args.panels / f"{name.replace(', ', '-').replace(' ', '')}.png", images)


def print_markdown(rows: list[dict[str, Any]], methods: list[str]) -> None:
    """A row per method, PSNR/SSIM per pair, and the mean cost."""
    pairs = list(dict.fromkeys(row["pair"] for row in rows))
    print(f"\n| method | NFE | s per plane | {' | '.join(pairs)} |")
    print("|---" * (len(pairs) + 3) + "|")
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        cells = [f"{row['psnr']:.2f} / {row['ssim']:.3f}" for row in own]
        seconds = np.mean([row["seconds"] for row in own])
        print(f"| {method} | {own[0]['nfe']} | {seconds:.1f} | {' | '.join(cells)} |")


def save_panel(path: Path, images: list[Plane], side: int = 256) -> None:
    """noisy, Gaussian, BM3D, the samplers, truth: the upper left corner of each."""
    low, high = np.percentile(images[-1], [0.5, 99.8])
    crops = [np.clip((image[:side, :side] - low) / (high - low), 0, 1) for image in images]
    Image.fromarray((np.concatenate(crops, axis=1) * 255).astype(np.uint8)).save(path)


SWEEPS: dict[str, list[dict[str, Any]]] = {
    "forward-backward": [{"start_scale": s} for s in (0.7, 1.0, 1.2, 1.5, 1.8, 2.2)]
    + [{"steps": s} for s in ("walk5", "walk20")] + [{"start_scale": 1.0, "steps": "walk5"}],
    "mixing": [
        {"mix": m, "start_scale": s, "w_start": w}
        for m in ("before", "after") for s in (1.2, 1.45, 1.8) for w in (0.15, 0.3, 0.5)
    ] + [
        {"stop_scale": 0.25}, {"stop_scale": 0.75}, {"weights": "constant"},
        {"steps": "walk6"}, {"steps": "walk20"},
    ],
    "repaint": [
        {"mix": m, "start_scale": s, "w_start": w}
        for m in ("before", "after") for s in (1.0, 1.2, 1.45) for w in (0.15, 0.3)
    ] + [
        {"stop_scale": 0.25}, {"stop_scale": 0.75}, {"renoise": False}, {"repeats": 2},
        {"repeats": 5, "steps": "walk6"}, {"interval": 5}, {"final_repeats": 1, "interval": 5},
    ],
}  # fmt: skip


def sweep(args: argparse.Namespace) -> None:
    """Mean PSNR of option sets, as differences from the model's recommended options."""
    real, simulated = list(real_pairs(args.pairs)), list(simulated_pairs(args.model, 256))
    pairs = [pair.cropped(256) for pair in real] + simulated
    with Denoiser.load(args.model) as denoiser:
        for name in args.sampler or SAMPLERS:
            for options in [{}, *SWEEPS[name]]:
                run = sampled(denoiser, name, **options)
                values = [pair.psnr(run(pair)[0]) for pair in pairs]
                groups = {"real": values[: len(real)], "simulated": values[len(real) :]}
                means = " ".join(f"{kind} {np.mean(own):.2f}" for kind, own in groups.items() if own)
                each = " ".join(f"{value:.2f}" for value in values)
                print(f"{name:17} {means} [{each}] {options}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for command in (table, sweep):
        sub = commands.add_parser(command.__name__, help=command.__doc__)
        sub.add_argument("pairs", nargs="?", type=Path)
        sub.add_argument("--model", default="nuclei")
        sub.set_defaults(run=command)
        if command is table:
            sub.add_argument("--panels", type=Path, help="folder for the pictures")
        else:
            sub.add_argument("--sampler", action="append", choices=SAMPLERS)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
