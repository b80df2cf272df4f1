"""How an OME-Zarr is stored: its version, chunks, shards and codec; the values are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ngff_zarr
import numpy as np
import pytest
import yaozarrs
import zarr

from baikal_deploy.errors import ConfigError
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.cleanup import Mark, sweep
from baikal_deploy.volumes.create import format_of
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.storage import USUAL, Codec, Storage
from tests.conftest import MakeInfo

OMERO = {"channels": [{"label": "DAPI"}, {"label": "GFP", "color": "00FF00"}]}
STORED = [
    (Storage("0.4"), 2, None),
    (Storage("0.4", "blosc:3", 64), 2, (1, 1, 64, 64)),
    (Storage("0.5", "zlib", 64, sharded=False), 3, (1, 1, 64, 64)),
    (Storage("0.5", "none", 128), 3, (1, 1, 128, 128)),
]


@pytest.fixture
def info(make_info: MakeInfo) -> VolumeInfo:
    return make_info("czyx", (2, 2, 200, 300), scale=(1, 0.5, 0.1, 0.1), omero=OMERO)


@pytest.mark.parametrize(("storage", "version", "chunks"), STORED)
@pytest.mark.parametrize("layout", [None, Layout(1, 256)])
def test_an_image_is_stored_as_chosen(
    tmp_path: Path, info: VolumeInfo, storage: Storage, version: int, chunks: Any, layout: Layout | None
) -> None:
    """Killed in between, it is continued, with what nobody vouches for removed."""
    path = tmp_path / "a.ome.zarr"
    planes = np.random.default_rng(0).integers(1, 900, (4, 200, 300)).astype("u2")
    kind = format_of(path, storage)
    begun = kind.create(path, info, layout=layout, run="this")
    assert (mark := Mark.at(path)) is not None
    assert (mark.complete, mark.run) == (False, "this")

    def put(writer: Any, items: Any) -> None:
        for item in items:
            part = planes[list(item.planes)]
            writer.write(item, part if item.region is None else part[:, *item.region])
            writer.sync(item)

    put(begun, begun.items[:2])
    again = kind.resume(path, info, path, layout=layout, run="this")
    kept = set(again.files(again.items[0]))
    assert kept
    assert all(file.is_file() for file in kept)
    sweep(path, kept)
    put(again, again.items[1:])
    for reduction in again.reductions:
        again.reduce(reduction)
        again.sync(reduction)
    again.finish({"model": "any"})
    assert (mark := Mark.at(path)) is not None
    assert mark.complete
    yaozarrs.validate_zarr_store(str(path))
    ngff_zarr.from_ngff_zarr(str(path), validate=True, version=storage.ngff)
    array = zarr.open_array(path / "0", mode="r")
    assert array.metadata.zarr_format == version
    assert (array.shards is None) == (version == 2 or not storage.sharded)
    assert chunks is None or array.chunks == chunks
    volume = open_input(path)
    np.testing.assert_array_equal(volume.read(range(4)), planes)
    assert (volume.info.scale, volume.info.channel_name(0)) == (info.scale, "DAPI")


def test_an_image_of_0_4_grows(tmp_path: Path, make_info: MakeInfo) -> None:
    path = tmp_path / "a.zarr"
    writer = format_of(path, Storage("0.4")).create(path, make_info("tyx", (1, 20, 30)))
    longer = writer.grown(make_info("tyx", (3, 20, 30)))
    for item in longer.items:
        longer.write(item, np.full((len(item.planes), 20, 30), 7, "u2"))
    longer.finish({})
    assert (open_input(path).read(range(3)) == 7).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"codec": "zip"}, {"codec": "zlib:10"}, {"codec": "zstd:"}, {"chunk": 100}, {"chunk": 16},
        {"ngff": "0.3"},
    ],
)  # fmt: skip
def test_what_cannot_be_chosen(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"--{next(iter(wrong))} "):
        Storage(**wrong)


def test_what_is_recorded_and_what_a_codec_does() -> None:
    assert USUAL.record() == {}
    assert Storage("0.4", chunk=64).record() == {"ngff": "0.4", "chunk": 64}
    assert [Codec.of(text) for text in ("none", "zlib", "zstd:9")] == [
        Codec("none", 0), Codec("zlib", 6), Codec("zstd", 9)
    ]  # fmt: skip
