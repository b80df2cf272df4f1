"""What cannot be followed, and stores that go wrong while they are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import ShardingCodec

from baikal_deploy.errors import BaikalError, ConfigError, VolumeError
from baikal_deploy.run.workers import ThisProcess
from tests.e2e.conftest import BaikalRun
from tests.e2e.following import check, follow, result, then, write_steps


def test_nothing_comes(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="nothing that could be denoised was written"):
        follow(tmp_path / "in.zarr")
    (tmp_path / "in.zarr").mkdir()
    with pytest.raises(VolumeError, match="nothing that could be denoised"):
        follow(tmp_path / "in.zarr")
    (tmp_path / "in.zarr" / "zarr.json").write_text('{"shape": [')
    with pytest.raises(VolumeError, match="damaged, or half written"):
        follow(tmp_path / "in.zarr")
    assert [file.name for file in tmp_path.iterdir()] == ["in.zarr"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"shape": (4, 8, 8), "chunks": (2, 8, 8), "dimension_names": ["t", "y", "x"]},
            "files hold 2 steps",
        ),
        ({"shape": (4, 8, 8), "chunks": (1, 8, 8), "dimension_names": ["c", "y", "x"]}, "axes c, y, x"),
        ({"shape": (8, 8), "chunks": (1, 8)}, "axes y, x"),
        (
            {
                "shape": (4, 8, 8),
                "chunks": (1, 8, 8),
                "dimension_names": ["t", "y", "x"],
                "serializer": ShardingCodec(chunk_shape=(1, 4, 4), index_location="start"),
                "compressors": None,
            },
            "not at their end",
        ),
    ],
)
def test_what_cannot_be_followed(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    array = zarr.create_array(tmp_path / "in.zarr", dtype="u2", **options)
    array[...] = 1
    with pytest.raises(VolumeError, match=message):
        follow(tmp_path / "in.zarr")


def test_several_arrays(tmp_path: Path) -> None:
    """As acquire-zarr writes them, without metadata: nothing tells which one is meant."""
    for number in range(2):
        write_steps(tmp_path / "in.zarr" / str(number), 6)
    with pytest.raises(VolumeError, match=r"holds several arrays; give one of them, such as .*in.zarr/0"):
        follow(tmp_path / "in.zarr", timeout=1000)
    with follow(tmp_path / "in.zarr" / "1") as run:
        assert run.execute().output == tmp_path / "in_1_denoised.ome.zarr"


@pytest.mark.parametrize("change", [{"shape": (9, 2, 64, 50)}, {"dtype": "f4"}, {"shape": (5, 2, 64, 48)}])
def test_a_store_that_changes_otherwise(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write_steps(tmp_path / "in.zarr", 6)
    settings = {"shape": (9, 2, 64, 48), "dtype": "u2", "chunks": (1, 1, 64, 48)} | change
    with follow(path) as run:
        array = zarr.create_array(path, overwrite=True, dimension_names=["t", "z", "y", "x"], **settings)
        array[...] = 1
        with pytest.raises(VolumeError, match="only what grows along its first axis"):
            run.execute()
    assert not result(path).exists()


def test_a_store_that_is_removed(tmp_path: Path) -> None:
    """Its chunks would read as zeros."""
    path = write_steps(tmp_path / "in.zarr", 6)
    with follow(path, timeout=1000) as run, pytest.raises(VolumeError, match=r"c/\d/\d/0/0 is missing"):
        run.execute(then(run, lambda: shutil.rmtree(path)))
    assert not list(result(path).glob("0/c/5/*"))
    with pytest.raises(VolumeError, match="nothing that could be denoised"):
        follow(path)


def test_a_store_that_is_removed_while_it_is_waited_for(tmp_path: Path) -> None:
    path = write_steps(tmp_path / "in.zarr", 6)

    def remove(done: int, total: int) -> None:
        if done == total:
            shutil.rmtree(path)

    with follow(path, timeout=1000) as run, pytest.raises(VolumeError, match="6 steps were there"):
        run.execute(remove)


def test_a_store_that_is_written_anew(tmp_path: Path) -> None:
    """Of the same form, so that its metadata tells nothing."""
    path = write_steps(tmp_path / "in.zarr", 6)

    def write_anew() -> None:
        array = zarr.open_array(path)
        array[...] = np.asarray(array[...]) + 1

    with follow(path, timeout=1000) as run, pytest.raises(VolumeError, match="was written anew"):
        run.execute(then(run, write_anew))
    record: Any = zarr.open_group(result(path), mode="r").attrs["baikal"]
    assert record["complete"] is False


def test_metadata_that_is_damaged_at_the_end(tmp_path: Path) -> None:
    """As by a writer that was killed while it wrote them: what was there before is kept, and it is said."""
    path = write_steps(tmp_path / "in.zarr", 6)
    with follow(path, timeout=1000) as run:
        report = run.execute(then(run, lambda: (path / "zarr.json").write_text("{")))
    check(result(path), "append", 6)
    assert any("could not be looked at when it ended" in note for note in report.notes)


def test_what_is_wrong_is_said_before_waiting(tmp_path: Path) -> None:
    path = tmp_path / "in.zarr"
    for options, message in (
        ({"output": tmp_path / "none" / "out.zarr"}, "its folder does not exist"),
        ({"model": "none"}, "model 'none'"),
        ({"sampler": "matched", "options": {"evaluations": "x"}}, "evaluations"),
    ):
        with pytest.raises(BaikalError, match=message):
            follow(path, timeout=1000, **options)
    write_steps(result(path), 1)
    with pytest.raises(VolumeError, match="exists already"):
        follow(path, timeout=1000)


def test_workers_are_refused(tmp_path: Path) -> None:
    with follow(write_steps(tmp_path / "in.zarr", 6)) as run, pytest.raises(ConfigError, match="one process"):
        run.execute(workers=ThisProcess())


def test_options_that_are_not_for_it(tmp_path: Path, baikal_run: BaikalRun) -> None:
    path = write_steps(tmp_path / "in.zarr", 6)
    for words, message in {
        ("--dask", "local:2"): "--dask local:2: is not for --follow",
        ("--draws", "2"): "--draws 2: is not for --follow",
        ("--t", "0:3"): "--t: is the axis along which the input grows",
        ("--guide", str(path)): "--guide: cannot be followed",
        ("--follow-timeout", "0"): "--follow-timeout 0: must be more than 0",
        (str(tmp_path / "out.tif"),): "a TIFF cannot grow",
    }.items():
        done = baikal_run(path, *words, "--follow")
        assert (done.exit_code, message in done.stderr) == (2, True), done.stderr
    done = baikal_run(path, "--follow-timeout", "5")
    assert (done.exit_code, "--follow-timeout 5: is for --follow" in done.stderr) == (2, True), done.stderr
    (tmp_path / "in.tif").write_bytes(b"II")
    done = baikal_run(tmp_path / "in.tif", "--follow")
    assert "files cannot be followed while they are written" in done.stderr
    done = baikal_run("s3://bucket/in.zarr", "--follow", tmp_path / "out.zarr")
    assert "only local stores can be followed" in done.stderr
