"""Every engine that works here on the shipped model: ratios of CPU time, and errors (make bench-engines).

    python benchmarks/engines.py [--rounds 9]

1. On one core (so on Linux only), in turn: how many times longer torch takes in eager mode, in CPU time;
   and the relative error (L2) against onnx-cpu in fp32, on noisy simulated nuclei.
2. Wall time from the start of a process to its first denoised plane (default sampler, all cores), and of a
   dry run, which ends when the noise is measured and two more evaluations are timed.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CORES = os.sched_getaffinity(0)
os.sched_setaffinity(0, {min(CORES)})  # before the libraries count cores

import numpy as np  # noqa: E402
import torch  # noqa: E402
import zarr  # noqa: E402

from baikal_deploy.engines import engine_class, engine_names, open_engine  # noqa: E402
from baikal_deploy.engines.base import Engine, EngineOptions  # noqa: E402
from baikal_deploy.errors import EngineUnavailable  # noqa: E402
from baikal_deploy.host import machine  # noqa: E402
from baikal_deploy.models.manifest import find_model, read_manifest  # noqa: E402
from baikal_deploy.pixels.arrays import Planes  # noqa: E402
from baikal_export.network import EpsNetwork  # noqa: E402
from baikal_export.torch_eager import TorchEngine  # noqa: E402
from baikal_training.camera import add_noise  # noqa: E402
from baikal_training.simulate import simulate_nuclei  # noqa: E402
from baikal_training.unet import UNet  # noqa: E402
from baikal_training.unet_config import UNetConfig  # noqa: E402

MODEL = find_model("nuclei")
TORCH = "torch eager fp32"
SIDES = (256, 512)
TIMESTEPS = (20, 100, 250, 500, 900)
STARTS = 5
"""Processes of which the median start is taken."""


def torch_engine() -> Engine:
    """A network of the shipped model's shape; weights do not change the time."""
    manifest = read_manifest(MODEL)
    return TorchEngine(EpsNetwork(UNet(UNetConfig()), "velocity", manifest.schedule), manifest)


def engines() -> Iterator[tuple[str, Engine]]:
    """torch first; then whatever works here, in each precision that it has for the shipped model."""
    manifest = read_manifest(MODEL)
    yield TORCH, torch_engine()
    for name in engine_names():
        if name == "analytic":  # has no network
            continue
        for precision in engine_class(name).COMPUTES[manifest.precision]:
            options = EngineOptions(threads=1, precision=precision, side=max(SIDES))
            try:
                engine_class(name).check(precision)
                yield f"{name} {precision}", open_engine(name, MODEL, manifest, options)
            except EngineUnavailable as error:
                print(f"  left out: {error.reason}")


def noised(side: int, t: int) -> Planes:
    """A plane of simulated nuclei as it is at timestep t: (1, 1, side, side)."""
    schedule = read_manifest(MODEL).schedule.build()
    noise = np.random.default_rng(t).standard_normal((1, 1, side, side), np.float32)
    return schedule.q_sample(2 * simulate_nuclei((1, side, side), seed=1)[None] - 1, t, noise)


def errors(engine: Engine, reference: Engine) -> str:
    """‖eps − reference‖ / ‖reference‖ at each of TIMESTEPS."""
    found = []
    for t in TIMESTEPS:
        x = noised(SIDES[0], t)
        wanted = reference.predict(x, t)[0]
        eps = engine.download(engine.predict(engine.upload(x), t)[0])
        found.append(float(np.linalg.norm(eps - wanted) / np.linalg.norm(wanted)))
    return " ".join(f"{error:.1e}" for error in found)


def cpu_seconds(opened: dict[str, Engine], side: int, rounds: int) -> dict[str, float]:
    """Median CPU time of an evaluation, all engines in turn in every round."""
    x, seconds = noised(side, 250), {name: list[float]() for name in opened}
    for _ in range(rounds + 1):
        for name, engine in opened.items():
            started = time.process_time()
            engine.download(engine.predict(engine.upload(x), 250)[0])
            seconds[name].append(time.process_time() - started)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}  # the first warms up


def compare(rounds: int) -> None:
    opened = dict(engines())
    tables = {side: cpu_seconds(opened, side, rounds) for side in SIDES}
    reference = opened["onnx-cpu fp32"]
    heads = "".join(f"{f'{side}²: ms':>12}{'torch/it':>10}" for side in SIDES)
    print(f"{'':20}{heads}  error at timesteps {', '.join(map(str, TIMESTEPS))}")
    for name, engine in opened.items():
        row = "".join(
            f"{1000 * table[name]:12.0f}{table[TORCH] / table[name]:10.2f}" for table in tables.values()
        )
        print(f"{name:20}{row}  {errors(engine, reference) if engine is not opened[TORCH] else ''}")
    print("wanted: torch/it of onnx-cpu at least 2")
    if (bf16 := "openvino bf16") in opened:
        ratios = [table["onnx-cpu fp32"] / table[bf16] for table in tables.values()]
        print(
            f"onnx-cpu fp32 / {bf16}: {', '.join(f'{ratio:.2f}' for ratio in ratios)} "
            "(wanted: at least 1.8 at an error under 1 %)"
        )


def first_plane(side: int, *options: str) -> float:
    """Median wall time of a process of baikal-run for one plane."""
    counts = np.clip(add_noise(simulate_nuclei((1, side, side), seed=3), 15, 1) * 1000 + 500, 0, 65535)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        source = zarr.create_array(f"{folder}/in.zarr", shape=counts.shape, dtype="uint16")
        source[:] = counts.astype(np.uint16)
        command = [
            Path(sys.executable).with_name("baikal-run"),
            source.store_path.store.root,
            f"{folder}/out.ome.zarr",
            "--overwrite",
            *options,
        ]
        for _ in range(STARTS):
            started = time.perf_counter()
            subprocess.run(
                command, check=True, capture_output=True, preexec_fn=lambda: os.sched_setaffinity(0, CORES)
            )
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, {machine.cpu().model}, torch {torch.__version__}")
    compare(args.rounds)
    print(f"start of a process to its first plane, repaint, {len(CORES)} cores (wanted: at most 1.5 s):")
    for side in (128, 256):
        start, whole = first_plane(side, "--dry-run"), first_plane(side)
        print(f"  plane of {side}²: {whole:.2f} s; a dry run: {start:.2f} s")


if __name__ == "__main__":
    main()
