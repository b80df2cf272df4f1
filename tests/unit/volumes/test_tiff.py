"""TIFF files as volumes: axes, planes, pixel sizes, names."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.extras import install
from baikal_deploy.volumes.base import Volume
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.zarr.format import OmeZarr

SUBSETS = ["".join(names) for size in range(4) for names in itertools.permutations("TCZ", size)]
SIZES = {"T": 2, "C": 3, "Z": 4, "Y": 20, "X": 30}
OME = {
    "PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 200, "PhysicalSizeYUnit": "nm",
    "PhysicalSizeZ": 0.5, "PhysicalSizeZUnit": "mm", "TimeIncrement": 3, "TimeIncrementUnit": "min",
    "Name": "cells",
}  # fmt: skip


def counts(*shape: int, dtype: Any = "u2") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 120, shape).astype(dtype)


def write(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, pixels, **{"photometric": "minisblack", **options})
    return path


def axes_of(volume: Volume) -> str:
    return "".join(axis.name for axis in volume.info.axes)


def scales_of(volume: Volume) -> dict[str, tuple[float, str | None]]:
    info = volume.info
    return {axis.name: (scale, axis.unit) for axis, scale in zip(info.axes, info.scale, strict=True)}


def assert_holds(volume: Volume, expected: np.ndarray) -> None:
    """The planes, one by one and together, and a window, are those of the array with the volume's axes."""
    info = volume.info
    assert info.shape == expected.shape
    assert info.dtype == expected.dtype.newbyteorder("=")
    planes = expected.reshape(-1, *expected.shape[-2:])
    read = volume.read(range(info.num_planes))
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, planes)
    for plane in range(info.num_planes):
        window = volume.read_window(plane, slice(3, 9), slice(5, 17))
        assert window.dtype == info.dtype
        np.testing.assert_array_equal(window, planes[plane, 3:9, 5:17])


def refused(path: Path, match: str, series: int | None = None) -> str:
    with pytest.raises(VolumeError, match=match) as caught:
        open_input(path, series)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("names", "storage"),
    [
        *((names, {}) for names in SUBSETS),
        ("", {"compression": "zlib"}),
        ("CT", {"compression": "zlib", "tile": (16, 16)}),
        ("ZTC", {"compression": "zlib"}),
    ],
)
def test_axes_in_any_order(tmp_path: Path, names: str, storage: dict[str, Any]) -> None:
    """The file's order may be any; the volume's is t, c, z, y, x."""
    pixels = counts(*(SIZES[name] for name in names), 20, 30)
    ours = [name for name in "TCZ" if name in names] + ["Y", "X"]
    expected = pixels.transpose([(names + "YX").index(name) for name in ours])
    path = write(tmp_path / "a.ome.tif", pixels, metadata={"axes": names + "YX"}, **storage)
    volume = open_input(path)
    assert axes_of(volume) == "".join(ours).lower()
    assert_holds(volume, expected)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "f4", "f8", "f2"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_pixel_types(tmp_path: Path, dtype: str, byteorder: Any, bigtiff: bool) -> None:
    pixels = counts(3, 20, 30, dtype=dtype)
    path = write(tmp_path / "a.btf", pixels, byteorder=byteorder, bigtiff=bigtiff)
    assert_holds(open_input(path), pixels)


@pytest.mark.parametrize(
    ("shape", "names"), [((20, 30), "yx"), ((4, 20, 30), "zyx"), ((3, 4, 20, 30), "czyx")]
)
def test_pages_without_names_count_as_arrays_do(tmp_path: Path, shape: tuple[int, ...], names: str) -> None:
    volume = open_input(write(tmp_path / "a.TIFF", counts(*shape)))
    assert axes_of(volume) == names
    assert_holds(volume, counts(*shape))


def test_pages_of_another_writer_are_a_stack(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for plane in counts(4, 20, 30):
            file.write(plane, photometric="minisblack", metadata=None, contiguous=False)
    volume = open_input(tmp_path / "a.tif")
    assert axes_of(volume) == "zyx"
    assert_holds(volume, counts(4, 20, 30))


def test_ome_metadata(tmp_path: Path) -> None:
    channels = {"Name": ["DAPI", "0488"], "Color": [0x0000FFFF, -16776961]}
    metadata = {"axes": "TCZYX", **OME, "Channel": channels}
    volume = open_input(write(tmp_path / "a.ome.tif", counts(3, 2, 4, 20, 30), metadata=metadata))
    assert scales_of(volume) == {
        "t": (3, "minute"), "c": (1, None), "z": (0.5, "millimeter"), "y": (200, "nanometer"),
        "x": (0.1, "micrometer"),
    }  # fmt: skip
    assert volume.info.name == "cells"
    assert [volume.info.channel_name(channel) for channel in (0, 1)] == ["DAPI", "0488"]
    assert volume.info.omero is not None
    assert [channel["color"] for channel in volume.info.omero["channels"]] == ["0000FF", "FF0000"]


def test_axes_of_size_one_stay_where_their_pixel_size_is_known(tmp_path: Path) -> None:
    metadata = {"axes": "TCZYX", "PhysicalSizeZ": 0.5, "PhysicalSizeX": 2, "Channel": {"Name": ["DAPI"]}}
    volume = open_input(write(tmp_path / "a.ome.tif", counts(1, 1, 1, 20, 30), metadata=metadata))
    assert scales_of(volume) == {"z": (0.5, "micrometer"), "y": (1, None), "x": (2, "micrometer")}
    assert volume.info.channel_name(0) == "DAPI"
    assert_holds(volume, counts(1, 20, 30))


@pytest.mark.parametrize("unit", ["um", "micron", r"\u00B5m"])
def test_imagej_metadata(tmp_path: Path, unit: str) -> None:
    metadata = {
        "axes": "TZCYX", "spacing": 0.5, "unit": unit, "finterval": 2.5,
        "LUTs": [np.outer([0, 1, 0], np.arange(256)).astype("u1")] * 3,
        "Ranges": (1.0, 9.0, 2.0, 8.0, 3.0, 7.0),
    }  # fmt: skip
    pixels = counts(2, 4, 3, 20, 30)
    path = write(tmp_path / "a.tif", pixels, imagej=True, resolution=(10, 5), metadata=metadata)
    volume = open_input(path)
    assert scales_of(volume) == {
        "t": (2.5, "second"), "c": (1, None), "z": (0.5, "micrometer"), "y": (0.2, "micrometer"),
        "x": (0.1, "micrometer"),
    }  # fmt: skip
    assert volume.info.omero == {
        "channels": [
            {"color": "00FF00", "window": {"start": float(low), "end": float(10 - low)}} for low in (1, 2, 3)
        ]
    }
    assert_holds(volume, pixels.transpose(0, 2, 1, 3, 4))


def test_imagej_labels_name_the_channels_if_there_is_one_for_each(tmp_path: Path) -> None:
    metadata = {"axes": "CYX", "Labels": ["DAPI", "GFP", "RFP"]}
    channels = open_input(write(tmp_path / "c.tif", counts(3, 20, 30), imagej=True, metadata=metadata)).info
    assert [channels.channel_name(channel) for channel in range(3)] == ["DAPI", "GFP", "RFP"]
    metadata = {"axes": "ZYX", "Labels": ["DAPI", "GFP", "RFP"]}
    planes = open_input(write(tmp_path / "z.tif", counts(3, 20, 30), imagej=True, metadata=metadata)).info
    assert planes.omero is None
    one = write(tmp_path / "one.tif", counts(20, 30), imagej=True, metadata={"Labels": ["DAPI"]})
    assert open_input(one).info.channel_name(0) == "DAPI"


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        ((50, 25), 3, {"y": (0.04, "centimeter"), "x": (0.02, "centimeter")}),
        ((100, 100), 2, {"y": (0.01, "inch"), "x": (0.01, "inch")}),
        ((72, 72), 2, {"y": (1, None), "x": (1, None)}),
        ((5, 5), 1, {"y": (1, None), "x": (1, None)}),
        ((1, 2), 1, {"y": (0.5, None), "x": (1, None)}),
    ],
)
def test_resolution_tags(
    tmp_path: Path, resolution: Any, unit: int, expected: dict[str, tuple[float, str | None]]
) -> None:
    path = write(tmp_path / "a.tif", counts(20, 30), resolution=resolution, resolutionunit=unit)
    assert scales_of(open_input(path)) == expected


def several(path: Path) -> Path:
    with tifffile.TiffWriter(path, ome=True) as file:
        for index, shape in enumerate([(4, 20, 30), (40, 50)]):
            names = "ZYX"[-len(shape) :]
            metadata = {"axes": names, "Name": f"field {index}", "PhysicalSizeX": index + 1}
            file.write(counts(*shape), photometric="minisblack", metadata=metadata)
    return path


def test_one_of_several_series_must_be_chosen(tmp_path: Path) -> None:
    path = several(tmp_path / "a.ome.tif")
    message = refused(path, "holds 2 series")
    assert "0: field 0 ZYX 4x20x30, 1: field 1 YX 40x50" in message
    assert "--series N" in message
    refused(path, "there is no series 2", series=2)
    refused(path, "there is no series -1", series=-1)
    for index, shape in enumerate([(4, 20, 30), (40, 50)]):
        volume = open_input(path, index)
        assert volume.info.name == f"field {index}"
        assert scales_of(volume)["x"] == (index + 1, "micrometer")
        assert_holds(volume, counts(*shape))


def multifile(folder: Path) -> tuple[Path, Path]:
    """An OME image of two z planes, a file each."""
    names = ["first.ome.tif", "second.ome.tif"]
    blocks = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{z}</UUID>'
        "</TiffData>"
        for z, name in enumerate(names)
    )
    for z, name in enumerate(names):
        xml = (
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{z}"><Image ID="Image:0" Name="both">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
            'SizeX="30" SizeY="20" SizeZ="2" SizeC="1" SizeT="1" PhysicalSizeZ="3">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{blocks}</Pixels></Image></OME>'
        )
        write(folder / name, counts(2, 20, 30)[z], description=xml, metadata=None)
    return folder / names[0], folder / names[1]


def test_an_ome_image_over_several_files(tmp_path: Path) -> None:
    first, second = multifile(tmp_path)
    for path in (first, second):
        volume = open_input(path)
        assert scales_of(volume)["z"] == (3, "micrometer")
        assert_holds(volume, counts(2, 20, 30))
    second.unlink()
    message = refused(first, r"page 1 \(z=1\) is missing")
    assert "second.ome.tif" in message


def test_a_pointer_to_the_file_that_describes_the_image(tmp_path: Path) -> None:
    xml = '<OME xmlns="x"><BinaryOnly MetadataFile="master.companion.ome" UUID="urn:uuid:1"/></OME>'
    path = write(tmp_path / "a.ome.tif", counts(20, 30), description=xml, metadata=None)
    refused(path, r"described in master\.companion\.ome")


def rewrite_xml(path: Path, change: Callable[[str], str]) -> None:
    with tifffile.TiffFile(path) as file:
        xml = file.ome_metadata
    assert xml is not None
    tifffile.tiffcomment(path, change(xml).encode())


def test_a_missing_plane_of_an_ome_image_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.tif", counts(2, 3, 20, 30), metadata={"axes": "TZYX"}, compression="zlib")
    rewrite_xml(path, lambda xml: xml.replace('SizeT="2"', 'SizeT="3"'))
    refused(path, r"page 6 \(t=2 z=0\) is missing")


@pytest.mark.parametrize("kind", [{}, {"imagej": True}, {"ome": True}, {"compression": "zlib"}])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_a_truncated_file_names_the_page(tmp_path: Path, kind: dict[str, Any], share: float) -> None:
    path = write(tmp_path / "a.tif", counts(4, 64, 64), **kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, r"page \d")


def test_pixels_that_end_within_a_run_name_their_plane(tmp_path: Path) -> None:
    """The page's own entry comes before its pixels here, so only their length tells."""
    path = write(tmp_path / "a.tif", counts(64, 64), metadata=None)
    path.write_bytes(path.read_bytes()[:-1000])
    refused(path, "ends before page 0 does")


def test_64_bit_integers_can_be_written_too(tmp_path: Path) -> None:
    """tifffile gives NumPy's second type of that size, which zarr does not know."""
    info = open_input(write(tmp_path / "a.tif", counts(20, 30, dtype="i8"))).info
    assert info.dtype.char == np.dtype("int64").char
    OmeZarr().create(tmp_path / "a.zarr", info)


def test_an_empty_file_is_called_so(tmp_path: Path) -> None:
    for name in ("a.tif", "a.czi", "a.png", "a.zarr"):
        (tmp_path / name).touch()
        refused(tmp_path / name, r"is empty \(0 bytes\); copy or export it again")


def test_damaged_pixels_name_their_plane(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.tif", counts(3, 64, 64), compression="zlib", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as file:
        page = file.pages[1]
        assert isinstance(page, tifffile.TiffPage | tifffile.TiffFrame)
        at = page.dataoffsets[0]
    damaged = bytearray(path.read_bytes())
    damaged[at : at + 100] = b"damaged..." * 10
    path.write_bytes(damaged)
    volume = open_input(path)
    np.testing.assert_array_equal(volume.read([0, 2]), counts(3, 64, 64)[::2])
    with pytest.raises(VolumeError, match=r"a\.ome\.tif: z=1 cannot be read"):
        volume.read([1])


@pytest.mark.parametrize(
    ("name", "pixels", "options", "match"),
    [
        ("rgb.tif", counts(20, 30, 3, dtype="u1"), {"photometric": "rgb"}, "more than one hue"),
        ("axis.tif", counts(5, 20, 30), {"metadata": {"axes": "HYX"}}, r"axis H \(lifetime\) of size 5"),
        ("many.tif", counts(2, 2, 2, 2, 20, 30), {}, "6 dimensions"),
        ("bool.tif", counts(20, 30) > 60, {}, "bool"),
    ],
)
def test_what_cannot_be_denoised_is_refused(
    tmp_path: Path, name: str, pixels: np.ndarray, options: dict[str, Any], match: str
) -> None:
    refused(write(tmp_path / name, pixels, **options), match)


def test_axes_of_size_one_that_are_not_ours_are_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", counts(1, 4, 20, 30), metadata={"axes": "HZYX"})
    volume = open_input(path)
    assert axes_of(volume) == "zyx"


def test_a_missing_codec_names_its_package(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", counts(20, 30))
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags["Compression"].overwrite(34712)
    code = (
        "import sys; sys.modules['imagecodecs'] = None; from pathlib import Path;"
        f"from baikal_deploy.volumes.open import open_input; open_input(Path({str(path)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert re.search(rf"JPEG2000.*{re.escape(install('tiff-codecs'))}", done.stderr.splitlines()[-1])


def test_kinds_whose_metadata_would_be_lost_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baikal_deploy.volumes.tiff.reader.KINDS", ("ome",))
    refused(write(tmp_path / "a.tif", counts(20, 30)), "of the kind 'shaped'")


def test_text_is_no_tiff_nor_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("no image")
    refused(tmp_path / "a.tif", "cannot be read as a TIFF file")
    (tmp_path / "a.tif").write_text("")
    refused(tmp_path / "a.tif", r"is empty \(0 bytes\)")
