"""Files and data sets whose metadata names files that are not beside them: these stay closed."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
import tifffile

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.growing.base import CannotFollow, Seen
from baikal_deploy.volumes.growing.look import look
from baikal_deploy.volumes.open import open_input
from tests.capabilities import require
from tests.e2e.conftest import write_zarr
from tests.unit.volumes.test_names import BAD
from tests.unit.volumes.test_tiff import multifile, rewrite_xml
from tests.unit.volumes.test_vendors import write_ndtiff

NAMES = {kind: name for kind, name in BAD.items() if isinstance(name, str)}
WRITABLE = {kind: name for kind, name in NAMES.items() if name.isprintable()}
"""In XML."""
ELSEWHERE = ["../other.ome.tif", "folder/other.ome.tif", "{}/other.ome.tif", "pipe.ome.tif"]


def refused(path: Path) -> str:
    with pytest.raises(VolumeError) as caught:
        open_input(path)
    text = str(caught.value)
    assert text.isprintable()
    return text


def data_set(tmp_path: Path) -> tuple[Path, Path]:
    """The first file of an OME-TIFF in two files, and its second one, which now lies elsewhere."""
    require("links", "fifos")
    (tmp_path / "in").mkdir()
    first, second = multifile(tmp_path / "in")
    second.rename(tmp_path / "other.ome.tif")
    os.mkfifo(first.parent / "pipe.ome.tif")
    (first.parent / "folder").symlink_to(tmp_path)
    return first, second


@pytest.mark.parametrize("name", ["pipe", "pipe.tif", "pipe.png", "pipe.zarr"])
def test_a_pipe_is_no_input(tmp_path: Path, name: str) -> None:
    """Such as a shell makes of <(zcat scan.tif.gz): nobody waits for what comes through it."""
    require("fifos")
    os.mkfifo(tmp_path / name)
    assert refused(tmp_path / name).endswith(
        "is a pipe or a device; write its content to a file, and give that"
    )


@pytest.mark.parametrize("name", WRITABLE.values(), ids=WRITABLE)
def test_a_file_of_a_bad_name_is_not_opened(tmp_path: Path, name: str) -> None:
    first, second = data_set(tmp_path)
    rewrite_xml(first, lambda xml: xml.replace(f'"{second.name}"', quoteattr(name)))
    assert f"{first.parent}: its metadata names a file " in refused(first)


@pytest.mark.parametrize("tag", ["UUID", "xUUID"])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_file_elsewhere_is_not_opened(tmp_path: Path, name: str, tag: str) -> None:
    """tifffile goes by the ends of tags."""
    first, second = data_set(tmp_path)
    rewrite_xml(
        first,
        lambda xml: (
            xml.replace(f'"{second.name}"', f'"{name.format(tmp_path)}"')
            .replace("<UUID", f"<{tag}")
            .replace("</UUID", f"</{tag}")
        ),
    )
    assert f"{first.parent}: its metadata names a file " in refused(first)


def test_files_may_be_links(tmp_path: Path) -> None:
    """The user has chosen the first, and with it the set."""
    require("links")
    (tmp_path / "in").mkdir()
    (tmp_path / "objects").mkdir()
    pixels = open_input(multifile(tmp_path / "in")[0]).read([0, 1])
    for file in list((tmp_path / "in").iterdir()):
        file.symlink_to(file.rename(tmp_path / "objects" / file.name))
    volume = open_input(tmp_path / "in" / "first.ome.tif")
    np.testing.assert_array_equal(volume.read([0, 1]), pixels)


def test_a_store_may_be_a_link_and_its_files_too(tmp_path: Path) -> None:
    require("links")
    write_zarr(tmp_path / "a.zarr", np.ones((2, 8, 8), "u2"))
    (tmp_path / "objects").mkdir()
    for number, file in enumerate(file for file in list((tmp_path / "a.zarr").rglob("*")) if file.is_file()):
        file.symlink_to(file.rename(tmp_path / "objects" / str(number)))
    (tmp_path / "b.zarr").symlink_to("a.zarr")
    assert open_input(tmp_path / "b.zarr").read([0, 1]).min() == 1


def test_a_file_may_have_another_name_than_when_it_was_written(tmp_path: Path) -> None:
    """Its own entry is known by its UUID, and no file is looked for by that name."""
    first, _ = multifile(tmp_path)
    rewrite_xml(first, lambda xml: xml.replace(f'"{first.name}"', '"C:\\data\\then.ome.tif"'))
    assert open_input(first).info.shape[0] == 2


def index_of(entry_file: str) -> bytes:
    axes, name = json.dumps({"time": 0}).encode(), entry_file.encode()
    numbers = struct.pack("<8I", 0, 8, 8, 1, 0, 0, 0, 0)
    return struct.pack("<I", len(axes)) + axes + struct.pack("<I", len(name)) + name + numbers


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(
    "name", [n for n in NAMES.values() if "\udcff" not in n] + ["../other.tif", "pipe.tif", "{}/other.tif"]
)
def test_an_index_names_only_files_beside_it(tmp_path: Path, name: str, follow: bool) -> None:
    require("fifos")
    pytest.importorskip("ndstorage")
    path = write_ndtiff(tmp_path / "in")
    os.mkfifo(path / "pipe.tif")
    (path / "NDTiff.index").write_bytes(index_of(name.format(tmp_path)))
    if follow:
        with pytest.raises(CannotFollow, match="its metadata names a file"):
            look(path, None, Seen(None), False)
    else:
        assert f"{path}: its metadata names a file " in refused(path)


def test_a_file_of_an_ndtiff_data_set_does_not_open_the_others(tmp_path: Path) -> None:
    pytest.importorskip("ndstorage")
    path = write_ndtiff(tmp_path / "in")
    tifffile.imwrite(tmp_path / "other.tif", shape=(8, 8), dtype="u2")
    (path / "NDTiff.index").write_bytes(index_of("../other.tif"))
    assert "its metadata names a file '../other.tif'" in refused(next(path.glob("*.tif")))
