"""What it costs to share a run out: the time of each task beside its work.

Many items of one small plane, which the analytic engine denoises in no time, are done by this process, and
then by worker processes of this machine through a Dask scheduler. What is left of an item then is reading,
writing its shards, syncing them to disk, the scheduler, and the journal.

    python benchmarks/cluster.py --items 1000 --workers 2
"""

from __future__ import annotations

import argparse
import os
import pickle
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr

from baikal_deploy import Run, RunConfig
from baikal_deploy.cluster.client import Cluster
from baikal_deploy.cluster.worker import Job
from baikal_deploy.run.resume.session import Session
from baikal_deploy.run.workers import Advance

SIDE = 64
WARM = 0.2
"""Share of the items that are not timed: workers open the run with their first."""


class Measured(Cluster):
    """Attributes:
    message: bytes of a task, without Dask's own.
    """

    message = 0

    def work(self, run: Run, session: Session, advance: Advance) -> None:
        self.message = len(pickle.dumps(Job.of(run, session, None)))
        super().work(run, session, advance)


class Clock:
    """Wall and CPU time of this process from one share of a run to its end."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float, float]] = []

    def __call__(self, done: int, total: int) -> None:
        if done >= WARM * total:
            self.marks.append((done, time.perf_counter(), time.process_time()))

    def per_evaluation(self) -> tuple[float, float]:
        """Seconds, and CPU seconds, for each evaluation of a plane."""
        (first, wall, cpu), (last, wall_end, cpu_end) = self.marks[0], self.marks[-1]
        return (wall_end - wall) / (last - first), (cpu_end - cpu) / (last - first)


def make_input(path: Path, items: int) -> None:
    shape = (items, 1, SIDE, SIDE)
    array = zarr.create_array(
        path, shape=shape, dtype="uint16", chunks=(items, 1, SIDE, SIDE), dimension_names=list("tzyx")
    )
    array[...] = np.random.default_rng(0).poisson(100, shape)


def measure(config: RunConfig, cluster: Cluster | None) -> tuple[float, float]:
    """Milliseconds, and CPU milliseconds of this process, for each item."""
    clock = Clock()
    with Run(config) as run:
        run.execute(clock, cluster)
        return tuple(1e3 * seconds * run.recipes.first(0).nfe for seconds in clock.per_evaluation())  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores; {args.items} items of one plane of {SIDE}²")
    with tempfile.TemporaryDirectory() as name, Measured(f"local:{args.workers}") as cluster:
        source = Path(name, "in.zarr")
        make_input(source, args.items)
        alone, cpu = measure(RunConfig(source, Path(name, "alone.zarr"), engine="analytic"), None)
        print(f"this process alone: {alone:.1f} ms an item, {cpu:.1f} ms of CPU")
        shared, cpu = measure(RunConfig(source, Path(name, "shared.zarr"), engine="analytic"), cluster)
        print(
            f"{args.workers} workers: {shared:.1f} ms an item, {1e3 / shared:.0f} items a second; client and "
            f"scheduler, in one process, take {cpu:.1f} ms of CPU an item"
        )
        print(f"a task is told in {cluster.message / 1e3:.1f} kB")


if __name__ == "__main__":
    main()
