"""Worker processes read the same crops, with files and threads of their own."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
import pytest
import tifffile
import torch
import zarr
from torch.utils.data import DataLoader

from baikal_deploy.measurement.intensity import Normalisation
from baikal_training.data import Augmentation, CropDataset, open_clean
from baikal_training.data.readers.base import OnDisk

COUNT, BATCH = 24, 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> CropDataset:
    """Crops of volumes that stay on disk, one for each way of reading, with files open in this process."""
    folder = tmp_path_factory.mktemp("volumes")
    for seed, version in enumerate((2, 3)):
        zarr.create_array(
            folder / f"v{version}.zarr", data=pixels(seed), chunks=(1, 32, 32), zarr_format=version
        )
    tifffile.imwrite(folder / "mapped.tif", pixels(2), photometric="minisblack")
    tifffile.imwrite(folder / "strips.tif", pixels(3), photometric="minisblack", compression="zlib")
    tifffile.imwrite(
        folder / "tiles.tif", pixels(4), photometric="minisblack", compression="zlib", tile=(32, 32)
    )
    np.save(folder / "a.npy", pixels(5))
    np.savez(folder / "stored.npz", Y=pixels(6), axes="SYX")
    np.savez_compressed(folder / "deflated.npz", Y=pixels(7), axes="SYX")
    volumes = open_clean([folder], Normalisation()).volumes
    assert len(volumes) == 8
    return CropDataset(volumes, 32, 0, Augmentation())


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (6, 96, 80)).astype("u2")


@dataclass(frozen=True)
class WhoOpened:
    """A source whose one pixel is the process that opened it."""

    def open(self) -> np.ndarray:
        return np.array([os.getpid()])


def send_pixel(pixels: OnDisk, pipe: Connection) -> None:
    pipe.send(int(pixels[slice(None),][0]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_opens_files_of_its_own() -> None:
    pixels = OnDisk(WhoOpened())
    assert pixels[slice(None),][0] == os.getpid()
    here, there = multiprocessing.Pipe()
    worker = multiprocessing.get_context("fork").Process(target=send_pixel, args=(pixels, there))
    worker.start()
    assert here.recv() == worker.pid
    worker.join()


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a single core
# Python 3.12 warns of what is tested here: the fork of a process that has threads, zarr's.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_change_nothing(dataset: CropDataset, start: str) -> None:
    if start not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {start}")
    expected = torch.stack([dataset[i] for i in range(COUNT)])
    batches = [range(first, first + BATCH) for first in range(0, COUNT, BATCH)]
    for _ in range(2):  # the second time, too, forks from a process that has read before
        loader = DataLoader(
            dataset, batch_sampler=batches, num_workers=2, multiprocessing_context=start, timeout=60
        )
        assert torch.equal(torch.cat(list(loader)), expected)
        if start == "spawn":
            break
