"""Crops made ahead: the same samples, and processes that end."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator

import pytest
import torch

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_training import loader as module
from baikal_training.data import Augmentation, CropDataset
from baikal_training.distributed import has_fast_bf16
from baikal_training.loader import Batches, default_workers
from baikal_training.samples import BatchPlan, Sample, SampleDataset, TimestepSampler
from tests.clean import clean_volumes

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PLAN = BatchPlan(0, None, 4, 1)


def samples() -> SampleDataset:
    crops = CropDataset(clean_volumes(), 16, 0, Augmentation())
    return SampleDataset(crops, TimestepSampler(ScheduleSpec().build(), "denoising"), 0)


def first(batches: Iterator[Sample], count: int = 5) -> list[Sample]:
    return [next(batches) for _ in range(count)]


def no_workers() -> bool:
    deadline = time.monotonic() + 30
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not multiprocessing.active_children()


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a single core
def test_workers_change_nothing_and_end() -> None:
    with Batches(samples(), PLAN, 0, CPU) as batches:
        expected = first(batches)
    with Batches(samples(), PLAN, 2, CPU) as batches:
        found = first(batches)
        assert len(multiprocessing.active_children()) == 2
    assert no_workers()
    for one, other in zip(expected, found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class Failing(SampleDataset):
    def __getitem__(self, index: int) -> Sample:
        raise ValueError(f"no sample {index}")


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_end_after_an_error() -> None:
    whole = samples()
    failing = Failing(whole.crops, whole.timesteps, 0)
    with pytest.raises(ValueError, match="no sample 0"), Batches(failing, PLAN, 2, CPU) as batches:
        next(batches)
    assert no_workers()


@pytest.mark.parametrize(
    ("cores", "processes", "device", "expected"),
    [
        (1, 1, CPU, 0),
        (2, 1, CPU, 0),
        (7, 1, CPU, 0),
        (8, 1, CPU, 1),
        (64, 1, CPU, 8),
        (64, 8, CPU, 1),
        (1, 1, CUDA, 0),
        (2, 1, CUDA, 1),
        (16, 1, CUDA, 8),
        (16, 4, CUDA, 3),
    ],
)
def test_workers_by_default(
    cores: int, processes: int, device: torch.device, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: cores)
    monkeypatch.setattr(module, "_CAN_FORK", True)
    assert default_workers(device, processes) == expected


def test_where_processes_do_not_fork_there_are_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 64)
    monkeypatch.setattr(module, "_CAN_FORK", False)
    assert default_workers(CUDA) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/cpuinfo")
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, False),
        ({"avx512_f": True, "avx512_vnni": True, "amx_int8": True, "amx_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_tile": True, "amx_bf16": True}, True),
    ],
    ids=str,
)
def test_bfloat16_is_taken_where_the_processor_multiplies_in_it(
    flags: dict[str, bool], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    assert has_fast_bf16(CPU) is expected
