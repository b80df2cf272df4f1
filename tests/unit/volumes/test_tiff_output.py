"""OME-TIFF as output."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.base import Axis, VolumeInfo
from baikal_deploy.volumes.layout import default_layout
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.tiff.format import OmeTiff
from baikal_deploy.volumes.tiff.ome import OME_TYPES
from tests.conftest import MakeInfo
from tests.valid import assert_valid_ome_tiff

SUBSETS = ["".join(names) + "yx" for size in range(4) for names in itertools.combinations("tcz", size)]
SIZES = {"t": 2, "c": 3, "z": 4, "y": 20, "x": 30}
UNITS = {"t": "second", "c": None, "z": "nanometer", "y": "micrometer", "x": None}
OMERO: dict[str, Any] = {
    "channels": [{"label": "DAPI", "color": "0000FF"}, {"label": "G<F>P", "color": "FF0001"}, {}]
}


def planes_of(info: VolumeInfo) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 120, (info.num_planes, 20, 30)).astype(info.dtype)


def write_all(path: Path, info: VolumeInfo, planes: np.ndarray, **options: Any) -> None:
    output = OmeTiff().create(path, info, **options)
    for item in reversed(output.items):
        output.write(item, planes[list(item.planes)])
    output.finish({"model": "<nuclei> & more", "notes": ["µ"]})


@pytest.mark.parametrize("names", SUBSETS)
def test_what_was_written_is_read_again(tmp_path: Path, make_info: MakeInfo, names: str) -> None:
    shape = tuple(SIZES[name] for name in names)
    info = make_info(names, shape, scale=tuple(0.5 + i for i in range(len(names))), name="cells", omero=OMERO)
    axes = tuple(Axis(name, UNITS[name]) for name in names)
    info = VolumeInfo(info.path, axes, shape, info.dtype, info.scale, info.translation, info.name, OMERO)
    planes = planes_of(info)
    write_all(tmp_path / "a.tif", info, planes, layout=default_layout(info, 20 * 30 * 2 * 2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    volume = open_input(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.read(range(info.num_planes)), planes)
    assert volume.info.axes == axes
    scales = [1 if name == "c" else scale for name, scale in zip(names, info.scale, strict=True)]
    assert list(volume.info.scale) == scales
    assert volume.info.name == "cells"
    channels = range(info.num_channels)
    assert [volume.info.channel_name(i) for i in channels] == ["DAPI", "G<F>P", "channel 2"][: len(channels)]
    assert volume.info.omero is not None
    colors = [channel.get("color") for channel in volume.info.omero["channels"]]
    assert colors[:2] == ["0000FF", "FF0001"][: len(channels)]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif").reshape(planes.shape), planes)
    assert_valid_ome_tiff(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", OME_TYPES)
def test_pixel_types(tmp_path: Path, make_info: MakeInfo, dtype: str) -> None:
    info = make_info("zyx", (3, 20, 30), dtype)
    write_all(tmp_path / "a.ome.tif", info, planes_of(info))
    volume = open_input(tmp_path / "a.ome.tif")
    assert volume.info.dtype == dtype
    np.testing.assert_array_equal(volume.read(range(3)), planes_of(info))


def test_the_provenance_is_in_the_description(tmp_path: Path, make_info: MakeInfo) -> None:
    info = make_info("yx", (20, 30))
    write_all(tmp_path / "a.ome.tif", info, planes_of(info))
    xml = tifffile.tiffcomment(tmp_path / "a.ome.tif")
    image = tifffile.xml2dict(str(xml))["OME"]["Image"]
    expected = {"model": "<nuclei> & more", "notes": ["µ"], "complete": True}
    assert json.loads(image["Description"]) == expected


def test_nothing_is_there_until_it_is_complete(tmp_path: Path, make_info: MakeInfo) -> None:
    info = make_info("zyx", (3, 20, 30))
    (tmp_path / "a.tif").write_text("older")
    with pytest.raises(VolumeError, match="exists already"):
        OmeTiff().create(tmp_path / "a.tif", info)
    output = OmeTiff().create(tmp_path / "a.tif", info, overwrite=True)
    output.write(output.items[0], planes_of(info))
    assert (tmp_path / "a.tif").read_text() == "older"
    output.finish({})
    np.testing.assert_array_equal(open_input(tmp_path / "a.tif").read(range(3)), planes_of(info))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"dtype": "u8"}, "no pixels of type uint64"),
    ],
)
def test_what_ome_tiff_cannot_express(
    tmp_path: Path, make_info: MakeInfo, change: dict[str, Any], match: str
) -> None:
    with pytest.raises(VolumeError, match=match) as caught:
        OmeTiff().create(tmp_path / "a.tif", make_info("yx", (20, 30), **change))
    assert ".ome.zarr" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_unit_that_ome_does_not_know(tmp_path: Path) -> None:
    axes = (Axis("y", "parsec"), Axis("x", "parsec"))
    info = VolumeInfo(tmp_path / "in", axes, (20, 30), np.dtype("u1"), (1, 1), (0, 0))
    with pytest.raises(VolumeError, match="no name for the unit 'parsec' of axis y"):
        OmeTiff().create(tmp_path / "a.tif", info)


def test_planes_that_do_not_fit(tmp_path: Path, make_info: MakeInfo) -> None:
    output = OmeTiff().create(tmp_path / "a.tif", make_info("zyx", (3, 20, 30)))
    with pytest.raises(VolumeError, match=r"came as uint16 \(2, 20, 30\)"):
        output.write(output.items[0], np.zeros((2, 20, 30), "u2"))


def test_a_folder_that_does_not_exist(tmp_path: Path, make_info: MakeInfo) -> None:
    with pytest.raises(VolumeError, match="metadata could not be written"):
        OmeTiff().create(tmp_path / "none" / "a.tif", make_info("yx", (20, 30)))
