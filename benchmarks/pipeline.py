"""What a run costs beside its network.

* A run whose denoiser hands the planes back, against a plain copy from Zarr to Zarr with the same chunks,
  shards and codec: each reads the same store and writes to the same disk, in turn. (The run also writes a
  pyramid, a third more pixels, and its journal, and syncs to disk; wanted: at least 0.85.)
* A `matched` run from file to file, against the time in its engine calls (wanted: at most 1.04).

    python benchmarks/pipeline.py --planes 256 --matched-planes 64
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from baikal_deploy import Run, RunConfig
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.stack import Denoised, Stack
from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.live.timed import TimedEngine
from baikal_deploy.pixels.counts import Tally
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei

PAIRS = 5


class Identity(Denoiser):
    """Hands the planes back."""

    def run(self, recipe: Any, stack: Stack, *more: Any, **named: Any) -> Denoised:
        return Denoised(stack.pixels.copy(), None, None, Tally(stack.pixels.size))


def make_input(path: Path, planes: int, side: int) -> None:
    counts = Camera().expose(simulate_nuclei((4, side, side), seed=3), seed=3)
    shape = (planes, side, side)
    array = zarr.create_array(
        path, shape=shape, dtype="uint16", chunks=(1, side, side), compressors=ZstdCodec(level=1)
    )
    for plane in range(planes):
        array[plane] = np.roll(counts[plane % 4], plane, axis=1)


def copy(source: Path, like: zarr.Array[Any], target: Path) -> float:
    """Seconds of copying an array, shard by shard, into the layout of another one."""
    started = time.perf_counter()
    array = zarr.open_array(source, mode="r")
    assert like.shards is not None
    new = zarr.create_array(
        target,
        shape=array.shape,
        dtype=array.dtype,
        chunks=like.chunks,
        shards=like.shards,
        compressors=ZstdCodec(level=1),
    )
    for first in range(0, array.shape[0], like.shards[0]):
        new[first : first + like.shards[0]] = array[first : first + like.shards[0]]
    return time.perf_counter() - started


def identity_run(source: Path, target: Path) -> float:
    """Seconds of a run without its network, after planning."""
    with Run(RunConfig(source, target, engine="analytic", overwrite=True)) as run:
        run.models.of(0).denoiser.__class__ = Identity
        return run.execute().seconds


def against_copy(folder: Path, planes: int, side: int) -> float:
    make_input(folder / "in.zarr", planes, side)
    ratios = []
    for number in range(PAIRS + 1):
        ours = identity_run(folder / "in.zarr", folder / "out.zarr")
        like = zarr.open_array(folder / "out.zarr" / "0", mode="r")
        plain = copy(folder / "in.zarr", like, folder / "copy.zarr")
        if number:  # the first pair warms up
            ratios.append(plain / ours)
            print(f"copy {plain:.2f} s, run {ours:.2f} s", flush=True)
        shutil.rmtree(folder / "copy.zarr")
        shutil.rmtree(folder / "out.zarr")
    shutil.rmtree(folder / "in.zarr")
    return float(np.median(ratios))


def against_engine(folder: Path, planes: int, side: int) -> float:
    make_input(folder / "in.zarr", planes, side)
    with Run(RunConfig(folder / "in.zarr", folder / "out.zarr", sampler="matched")) as run:
        denoiser = run.models.of(0).denoiser
        timed = TimedEngine(denoiser.predictor.engine)
        denoiser.predictor = TiledPredictor(timed)
        seconds = run.execute().seconds
    print(
        f"matched run of {planes} planes of {side}²: {seconds:.2f} s, of which engine {timed.seconds:.2f} s"
    )
    return seconds / timed.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--planes", type=int, default=256)
    parser.add_argument("--matched-planes", type=int, default=64)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument(
        "--folder", type=Path, help="on the disk to be measured [default: the system's for temporary files]"
    )
    args = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        share = against_copy(Path(name), args.planes, args.side)
        print(f"a run without its network moves {share:.2f} of what a copy moves (wanted: at least 0.85)")
        if args.matched_planes:
            ratio = against_engine(Path(name), args.matched_planes, args.side)
            print(f"a matched run takes {ratio:.3f} times its engine calls (wanted: at most 1.04)")


if __name__ == "__main__":
    main()
