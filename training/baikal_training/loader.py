"""Batches of samples, made ahead by worker processes."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import torch
from torch.utils.data import DataLoader

from baikal_deploy.host.machine import usable_cores
from baikal_training.samples import BatchPlan, Sample, SampleDataset

MOST_WORKERS = 8
"""Most worker processes that are started by themselves."""
CORES_PER_WORKER = 8
"""Cores of a CPU that train for each worker beside them. On one core, the crops of a step take a ninetieth of
its time (make bench-train), and so a ninth of it on ten: with few cores, a worker has nothing to save.
"""
_CAN_FORK = sys.platform == "linux"


def default_workers(device: torch.device, processes: int = 1) -> int:
    """How many processes make crops for one that trains, of the cores that it may use.

    A GPU is done with a batch before one process has made the next, so that all cores but one make crops. On
    a CPU it is one of CORES_PER_WORKER cores; with fewer, crops are made between the steps. Where processes
    are not forked, each worker would hold the images once more: none.

    Args:
        device: that the network is trained on.
        processes: that train on this machine and share its cores.
    """
    cores = usable_cores() // processes
    if not _CAN_FORK or cores < 2:
        return 0
    return min(MOST_WORKERS, cores - 1 if device.type == "cuda" else cores // CORES_PER_WORKER)


class Batches(Iterator[Sample]):
    """The samples of each batch of a plan, in order; the same for any number of workers.

    A context manager: the workers end with it.
    """

    def __init__(self, samples: SampleDataset, plan: BatchPlan, workers: int, device: torch.device) -> None:
        """``workers`` make samples ahead; with 0, each batch is made when it is asked for.

        For CUDA, batches lie in memory that a GPU copies from while it computes.
        """
        loader = DataLoader(
            samples,
            batch_sampler=plan,
            num_workers=workers,
            pin_memory=device.type == "cuda",
            worker_init_fn=_ignore_interrupts,
            multiprocessing_context="fork" if workers and _CAN_FORK else None,
        )
        with warnings.catch_warnings():
            # Forks do not inherit threads; those of workers read and resize alone, with threads of their own.
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            self._made: Iterator[Sample] | None = iter(loader)

    def __next__(self) -> Sample:
        assert self._made is not None, "the batches are closed"
        return next(self._made)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # They end by themselves when nothing refers to the iterator; an error's traceback does, for long.
        stop = getattr(self._made, "_shutdown_workers", None)
        if stop is not None:
            stop()
        self._made = None


def _ignore_interrupts(_worker: int) -> None:
    """Leave Ctrl-C, which reaches all processes of a terminal, to the one that trains: it ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
