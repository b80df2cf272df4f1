"""Volumes that other programs wrote."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.zarr.format import OmeZarr
from baikal_deploy.volumes.zarr.reader import open_volume

FIJI = "ngff_fiji"


@pytest.fixture(scope="module")
def formats(shared_data: Path) -> Path:
    folder = shared_data / "formats"
    if not folder.is_dir():
        pytest.skip(f"the sample volumes are not here: {folder}")
    return folder


@pytest.mark.parametrize("version", ["4", "5"])
@pytest.mark.parametrize(
    ("folder", "size", "names", "shape"),
    [
        ("2d_testing", 2, "yx", (64, 64)),
        ("3d_testing/xyc", 3, "cyx", (3, 64, 64)),
        ("3d_testing/xyt", 3, "tyx", (4, 64, 64)),
        ("3d_testing/xyz", 3, "zyx", (16, 64, 64)),
        ("4d_testing/xyct", 4, "tcyx", (4, 3, 64, 64)),
        ("4d_testing/xyzc", 4, "czyx", (3, 16, 64, 64)),
        ("4d_testing/xyzt", 4, "tzyx", (4, 16, 64, 64)),
        ("5d_testing", 5, "tczyx", (4, 3, 16, 64, 64)),
    ],
)
def test_fiji_images(
    formats: Path, version: str, folder: str, size: int, names: str, shape: tuple[int, ...]
) -> None:
    volume = open_volume(formats / FIJI / folder / f"{size}d_dataset_v{version}.ome.zarr")
    info = volume.info
    assert "".join(axis.name for axis in info.axes) == names
    assert (info.shape, info.dtype, info.name) == (shape, np.dtype("u1"), "image")
    planes = volume.read(range(info.num_planes))
    assert planes.shape == (info.num_planes, 64, 64)
    assert planes.std() > 1
    if size == 5:
        assert info.channel_name(0) == "lynEGFP"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_neuroglancer_images_with_nested_arrays(formats: Path, version: str) -> None:
    volume = open_volume(formats / "ngff_neuroglancer" / f"simple_{version}")
    assert volume.info.scale == (4.0, 30.0)
    assert [axis.unit for axis in volume.info.axes] == ["nanometer", "nanometer"]
    np.testing.assert_array_equal(volume.read([0])[0], np.arange(100).reshape(10, 10))


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("zarrs_sharded.zarr/group/array", "u2", np.arange(64).reshape(8, 8)),
        ("n5_zarr_mid_sharded.zarr/mid_sharded", "u1", None),
    ],
)
def test_sharded_arrays(formats: Path, name: str, dtype: str, expected: NDArray[np.int64] | None) -> None:
    volume = open_volume(formats / "zarr3_sharded" / name)
    assert volume.info.dtype == dtype
    plane = volume.read([0])[0]
    assert plane.any()
    if expected is not None:
        np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"{FIJI}/bioformats2raw_testing/bf2raw_dataset_v5.ome.zarr", r"holds 2 images \(0: 0, 1: 1\)"),
        ("ngff_neuroglancer/anisotropic_rotation_0.6.zarr", r"OME-NGFF 0\.6\.dev1 is newer than 0\.5"),
        ("zarr3_sharded/webknossos_4D_series_zarr3", r"such as .*zarr3/color$"),
        ("zarr3_sharded/webknossos_4D_series_zarr3/color", r"axes \(c, x, y, z\) are not supported"),
        ("zarr3_sharded/webknossos_4D_series_zarr3/color/1", r"axes \(c, t, z, y, x\) are not supported"),
        ("zarr3_sharded/zarrs_sharded.zarr/group", r"such as .*group/array$"),
        ("zarr3_sharded/n5_zarr_mid_sharded.zarr", r"not a Zarr store .* such as .*mid_sharded$"),
        ("ndtiff/v3", "not a Zarr store"),
        ("nd2/example-cerevisiae.nd2", "is a file of a format that cannot be read"),
    ],
)
def test_what_cannot_be_read_says_why(formats: Path, name: str, expected: str) -> None:
    with pytest.raises(VolumeError) as caught:
        open_volume(formats / name)
    assert re.search(expected, str(caught.value))


def test_a_real_image_survives_the_round_trip(formats: Path, tmp_path: Path) -> None:
    source = open_volume(formats / "bioformats2raw_mitotic.ome.zarr")
    info = source.info
    assert info.axes[-1].unit == "micrometer"
    assert info.scale[-1] == pytest.approx(0.08519643)
    planes = source.read(range(info.num_planes))
    output = OmeZarr().create(tmp_path / "out.zarr", info)
    for item in output.items:
        output.write(item, planes[list(item.planes)])
    output.finish({})
    copy = open_volume(tmp_path / "out.zarr")
    np.testing.assert_array_equal(copy.read(range(info.num_planes)), planes)
    assert (copy.info.axes, copy.info.scale, copy.info.name) == (info.axes, info.scale, info.name)
    assert copy.info.omero == info.omero
