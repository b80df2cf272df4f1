from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.axes import normalise_unit
from baikal_deploy.volumes.base import VolumeInfo

MakeInfo = Callable[..., VolumeInfo]


def test_planes_are_numbered_in_c_order_of_the_leading_axes(make_info: MakeInfo) -> None:
    info = make_info("tczyx", (2, 3, 4, 5, 6))
    assert (info.num_planes, info.plane_shape, info.num_channels) == (24, (5, 6), 3)
    assert info.position(17) == (1, 1, 1)
    assert info.channel(17) == 1
    assert info.describe(17) == "t=1 c=1 z=1"
    assert info.describe_range(range(16, 18)) == "planes 16 to 17 (t=1 c=1 z=0 to t=1 c=1 z=1)"


def test_an_image_without_leading_axes_is_one_plane(make_info: MakeInfo) -> None:
    info = make_info("yx", (5, 6))
    assert (info.num_planes, info.num_channels, info.position(0), info.channel(0)) == (1, 1, (), 0)
    assert info.describe(0) == info.describe_range([0]) == "plane 0"


@pytest.mark.parametrize("plane", [-1, 4])
def test_a_plane_that_does_not_exist_is_named(make_info: MakeInfo, plane: int) -> None:
    with pytest.raises(VolumeError, match=rf"in\.zarr: no plane {plane}; planes are numbered 0 to 3"):
        make_info("zyx", (4, 2, 2)).position(plane)


def test_channel_names_come_from_omero_or_are_counted(make_info: MakeInfo) -> None:
    omero = {"channels": [{"label": "DAPI"}, {"color": "FFFFFF"}, {"label": 7}]}
    info = make_info("cyx", (4, 2, 2), omero=omero)
    assert [info.channel_name(i) for i in range(4)] == ["DAPI", "channel 1", "channel 2", "channel 3"]
    assert make_info("yx", (2, 2), omero={"channels": 5}).channel_name(0) == "channel 0"


@pytest.mark.parametrize("names", ["xy", "yxz", "ztyx", "ctyx", "zzyx", "tcz", "qyx", "y", ""])
def test_unsupported_axes_are_refused(make_info: MakeInfo, names: str) -> None:
    with pytest.raises(VolumeError, match=r"in\.zarr: axes \(.*\) are not supported.*transpose"):
        make_info(names, (2,) * len(names))


def test_axes_and_dimensions_must_agree(make_info: MakeInfo) -> None:
    with pytest.raises(VolumeError, match=r"has 3 axes \(z, y, x\), but the array has 2 dimensions \(4, 5\)"):
        make_info("zyx", (4, 5))


def test_a_volume_without_pixels_is_refused(make_info: MakeInfo) -> None:
    with pytest.raises(VolumeError, match=r"shape \(0, 4, 5\) holds no pixels"):
        make_info("zyx", (0, 4, 5))


@pytest.mark.parametrize("dtype", ["c8", "?", "U3", "S3", "M8[s]", [("a", "u1")]])
def test_pixels_that_are_no_numbers_are_refused(make_info: MakeInfo, dtype: object) -> None:
    with pytest.raises(VolumeError, match=r"pixels of type .* are not supported; convert it to .* uint16"):
        make_info("yx", (4, 5), dtype)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_numbers_are_accepted(make_info: MakeInfo, dtype: str) -> None:
    assert make_info("yx", (4, 5), dtype).dtype == dtype


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": (1.0, float("nan"))}, "scale .* must be one finite number for each of the 2 axes"),
        ({"scale": (1.0,)}, "scale .* must be one finite number"),
        ({"translation": (1.0, float("inf"))}, "translation .* must be one finite number"),
        ({"scale": (1.0, -0.5)}, r"scale \[1.0, -0.5\] must be positive"),
        ({"scale": (0.0, 0.5)}, "must be positive"),
    ],
)
def test_bad_geometry_is_refused(make_info: MakeInfo, values: dict[str, object], message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        make_info("yx", (4, 5), **values)


def test_units_get_their_ngff_names_and_unknown_ones_stay() -> None:
    found = [normalise_unit(u) for u in ("um", "\u00b5m", "\u03bcm", "nm", "s", "ms", "pixel", "", None, 3)]
    micro = "micrometer"
    assert found == [micro, micro, micro, "nanometer", "second", "millisecond", "pixel", None, None, None]


def test_the_types_load_neither_zarr_nor_yaozarrs() -> None:
    code = (
        "import sys, baikal_deploy.volumes.base, baikal_deploy.volumes.layout; "
        "sys.exit(bool({'zarr', 'yaozarrs', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
