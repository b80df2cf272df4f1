"""NDTiff data sets whose images do not fill a grid: what is read, and what is said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.vendors.steps import Steps
from tests.unit.volumes.test_tiff import assert_holds, axes_of, counts, refused, scales_of

SUMMARY = {"PixelSize_um": 0.5, "z-step_um": 2, "Interval_ms": 1500}


def write(folder: Path, places: Sequence[Mapping[str, Any]]) -> Path:
    """An NDTiff data set with an image at each place, ``counts`` in order."""
    ndstorage = pytest.importorskip("ndstorage")
    data = ndstorage.NDTiffDataset(str(folder), name="data", writable=True)
    data.initialize(dict(SUMMARY))
    for place, plane in zip(places, counts(len(places), 20, 30), strict=True):
        data.put_image(dict(place), plane, json.dumps({"Axes": place}).encode())
    data.current_writer.reader.close()  # nobody else does
    data.finish()
    data.close()
    return next(folder.iterdir())


def test_a_stack_of_one_channel_alone(tmp_path: Path) -> None:
    """Such channels are series of their own, whichever comes first."""
    stack = [{"channel": "GFP", "z": z} for z in range(3)]
    for number, places in enumerate(([*stack, {"channel": "BF"}], [{"channel": "BF"}, *stack])):
        path = write(tmp_path / str(number), places)
        refused(path, r"holds 2 series \(0: without z, 1: with z\); choose one with --series N")
        single, several = open_input(path, 0), open_input(path, 1)
        assert (axes_of(single), axes_of(several)) == ("yx", "zyx")
        assert [v.info.channel_name(0) for v in (single, several)] == ["BF", "GFP"]
        planes = counts(4, 20, 30)
        assert_holds(single, planes[3 if number == 0 else 0])
        assert_holds(several, planes[:3] if number == 0 else planes[1:])


def test_steps_that_were_left_out_keep_their_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [{"time": time} for time in (0, 1, 2, 5, 6)])
    volume = open_input(path)
    assert volume.info.shape == (7, 20, 30)
    assert scales_of(volume)["t"] == (1.5, "second")
    assert volume.info.remarks == ("time=3, 4 was not recorded; its place is kept",)
    there = [0, 1, 2, 5, 6]
    np.testing.assert_array_equal(volume.read(there), counts(5, 20, 30))
    for step in (3, 4):
        with pytest.raises(VolumeError, match=rf"has no image at time={step}.*--on-error zero"):
            volume.read([step])


def test_every_second_plane(tmp_path: Path) -> None:
    volume = open_input(write(tmp_path / "a", [{"z": z} for z in (-2, 0, 2)]))
    assert_holds(volume, counts(3, 20, 30))
    assert scales_of(volume)["z"] == (4, "micrometer")
    assert not volume.info.remarks


def test_more_gaps_than_images_are_refused() -> None:
    with pytest.raises(VolumeError, match="has no image at time=1 and 999999997 other steps of time"):
        Steps.of(Path("a"), "time", [0, 1_000_000_000 - 1, 1_000_000_000])
    assert Steps.of(Path("a"), "channel", [0, 1_000_000_000]).all == [0, 1_000_000_000]


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [{"time": time} for time in range(3)])
    (path / "x_NDTiffStack_1.tif").touch()
    refused(path, r"x_NDTiffStack_1\.tif: is empty")
