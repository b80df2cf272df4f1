"""Peak memory of a run, each in a process of its own (make bench-memory).

* A virtual volume of 1 GB, and one of 32 GB, whose planes are made when they are read (wanted: peaks within
  5 %). All of it is read and written; its denoiser hands the planes back, and its pixels make a pattern,
  so that it takes minutes, and little disk.
* --model: runs of many kinds against what baikal_deploy/run/memory.py expects of them.

    python benchmarks/memory.py [--gigabytes 1 32] [--model]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from baikal_deploy import Run, RunConfig
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.stack import Denoised, Stack
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.volumes.base import Axis, VolumeInfo
from baikal_deploy.volumes.layout import Layout

SIDE = 1024
LIMIT = "1GB"
MODEL = [
    {"dtype": dtype, "side": side, "sampler": sampler, "batch": batch, "maps": maps, "layout": layout}
    for dtype, side, sampler, batch, maps, layout in (
        ("uint16", 512, "matched", 1, False, {"planes": 64}),
        ("uint8", 512, "matched", 1, True, {"planes": 64}),
        ("float32", 1024, "matched", 1, False, {"planes": 16}),
        ("float64", 1024, "matched", 1, False, {"planes": 8}),
        ("uint16", 2048, "auto", 1, False, {"planes": 1}),
        ("uint16", 2048, "auto", 1, True, {"planes": 1}),
        ("uint16", 2048, "repaint", 1, False, {"planes": 1}),
        ("uint16", 2048, "posterior", 1, False, {"planes": 1}),
        ("uint16", 1024, "repaint", 4, False, {"planes": 4}),
        ("uint16", 4096, "matched", 1, False, {"planes": 1, "edge": 1024}),
    )
]


@dataclass(frozen=True)
class Virtual:
    """A volume whose planes are made when they are read: one tile of few grey values, shifted.

    Attributes:
        info: of the volume.
        noisy: or a pattern of four grey values, which is compressed quickly.
    """

    info: VolumeInfo
    metadata_files: Sequence[Path] = ()
    noisy: bool = False

    @cached_property
    def _tile(self) -> Raw:
        if self.noisy:
            return np.random.default_rng(0).integers(0, 240, (SIDE, SIDE)).astype(self.info.dtype)
        return np.add.outer(np.arange(SIDE) % 2, np.arange(SIDE) % 4).astype(self.info.dtype)

    def read(self, planes: Sequence[int]) -> Raw:
        out = np.empty((len(planes), *self.info.plane_shape), self.info.dtype)
        for number, plane in enumerate(planes):
            out[number] = self._made(plane, *(slice(0, size) for size in self.info.plane_shape))
        return out

    def read_window(self, plane: int, y: slice, x: slice) -> Raw:
        return self._made(plane, y, x)

    def _made(self, plane: int, y: slice, x: slice) -> Raw:
        window = np.empty((y.stop - y.start, x.stop - x.start), self.info.dtype)
        tile, (height, width) = self._tile, self._tile.shape
        for top in range(y.start // height * height, y.stop, height):
            for left in range(x.start // width * width, x.stop, width):
                a, b = max(top, y.start), min(top + height, y.stop)
                c, d = max(left, x.start), min(left + width, x.stop)
                shifted = tile[a - top : b - top, c - left : d - left]
                window[a - y.start : b - y.start, c - x.start : d - x.start] = shifted + plane % 8
        return window


class Identity(Denoiser):
    """Hands the planes back."""

    def run(self, recipe: Any, stack: Stack, *more: Any, **named: Any) -> Denoised:
        return Denoised(stack.pixels.copy(), None, None, Tally(stack.pixels.size))


def virtual(planes: int, side: int, dtype: str, noisy: bool) -> Virtual:
    axes, ones = tuple(Axis(name) for name in "zyx"), (1.0,) * 3
    info = VolumeInfo(Path("virtual"), axes, (planes, side, side), np.dtype(dtype), ones, ones)
    return Virtual(info, noisy=noisy)


def measured(case: dict[str, Any]) -> dict[str, Any]:
    """Run a case in this process: peak and expected bytes, seconds."""
    volume = virtual(case["planes"], case["side"], case["dtype"], case.get("noisy", False))
    with tempfile.TemporaryDirectory(dir=case["folder"]) as folder:
        maps = {name: Path(folder, f"{name}.zarr") for name in ("uncertainty", "mask") if case.get("maps")}
        config = RunConfig(
            Path("virtual"),
            Path(folder, "out.zarr"),
            engine=case.get("engine", "analytic"),
            sampler=case["sampler"],
            options=case.get("options", {}),
            batch=case.get("batch", 1),
            memory=case.get("memory"),
            **maps,
        )
        layouts = {"return_value": [Layout(**case["layout"])]} if "layout" in case else {}
        with (
            mock.patch("baikal_deploy.run.inputs.open_input", return_value=volume),
            mock.patch("baikal_deploy.run.memory.layouts", **layouts) if layouts else mock.MagicMock(),
            Run(config) as run,
        ):
            planned = peak()
            if case.get("identity"):
                run.models.of(0).denoiser.__class__ = Identity
            seconds = run.execute().seconds
            return {
                "peak": peak(),
                "planned": planned,
                "base": run.plan.memory.base,
                "needed": run.plan.memory.needed(run.layout),
                "layout": run.layout.record(),
                "seconds": seconds,
            }


def peak() -> int:
    """Most memory that this process has held, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def in_process(case: dict[str, Any]) -> dict[str, Any]:
    """``measured`` in a new process."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def of_size(gigabytes: float, folder: str | None) -> dict[str, Any]:
    """A run over a virtual float64 volume of this size; its denoiser hands the planes back."""
    planes = round(gigabytes * 1e9 / (SIDE * SIDE * 8))
    case = {"planes": planes, "side": SIDE, "dtype": "float64", "sampler": "matched", "folder": folder}
    found = in_process(case | {"identity": True, "memory": LIMIT})
    print(
        f"{gigabytes:g} GB: peak {found['peak'] / 1e6:.0f} MB of {LIMIT}, {found['seconds']:.0f} s, "
        f"layout {found['layout']}",
        flush=True,
    )
    return found


def against_model(folder: str | None) -> None:
    for case in MODEL:
        layout = case["layout"]
        assert isinstance(layout, dict)
        planes = 4 * layout["planes"] if "edge" not in layout else 1
        found = in_process(case | {"planes": planes, "noisy": True, "folder": folder})
        what = " ".join(f"{key}={value}" for key, value in case.items())
        figures = {key: round(found[key] / 1e6) for key in ("base", "planned", "peak", "needed")}
        print(f"{figures} MB, {found['seconds']:.0f} s: {what}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 32])
    parser.add_argument("--model", action="store_true")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help="for the outputs [default: the system's for temporary files]")
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measured(json.loads(args.case))))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores")
    if args.model:
        against_model(args.folder)
        return
    peaks = [of_size(gigabytes, args.folder)["peak"] for gigabytes in args.gigabytes]
    print(f"largest peak over smallest: {max(peaks) / min(peaks):.3f} (wanted: at most 1.05)")


if __name__ == "__main__":
    main()
