"""Parts of volumes, against NumPy's own indexing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from baikal_deploy import RunConfig
from baikal_deploy.cli._spans import parse_spans
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import Axis, VolumeInfo
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.selection import SelectedVolume, Span, select, spell

SHAPE = (4, 3, 5, 6, 7)
PIXELS = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)
OMERO = {
    "channels": [{"label": name} for name in ("red", "green", "blue")],
    "rdefs": {"defaultT": 3, "defaultZ": 2, "model": "color"},
}


class InMemory:
    """``PIXELS`` as a volume."""

    metadata_files = ()

    def __init__(self) -> None:
        axes = tuple(Axis(name) for name in "tczyx")
        scale, translation = (2.0, 1.0, 3.0, 0.5, 0.25), (10.0, 0.0, 20.0, 0.0, 1.0)
        self.info = VolumeInfo(Path("v"), axes, SHAPE, PIXELS.dtype, scale, translation, omero=OMERO)

    def read(self, planes: Any) -> Raw:
        return PIXELS.reshape(-1, *SHAPE[-2:])[list(planes)]

    def read_window(self, plane: int, y: slice, x: slice) -> Raw:
        return PIXELS.reshape(-1, *SHAPE[-2:])[plane, y, x]


def spans(size: int) -> st.SearchStrategy[Span]:
    """Slices and indices that hold something."""
    bound = st.none() | st.integers(-size, size - 1)
    step = st.none() | st.integers(1, 4)
    return st.integers(-size, size - 1) | st.builds(slice, bound, bound, step).filter(
        lambda span: len(range(*span.indices(size))) > 0
    )


def in_numpy(span: Span) -> slice:
    return slice(span, span + 1 or None) if isinstance(span, int) else span


def all_of(volume: SelectedVolume) -> Raw:
    return volume.read(range(volume.info.num_planes)).reshape(volume.info.shape)


@given(st.fixed_dictionaries({}, optional=dict(zip("tzyx", map(spans, (4, 5, 6, 7)), strict=True))))
def test_pixels_and_coordinates_are_those_of_the_slices(chosen: dict[str, Span]) -> None:
    part = select(InMemory(), chosen)
    index = tuple(in_numpy(chosen.get(axis, slice(None))) for axis in "tczyx")
    np.testing.assert_array_equal(all_of(part), PIXELS[index])
    whole = InMemory().info
    for i, slices in enumerate(index):
        places = whole.translation[i] + whole.scale[i] * np.arange(SHAPE[i])
        own = part.info.translation[i] + part.info.scale[i] * np.arange(part.info.shape[i])
        np.testing.assert_allclose(own, places[slices])


@given(st.data())
def test_windows_are_those_of_the_planes(data: st.DataObject) -> None:
    part = select(InMemory(), {"y": data.draw(spans(6)), "x": data.draw(spans(7)), "z": 3})
    y, x = (data.draw(st.slices(side).filter(lambda s: (s.step or 1) == 1)) for side in part.info.plane_shape)
    window = all_of(part)[2, 1, 0][y, x]
    if window.size:
        np.testing.assert_array_equal(part.read_window(7, y, x), window)


def test_planes_keep_the_numbers_that_address_their_noise() -> None:
    part = select(InMemory(), {"t": 2, "z": slice(1, 4, 2), "y": slice(2, None), "x": -1}, channels=(0, 2))
    numbers = np.arange(4 * 3 * 5).reshape(4, 3, 5)
    assert part.planes_of_whole(range(4)) == numbers[2][[0, 2]][:, 1:4:2].ravel().tolist()
    assert part.origin == (2, 6)


def test_channels_take_their_metadata_along_and_viewers_show_what_is_there() -> None:
    part = select(InMemory(), {"t": slice(2, 4), "z": 0}, channels=(0, 2))
    assert [part.info.channel_name(channel) for channel in range(2)] == ["red", "blue"]
    assert part.info.omero is not None
    assert part.info.omero["rdefs"] == {"defaultT": 1, "defaultZ": 0, "model": "color"}
    assert part.record() == {"t": [2, 4, 1], "c": [0, 2], "z": [0, 1, 1]}
    assert OMERO["rdefs"] == {"defaultT": 3, "defaultZ": 2, "model": "color"}


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"z": slice(3, 3)}, ["--z 3:3", "holds nothing", "0 to 4"]),
        ({"z": slice(0, 6)}, ["--z 0:6", "out of range", "0 to 4"]),
        ({"z": 5}, ["--z 5", "out of range"]),
        ({"z": -6}, ["--z -6", "out of range"]),
        ({"y": slice(6, None)}, ["--roi 6:", "axis y", "0 to 5"]),
        ({"x": slice(None, -8, 2)}, ["--roi :-8:2", "axis x"]),
    ],
)
def test_what_is_not_there_is_refused(chosen: dict[str, Span], words: list[str]) -> None:
    with pytest.raises(VolumeError) as caught:
        select(InMemory(), chosen)
    for word in ["v: ", *words]:
        assert word in str(caught.value)


def test_an_axis_that_is_not_there_is_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "v.zarr", shape=(2, 4, 4), dtype="u1")
    with pytest.raises(VolumeError, match="--t 0: the volume has no axis t, only z, y, x"):
        select(open_input(tmp_path / "v.zarr"), {"t": 0})


@pytest.mark.parametrize("make", ["zarr", "tiff"])
def test_real_volumes_give_their_parts(tmp_path: Path, make: str) -> None:
    path = tmp_path / ("v.zarr" if make == "zarr" else "v.tif")
    pixels = PIXELS[0]
    if make == "zarr":
        array = zarr.create_array(
            path, shape=pixels.shape, dtype=pixels.dtype, chunks=(1, 2, 4, 4), dimension_names=list("czyx")
        )
        array[...] = pixels
    else:
        tifffile.imwrite(path, pixels, compression="zlib", ome=True, metadata={"axes": "CZYX"})
    part = select(open_input(path), {"z": slice(1, None, 2), "y": slice(1, 6, 2), "x": slice(3, None)})
    np.testing.assert_array_equal(all_of(part), pixels[:, 1::2, 1:6:2, 3:])
    assert len(part.files) == (make == "tiff")


@pytest.mark.parametrize("text", ["5:20:1", "::2", "-3:", ":", "7", "-1"])
def test_spans_are_read_as_they_are_written(text: str) -> None:
    assert spell(parse_spans(None, text, None)["z"]) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"t": "a"}, ["--t a", "START:STOP"]),
        ({"z": "1:2:3:4"}, ["--z 1:2:3:4"]),
        ({"z": "1:5:-1"}, ["--z 1:5:-1"]),
        ({"z": ""}, ["--z"]),
        ({"roi": "1:5"}, ["--roi 1:5", "Y0:Y1,X0:X1"]),
        ({"roi": "1:5,2:3,4"}, ["--roi 1:5,2:3,4", "Y0:Y1,X0:X1"]),
    ],
)
def test_what_is_no_span_is_refused(given: dict[str, str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_spans(**{"t": None, "z": None, "roi": None, **given})
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"z": "1:2"}, "--z 1:2: give a slice or an index"),
        ({"t": slice(None, None, -1)}, "--t ::-1: the step must be at least 1"),
        ({"roi": (slice(0, 2), 1.5)}, "--roi 1.5"),
        ({"roi": slice(0, 2)}, "give two slices"),
        ({"normalise": "never"}, "--normalise never: choose one of per-volume, per-timepoint"),
        ({"share_noise": "t"}, "--share-noise t: choose one of none, z, tz"),
    ],
)
def test_configurations_that_make_no_sense(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        RunConfig(Path("v.zarr"), **given)


def test_with_steps_a_plane_is_read_in_parts_that_keep_to_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baikal_deploy.volumes.selection.BLOCK", 4)
    read: list[tuple[slice, slice]] = []

    class Chunked(InMemory):
        def __init__(self) -> None:
            super().__init__()
            self.info = replace(self.info, chunk=(1, 1, 1, 2, 3))

        def read_window(self, plane: int, y: slice, x: slice) -> Raw:
            read.append((y, x))
            return super().read_window(plane, y, x)

    part = select(Chunked(), {"y": slice(1, None, 2), "x": slice(0, None, 3), "t": 0, "z": 0}, channels=[0])
    np.testing.assert_array_equal(part.read([0])[0], PIXELS[0, 0, 0, 1::2, ::3])
    assert read == [(y, x) for y in (slice(1, 4), slice(5, 6)) for x in (slice(0, 4), slice(6, 7))]
