"""TIFF that is compressed or has smaller versions of its planes, and hyperstacks of ImageJ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.cleanup import Mark
from baikal_deploy.volumes.create import format_of
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.pyramid import downsample
from baikal_deploy.volumes.storage import USUAL, Storage
from baikal_deploy.volumes.tiff import packing, subresolutions
from baikal_deploy.volumes.writer import Writer
from tests.conftest import MakeInfo

RUN, OTHER = "a" * 32, "b" * 32
ZLIB = Storage(codec="zlib")


def pixels(info: VolumeInfo) -> np.ndarray:
    shape = (info.num_planes, *info.plane_shape)
    return np.random.default_rng(0).integers(0, 900, shape).astype(info.dtype)


def fill(writer: Writer) -> None:
    planes = pixels(writer.info)
    for item in writer.items:
        part = planes[list(item.planes)]
        writer.write(item, part if item.region is None else part[:, *item.region])


def write(
    path: Path, info: VolumeInfo, storage: Storage, run: str = RUN, layout: Layout | None = None
) -> None:
    writer = format_of(path, storage).create(path, info, run=run, layout=layout)
    fill(writer)
    writer.finish({"model": "any"})


@pytest.mark.parametrize("codec", ["zlib", "zstd:9"])
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_a_compressed_file(tmp_path: Path, make_info: MakeInfo, codec: str, dtype: str) -> None:
    pytest.importorskip("imagecodecs")
    info = make_info("czyx", (2, 3, 20, 30), dtype, scale=(1, 0.5, 0.1, 0.1))
    for name, run in (("a.tif", RUN), ("b.tif", OTHER)):
        write(tmp_path / name, info, Storage(codec=codec), run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif"]
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert {page.compression.name for page in file.pages} == {
            "zlib": {"ADOBE_DEFLATE"}, "zstd:9": {"ZSTD"},
        }[codec]  # fmt: skip
    volume = open_input(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.read(range(6)), pixels(info))
    assert (mark := Mark.at(tmp_path / "a.tif")) is not None
    assert mark.complete


@pytest.mark.parametrize("codec", ["none", "zlib"])
def test_large_planes_have_smaller_versions(
    tmp_path: Path, make_info: MakeInfo, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    monkeypatch.setattr(subresolutions, "LARGE", 100 * 100)
    for module in (subresolutions, packing):
        monkeypatch.setattr(module, "TILE", 128)
    info = make_info("zyx", (2, 515, 700))
    write(tmp_path / "a.ome.tif", info, Storage(codec=codec), layout=Layout(1, 256))
    expected = pixels(info)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        levels = file.series[0].levels
        assert [level.shape[1:] for level in levels] == [(515, 700), (258, 350), (129, 175), (65, 88)]
        for level in levels:
            np.testing.assert_array_equal(level.asarray(), expected)
            expected = downsample(expected)
    assert open_input(tmp_path / "a.ome.tif").info.shape == (2, 515, 700)


@pytest.mark.parametrize("calls", ["write", "move", "remove_file"])
def test_a_kill_while_it_is_packed(
    tmp_path: Path, make_info: MakeInfo, monkeypatch: pytest.MonkeyPatch, calls: str
) -> None:
    """The next run packs it again, and the bytes are the same."""
    info, path = make_info("zyx", (3, 20, 30)), tmp_path / "a.ome.tif"
    write(tmp_path / "whole.ome.tif", info, ZLIB)
    path.write_bytes(b"older")
    writer = format_of(path, ZLIB).create(path, info, run=RUN, overwrite=True)
    fill(writer)

    def killed(*args: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        owner = tifffile.TiffWriter if calls == "write" else packing
        patch.setattr(owner, calls, killed)
        with pytest.raises(KeyboardInterrupt):
            writer.finish({"model": "any"})
    assert (path.read_bytes() == b"older") == (calls != "remove_file")
    format_of(path, ZLIB).resume(path, info, writer.location, run=RUN).finish({"model": "any"})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.ome.tif", "whole.ome.tif"]
    assert path.read_bytes() == (tmp_path / "whole.ome.tif").read_bytes()
    again = format_of(path, ZLIB).resume(path, info, path, run=RUN)  # killed after it was put there
    again.finish({"model": "any"})
    assert path.read_bytes() == (tmp_path / "whole.ome.tif").read_bytes()


@pytest.mark.parametrize("name", ["a.ome.tif", "b.tif"])
def test_the_same_image_has_the_same_bytes(tmp_path: Path, make_info: MakeInfo, name: str) -> None:
    info = hyperstack(tmp_path)
    found = []
    for run in (RUN, OTHER):
        write(tmp_path / name, info, USUAL, run)
        found.append((tmp_path / name).read_bytes())
        (tmp_path / name).unlink()
    assert found[0] == found[1]


def test_codecs_that_cannot_be_had(
    tmp_path: Path, make_info: MakeInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, info = tmp_path / "a.tif", make_info("yx", (20, 30))
    with pytest.raises(ConfigError, match="a TIFF has no codec blosc"):
        format_of(path, Storage(codec="blosc")).check_expressible(path, info)
    without_zstd(monkeypatch)
    with pytest.raises(VolumeError, match="needs the package imagecodecs"):
        format_of(path, Storage(codec="zstd")).check_expressible(path, info)


def test_a_file_that_needs_a_missing_codec_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", np.ones((20, 30), np.uint16), compression="zstd")
    without_zstd(monkeypatch)
    with pytest.raises(VolumeError, match="compressed with ZSTD, which needs the package imagecodecs"):
        open_input(tmp_path / "a.tif")


def without_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without imagecodecs before Python 3.14, where tifffile lists a codec that cannot be used."""

    def stand_in(data: bytes) -> bytes:
        raise ModuleNotFoundError("No module named 'compression'")

    monkeypatch.setitem(tifffile.TIFF.COMPRESSORS._codecs, 50000, stand_in)


def test_where_a_part_begins(tmp_path: Path, make_info: MakeInfo) -> None:
    info = make_info("tzyx", (2, 2, 20, 30), scale=(3, 0.5, 0.1, 0.1), translation=(6, 1.5, 2, 4))
    axes = [replace(axis, unit="second" if axis.name == "t" else "micrometer") for axis in info.axes]
    info = replace(info, axes=tuple(axes))
    write(tmp_path / "a.ome.tif", info, USUAL)
    image = tifffile.xml2dict(str(tifffile.tiffcomment(tmp_path / "a.ome.tif")))["OME"]["Image"]
    planes = image["Pixels"]["Plane"]
    assert [(one["TheT"], one["TheZ"], one["DeltaT"], one["PositionZ"]) for one in planes] == [
        (0, 0, 6, 1.5), (0, 1, 6, 2), (1, 0, 9, 1.5), (1, 1, 9, 2)
    ]  # fmt: skip
    assert {(one["PositionY"], one["PositionX"], one["PositionXUnit"]) for one in planes} == {(2, 4, "µm")}


def test_resolution_tags_that_imagej_reads(tmp_path: Path, make_info: MakeInfo) -> None:
    info = make_info("yx", (20, 30), scale=(0.5, 0.25))
    info = replace(info, axes=tuple(replace(axis, unit="micrometer") for axis in info.axes))
    write(tmp_path / "a.ome.tif", info, USUAL)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        tags = file.pages.first.tags
        assert (tags["XResolution"].value, tags["YResolution"].value) == ((40000, 1), (20000, 1))
        assert tags["ResolutionUnit"].value == 3


LUTS = [np.stack([np.arange(256) // 2, np.arange(256)[::-1], np.arange(256)]).astype("u1") for _ in "ab"]


def hyperstack(folder: Path) -> VolumeInfo:
    """Info of a hyperstack of two channels, as its file has it."""
    notes = {
        "axes": "TZCYX", "unit": "um", "spacing": 0.5, "finterval": 2.0, "mode": "composite", "LUTs": LUTS,
        "Ranges": (10.0, 300.0, 20.0, 800.0),
    }  # fmt: skip
    shape = (2, 3, 2, 20, 30)
    tifffile.imwrite(
        folder / "in.tif", np.zeros(shape, "u2"), imagej=True, resolution=(10, 10), metadata=notes
    )
    return open_input(folder / "in.tif").info


@pytest.mark.parametrize("layout", [None, Layout(2), Layout(1, 16)])
def test_a_hyperstack_becomes_one(tmp_path: Path, layout: Layout | None) -> None:
    info = hyperstack(tmp_path)
    path = format_of(tmp_path / "a.ome.tif").named(tmp_path / "a.ome.tif", info)
    assert path.name == "a.tif"
    write(path, info, USUAL, layout=layout)
    with tifffile.TiffFile(path) as file:
        assert (file.is_imagej, file.series[0].axes) == (True, "TZCYX")
        notes = file.imagej_metadata or {}
        expected = pixels(info).reshape(2, 2, 3, 20, 30).transpose(0, 2, 1, 3, 4)
        np.testing.assert_array_equal(file.asarray(), expected)
    assert {key: notes[key] for key in ("mode", "unit", "spacing", "finterval", "Ranges", "min", "max")} == {
        "mode": "composite", "unit": "micron", "spacing": 0.5, "finterval": 2.0, "min": 10.0, "max": 300.0,
        "Ranges": (10.0, 300.0, 20.0, 800.0),
    }  # fmt: skip
    np.testing.assert_array_equal(notes["LUTs"], LUTS)
    again = open_input(path)
    np.testing.assert_array_equal(again.read(range(12)), pixels(info))
    assert replace(again.info, path=info.path) == info
    assert (mark := Mark.at(path)) is not None
    assert (mark.complete, mark.provenance["model"]) == (True, "any")


@pytest.mark.parametrize(
    ("name", "change", "storage"),
    [
        ("a.ome.tif", {}, USUAL),
        ("a.tif", {"dtype": np.dtype("i4")}, USUAL),
        ("a.tif", {"hyperstack": None}, USUAL),
        ("a.tif", {"translation": (1.0, 0, 0, 0, 0)}, USUAL),
        ("a.tif", {}, ZLIB),
    ],
)
def test_what_becomes_ome_tiff(tmp_path: Path, name: str, change: dict[str, Any], storage: Storage) -> None:
    info = replace(hyperstack(tmp_path), **change)
    write(tmp_path / name, info, storage)
    with tifffile.TiffFile(tmp_path / name) as file:
        assert (file.is_ome, file.is_imagej) == (True, False)
    ome = tmp_path / "b.ome.tif"
    assert format_of(ome, storage).named(ome, info).suffixes == (
        [".tif"] if name == "a.ome.tif" else [".ome", ".tif"]
    )


def test_a_part_of_a_hyperstack_has_its_origin(tmp_path: Path) -> None:
    info = replace(hyperstack(tmp_path), translation=(0, 0, 1.5, 2.0, 3.0))
    write(tmp_path / "a.tif", info, USUAL)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        notes = file.imagej_metadata or {}
    assert [notes[f"{axis}origin"] for axis in "xyz"] == pytest.approx([-30, -20, -3])
