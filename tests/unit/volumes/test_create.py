"""What every writer promises, whatever its format, and what is asked of a format before anything is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.volumes.base import VolumeInfo, WorkItem
from baikal_deploy.volumes.cleanup import Mark, sweep
from baikal_deploy.volumes.create import check_output_place, format_of
from baikal_deploy.volumes.layout import Layout, plan_reductions
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.writer import Writer
from tests.conftest import MakeInfo

NAMES = ["out.ome.zarr", "out.ome.tif"]
LAYOUT = Layout(1, 256)


@pytest.fixture
def info(make_info: MakeInfo) -> VolumeInfo:
    """Planes that are cut into regions, and a pyramid with levels that no item has a part in."""
    return make_info("tyx", (2, 300, 520))


def pixels(info: VolumeInfo) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 9999, info.shape).astype(info.dtype)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_written_continued_and_finished(tmp_path: Path, info: VolumeInfo, name: str) -> None:
    kind, path, planes = format_of(Path(name)), tmp_path / name, pixels(info)
    kind.check_expressible(path, info)
    kind.check_begin(path, False, [])
    place = kind.begin(path, False)
    begun = kind.create(path, info, layout=LAYOUT, run="this")
    assert begun.location == place
    assert (mark := Mark.at(place)) is not None
    assert (mark.complete, mark.run) == (False, "this")
    first, *others = begun.items

    def write(writer: Writer, item: WorkItem) -> None:
        assert item.region is not None
        writer.write(item, planes[list(item.planes)][:, *item.region])
        writer.sync(item)

    write(begun, first)
    again = kind.resume(path, info, place, layout=LAYOUT)
    for piece in others[:2]:  # which no journal vouches for
        write(again, piece)
    sweep(place, set(again.files(first)))
    for piece in others:
        write(again, piece)
    for reduction in again.reductions:
        again.reduce(reduction)
        again.sync(reduction)
    again.finish({"model": "any"})
    assert {file.name for file in tmp_path.iterdir()} == {name}
    np.testing.assert_array_equal(open_input(path).read(range(2)), planes)
    assert (mark := Mark.at(path)) is not None
    assert mark.complete
    with pytest.raises(VolumeError, match="exists already"):
        kind.check_begin(path, False, [])
    kind.check_begin(path, True, [])


@pytest.mark.parametrize("name", NAMES)
def test_a_format_does_what_it_says_it_can(tmp_path: Path, info: VolumeInfo, name: str) -> None:
    kind = format_of(Path(name))
    writer = kind.create(tmp_path / name, info, layout=LAYOUT)
    longer = VolumeInfo(info.path, info.axes, (3, 300, 520), info.dtype, info.scale, info.translation)
    if kind.GROWS:
        assert writer.grown(longer).info == longer
    else:
        with pytest.raises(VolumeError, match=f"a {kind.NAME} cannot grow"):
            writer.grown(longer)
    reduction = plan_reductions(info, LAYOUT)[0]
    if not writer.reductions:
        with pytest.raises(VolumeError, match="is none of this volume's reductions"):
            writer.reduce(reduction)
    each = {tuple(writer.files(item)) for item in writer.items}
    assert (len(each) == len(writer.items)) == kind.SHARED  # workers share an image whose items lie apart


@pytest.mark.parametrize(
    ("name", "size"), [("a.zarr", 2 * 300 * 520 * 2 * 4 // 3), ("a.TIF", 2 * 300 * 520 * 2)]
)
def test_size_before_compression(info: VolumeInfo, name: str, size: int) -> None:
    assert format_of(Path(name)).size(info) == size


@pytest.mark.parametrize("name", ["out", "out.png", "out.zarr.bak"])
def test_a_name_that_no_format_goes_with(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"no image format that can be written has this ending"):
        check_output_place(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
def test_what_another_run_left_is_in_the_way(tmp_path: Path, info: VolumeInfo, name: str) -> None:
    """Unless the journal of this run says that it is its own."""
    kind, path = format_of(Path(name)), tmp_path / name
    kind.create(path, info, run="earlier").finish({})
    left = kind.create(path, info, overwrite=True, run="another").location
    kind.check_begin(path, True, [left])
    left.rename(tmp_path / "moved")
    left.write_bytes(b"of somebody")
    with pytest.raises(VolumeError, match="is in the way"):
        kind.check_begin(path, True, [])
