from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.base import Axis, VolumeInfo, WorkItem
from baikal_deploy.volumes.layout import default_layout
from baikal_deploy.volumes.pyramid import downsample
from baikal_deploy.volumes.zarr.format import OmeZarr
from baikal_deploy.volumes.zarr.reader import open_volume
from baikal_deploy.volumes.zarr.writer import OutputVolume
from tests.capabilities import require
from tests.valid import assert_valid

MakeInfo = Callable[..., VolumeInfo]
Pixels = NDArray[Any]

SUBSETS = ["".join(names) + "yx" for size in range(4) for names in itertools.combinations("tcz", size)]
OMERO: dict[str, Any] = {
    "version": "0.4",
    "rdefs": {"model": "color"},
    "channels": [
        {
            "label": "GFP",
            "color": "00FF00",
            "lut": "green",
            "window": {"min": 0, "max": 9, "start": 1, "end": 8},
        },
        {"label": "DAPI"},
    ],
}


def random_planes(info: VolumeInfo) -> Pixels:
    rng = np.random.default_rng(0)
    shape = (info.num_planes, *info.plane_shape)
    if info.dtype.kind == "f":
        return rng.normal(100, 30, shape).astype(info.dtype)
    limits = np.iinfo(info.dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=info.dtype, endpoint=True)


def write_all(path: Path, info: VolumeInfo, planes: Pixels, **options: Any) -> OutputVolume:
    output = OmeZarr().create(path, info, **options)
    for item in reversed(output.items):
        output.write(item, planes[list(item.planes)])
    return output


def attributes(path: Path) -> dict[str, Any]:
    return dict(zarr.open_group(path, mode="r", use_consolidated=False).attrs)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "f4", "f8"])
@pytest.mark.parametrize("names", SUBSETS)
def test_what_is_written_is_read(tmp_path: Path, make_info: MakeInfo, names: str, dtype: str) -> None:
    info = make_info(names, (2, 3, 4, 9, 7)[-len(names) :], dtype, name="cells")
    planes = random_planes(info)
    output = write_all(
        tmp_path / "out.zarr", info, planes, layout=default_layout(info, 3 * 9 * 7 * info.dtype.itemsize)
    )
    output.finish({})
    volume = open_volume(tmp_path / "out.zarr")
    found = volume.info
    assert (found.axes, found.shape, found.dtype, found.name) == (info.axes, info.shape, info.dtype, "cells")
    np.testing.assert_array_equal(volume.read(range(info.num_planes)), planes)


@pytest.mark.parametrize("plane_shape", [(263, 257), (1, 1), (1, 600), (1025, 3), (128, 128)])
def test_every_level_is_the_mean_of_the_one_above(
    tmp_path: Path, make_info: MakeInfo, plane_shape: tuple[int, int]
) -> None:
    info = make_info("czyx", (2, 3, *plane_shape))
    write_all(tmp_path / "out.zarr", info, random_planes(info))
    expected = random_planes(info)
    datasets = attributes(tmp_path / "out.zarr")["ome"]["multiscales"][0]["datasets"]
    for dataset in datasets:
        found = open_volume(tmp_path / "out.zarr" / dataset["path"]).read(range(info.num_planes))
        np.testing.assert_array_equal(found, expected)
        expected = downsample(expected)
    assert max(found.shape[1:]) <= 128
    assert len(datasets) == 1 or max(plane_shape) > 128


def test_each_level_has_its_scale_and_translation(tmp_path: Path, make_info: MakeInfo) -> None:
    info = make_info("zyx", (2, 512, 256), scale=(2.0, 0.5, 0.25), translation=(7.0, 10.0, 20.0))
    OmeZarr().create(tmp_path / "out.zarr", info)
    datasets = attributes(tmp_path / "out.zarr")["ome"]["multiscales"][0]["datasets"]
    geometry = [[t[t["type"]] for t in dataset["coordinateTransformations"]] for dataset in datasets]
    assert geometry == [
        [[2.0, 0.5, 0.25], [7.0, 10.0, 20.0]],
        [[2.0, 1.0, 0.5], [7.0, 10.25, 20.125]],
        [[2.0, 2.0, 1.0], [7.0, 10.75, 20.375]],
    ]
    read = open_volume(tmp_path / "out.zarr").info
    assert (read.scale, read.translation) == (info.scale, info.translation)


def test_layout_is_one_shard_per_item_and_one_chunk_per_plane(tmp_path: Path, make_info: MakeInfo) -> None:
    info = make_info("tzyx", (2, 7, 300, 1100))
    output = write_all(
        tmp_path / "out.zarr", info, random_planes(info), layout=default_layout(info, 4 * 300 * 1100 * 2)
    )
    assert [item.planes for item in output.items] == [range(4), range(4, 7), range(7, 11), range(11, 14)]
    array = zarr.open_array(tmp_path / "out.zarr" / "0", mode="r")
    assert (array.chunks, array.shards) == ((1, 1, 300, 550), (1, 4, 300, 1100))
    assert array.metadata.dimension_names == ("t", "z", "y", "x")  # type: ignore[union-attr]
    for level in ("0", "1", "2", "3"):
        shards = [file for file in (tmp_path / "out.zarr" / level / "c").rglob("*") if file.is_file()]
        assert len(shards) == len(output.items)


def test_writing_an_item_again_changes_no_other(tmp_path: Path, make_info: MakeInfo) -> None:
    info = make_info("zyx", (5, 8, 8))
    planes = random_planes(info)
    output = write_all(tmp_path / "out.zarr", info, planes, layout=default_layout(info, 2 * 8 * 8 * 2))
    output.write(output.items[1], np.zeros_like(planes[2:4]))
    expected = planes.copy()
    expected[2:4] = 0
    np.testing.assert_array_equal(open_volume(tmp_path / "out.zarr").read(range(5)), expected)


def test_omero_units_and_names_are_carried_over(tmp_path: Path, make_info: MakeInfo) -> None:
    info = make_info("cyx", (2, 8, 8), "i1", omero=OMERO, name="cells")
    axes = (Axis("c"), Axis("y", "micrometer"), Axis("x", "pixel"))
    info = VolumeInfo(**{**vars(info), "axes": axes})
    OmeZarr().create(tmp_path / "out.zarr", info)
    found = open_volume(tmp_path / "out.zarr").info
    assert (found.axes, found.name) == (axes, "cells")
    window = {"min": -128.0, "max": 127.0, "start": -128.0, "end": 127.0}
    assert found.omero == {
        "rdefs": {"model": "color"},
        "channels": [OMERO["channels"][0], {"label": "DAPI", "color": "FFFFFF", "window": window}],
    }


@pytest.mark.parametrize(
    "omero",
    [
        {},
        {"channels": None},
        {"channels": [3]},
        {"channels": [{"color": -1, "window": None}, {"window": {"min": None}}]},
    ],
)
def test_a_broken_omero_block_does_not_stop_the_output(
    tmp_path: Path, make_info: MakeInfo, omero: dict[str, Any]
) -> None:
    OmeZarr().create(tmp_path / "out.zarr", make_info("yx", (8, 8), "f4", omero=omero))
    assert_valid(tmp_path / "out.zarr")


def test_metadata_that_cannot_be_made_valid_is_refused(tmp_path: Path, make_info: MakeInfo) -> None:
    info = make_info("yx", (8, 8), omero={"channels": [{"label": 7}]})
    with pytest.raises(
        VolumeError, match=r"in\.zarr: its metadata does not make valid OME-NGFF 0\.5 \(.*label"
    ):
        OmeZarr().create(tmp_path / "out.zarr", info)
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize("names", SUBSETS)
def test_the_output_is_valid_ngff(tmp_path: Path, make_info: MakeInfo, names: str) -> None:
    info = make_info(names, (2, 2, 2, 300, 7)[-len(names) :], omero=OMERO)
    write_all(tmp_path / "out.zarr", info, random_planes(info)).finish({"model": "nuclei"})
    assert_valid(tmp_path / "out.zarr")
    assert isinstance(zarr.open(tmp_path / "out.zarr", mode="r"), zarr.Group)
    assert not list((tmp_path / "out.zarr").rglob(".zmetadata"))
    assert "consolidated_metadata" not in json.loads((tmp_path / "out.zarr" / "zarr.json").read_text())


def test_provenance_marks_the_output_complete(tmp_path: Path, make_info: MakeInfo) -> None:
    output = OmeZarr().create(tmp_path / "out.zarr", make_info("yx", (8, 8)))
    assert attributes(output.path)["baikal"] == {"complete": False}
    output.finish({"model": "nuclei", "seed": 3})
    assert attributes(output.path)["baikal"] == {"model": "nuclei", "seed": 3, "complete": True}
    assert "ome" in attributes(output.path)


def test_an_existing_output_stays_whole_until_the_new_one_is_finished(
    tmp_path: Path, make_info: MakeInfo
) -> None:
    info, path = make_info("zyx", (2, 8, 8)), tmp_path / "out.zarr"
    old, new = random_planes(info), random_planes(info) // 2
    write_all(path, info, old).finish({})
    with pytest.raises(VolumeError, match="exists already"):
        OmeZarr().create(path, info)
    failed = OmeZarr().create(path, info, overwrite=True)
    with pytest.raises(VolumeError, match=r"out\.zarr\.partial: is in the way"):
        OmeZarr().create(path, info, overwrite=True)
    shutil.rmtree(failed.location)
    output = write_all(path, info, new, overwrite=True)
    np.testing.assert_array_equal(open_volume(path).read([0, 1]), old)
    output.finish({"run": 2})
    np.testing.assert_array_equal(open_volume(path).read([0, 1]), new)
    assert attributes(path)["baikal"]["run"] == 2
    assert os.listdir(tmp_path) == ["out.zarr"]


def test_a_linked_output_is_replaced_where_it_lies(tmp_path: Path, make_info: MakeInfo) -> None:
    require("links")
    info, real, link = make_info("yx", (8, 8)), tmp_path / "disk" / "real.zarr", tmp_path / "link.zarr"
    write_all(real, info, random_planes(info)).finish({"run": 1})
    link.symlink_to(real)
    output = write_all(link, info, random_planes(info), overwrite=True)
    assert output.location.parent == real.parent  # the link may lead to another disk
    output.finish({"run": 2})
    assert link.is_symlink()
    assert attributes(real)["baikal"]["run"] == 2
    assert os.listdir(real.parent) == ["real.zarr"]


def test_planes_that_do_not_fit_are_refused(tmp_path: Path, make_info: MakeInfo) -> None:
    output = OmeZarr().create(tmp_path / "out.zarr", make_info("zyx", (3, 8, 8)))
    item = output.items[0]
    with pytest.raises(VolumeError, match=r"planes 0 to 2 .* came as float32 .*; the output needs uint16"):
        output.write(item, np.zeros((3, 8, 8), np.float32))
    with pytest.raises(VolumeError, match=r"came as uint16 \(2, 8, 8\); .* \(3, 8, 8\)"):
        output.write(item, np.zeros((2, 8, 8), np.uint16))
    for other in (WorkItem(0, range(2)), WorkItem(1, range(3))):
        with pytest.raises(VolumeError, match="is none of this volume's items"):
            output.write(other, np.zeros((len(other.planes), 8, 8), np.uint16))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, make_info: MakeInfo) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "out.zarr"
    with pytest.raises(VolumeError, match=r"out\.zarr: the metadata could not be written: .*; free space"):
        OmeZarr().create(path, make_info("yx", (8, 8)))


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.base import Axis, VolumeInfo
from baikal_deploy.volumes.layout import default_layout
from baikal_deploy.volumes.zarr.format import OmeZarr
from baikal_deploy.volumes.zarr.writer import OutputVolume
from tests.valid import assert_valid

path = Path(sys.argv[1])
axes = tuple(Axis(name) for name in "zyx")
info = VolumeInfo(path, axes, (4, 100, 100), np.dtype("u2"), (1.0,) * 3, (0.0,) * 3)
planes = np.random.default_rng(0).integers(0, 65535, (4, 100, 100), dtype="u2")
output = OmeZarr().create(path, info, layout=default_layout(info, 2 * 100 * 100 * 2))
output.write(output.items[0], planes[:2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = 100 if sys.argv[2] == "finish" else 20_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    output.finish({}) if sys.argv[2] == "finish" else output.write(output.items[1], planes[2:])
except VolumeError as error:
    print(error, "|", type(error.__cause__).__name__)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize(
    ("step", "what"), [("write", "planes 2 to 3 (z=2 to z=3)"), ("finish", "the provenance")]
)
def test_a_write_that_the_system_refuses_leaves_the_finished_items_valid(
    tmp_path: Path, make_info: MakeInfo, step: str, what: str
) -> None:
    path = tmp_path / "out.zarr"
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(path), step]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    advice = "free space or correct permissions, and run again"
    assert run.stdout == f"{path}: {what} could not be written: File too large; {advice} | OSError\n"
    planes = np.random.default_rng(0).integers(0, 65535, (4, 100, 100), dtype="u2")
    np.testing.assert_array_equal(open_volume(path).read([0, 1]), planes[:2])
    assert not open_volume(path).read([2, 3]).any()
    assert attributes(path)["baikal"] == {"complete": False}
    assert not list(path.rglob("*.partial"))
