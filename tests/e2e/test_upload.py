"""Outputs on an S3 server, which is a real HTTP server on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy import Run, RunConfig, denoise_file
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.errors import ConfigError
from baikal_deploy.run.memory import MemoryModel
from baikal_deploy.run.resume.journal import Journal
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.urls import Url
from baikal_deploy.volumes.zarr import uploading
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.test_urls import Server, client, obstore, s3, server

__all__ = ["s3", "server"]
URL = "s3://data/clean.ome.zarr"


@pytest.fixture
def source(tmp_path: Path, counts: np.ndarray) -> Path:
    """Three channels, and so three shards; the second is all 0: (3, 1, 96, 80) uint16."""
    pixels = counts[:, None].copy()
    pixels[1] = 0
    names = ["c", "z", "y", "x"]
    return write_zarr(tmp_path / "in.zarr", pixels, chunks=(1, 1, 96, 80), dimension_names=names)


@pytest.fixture(autouse=True)
def empty(s3: Server) -> None:
    for key in objects():
        obstore.delete(obstore.store.from_url("s3://data"), key)


def objects() -> dict[str, bytes]:
    """What is on the server."""
    store = obstore.store.from_url("s3://data")
    names = [one["path"] for page in obstore.list(store) for one in page]
    return {name: bytes(obstore.get(store, name).bytes()) for name in names}


def without_fingerprint(files: dict[str, bytes]) -> dict[str, Any]:
    """Contents, where the fingerprint, which tells where it went, is left out of the metadata."""
    found: dict[str, Any] = dict(files)
    root = json.loads(found["zarr.json"])
    del root["attributes"]["baikal"]["fingerprint"]
    return found | {"zarr.json": root}


def test_it_is_the_store_that_a_local_run_writes(tmp_path: Path, source: Path, baikal_run: BaikalRun) -> None:
    (tmp_path / "notes").mkdir()
    result = baikal_run(source, URL, "--journal", tmp_path / "notes", "--report", tmp_path / "look.html")
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [URL, str(tmp_path / "look.html")]
    assert not list((tmp_path / "notes").iterdir())
    assert baikal_run(source, tmp_path / "local.ome.zarr").exit_code == 0
    root = tmp_path / "local.ome.zarr"
    local = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    found = {name.removeprefix("clean.ome.zarr/"): data for name, data in objects().items()}
    assert without_fingerprint(found) == without_fingerprint(local)
    assert found["zarr.json"].count(b"\n") == local["zarr.json"].count(b"\n")
    again = baikal_run(source, URL)
    assert again.exit_code == 0
    assert f"{URL}: complete already" in again.stderr
    for more in (["--seed", 3], ["--seed", 3, "--overwrite"]):
        refused = baikal_run(source, URL, *more)
        assert refused.exit_code == 2
        assert f"{URL}: exists already" in refused.stderr


class Stopped(Exception):
    """In place of a kill."""


@pytest.mark.parametrize(
    ("owner", "name", "calls"),
    [
        (Denoiser, "run", 2),
        (uploading, "put_object", 5),  # the second shard; the first three are to see whether any can be put
        (uploading, "put_object", 7),  # the metadata of the image
        (uploading, "discard", 1),
        (Journal, "remove", 1),
    ],
)
def test_a_stopped_run_continues(
    tmp_path: Path,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    calls: int,
) -> None:
    denoise_file(source, URL, engine="analytic")
    whole = objects()
    for key in whole:
        obstore.delete(obstore.store.from_url("s3://data"), key)
    original, left = getattr(owner, name), calls

    def limited(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            raise Stopped
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, limited)
        with pytest.raises(Stopped):
            denoise_file(source, URL, engine="analytic")
    uploaded = set(objects())
    complete = name in ("discard", "remove")
    assert ("clean.ome.zarr/zarr.json" in uploaded) == complete  # nothing half made is seen as an image
    report = denoise_file(source, URL, engine="analytic")
    if name == "run":
        assert "clean.ome.zarr/0/c/0/0/0/0" in uploaded
        assert report.evaluations == 2
    assert objects() == whole
    kept = {path.name for path in tmp_path.iterdir()} - {"in.zarr"}
    assert kept <= ({"clean.uploading.ome.zarr.journal"} if name == "remove" else set())


def test_what_another_run_left_is_not_taken_for_this_one(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard of 0 has no object, so one of before must go; another address is another run."""
    store = obstore.store.from_url("s3://data")
    obstore.put(store, "clean.ome.zarr/0/c/1/0/0/0", b"of an earlier run")

    def stopped(*args: Any) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(uploading, "discard", stopped)
        with pytest.raises(Stopped):
            denoise_file(source, URL, engine="analytic")
    assert "clean.ome.zarr/0/c/1/0/0/0" not in objects()
    with pytest.raises(Exception, match="uploaded to"):
        denoise_file(source, "s3://data/other/clean.ome.zarr", engine="analytic")


def test_planes_that_are_cut_into_regions(
    tmp_path: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Smaller levels are made of the larger, which stay here until then."""
    monkeypatch.setattr(MemoryModel, "choose", lambda self, limit: Layout(1, 256))
    source = write_zarr(tmp_path / "in.zarr", np.tile(counts[:1], (1, 4, 4)))
    denoise_file(source, URL, engine="analytic")
    denoise_file(source, tmp_path / "local.zarr", engine="analytic")
    levels = sorted(path.name for path in (tmp_path / "local.zarr").glob("[0-9]"))
    assert len(levels) == 3
    group = zarr.open_group(zarr.storage.ObjectStore(obstore.store.from_url(URL), read_only=True), mode="r")
    for level in levels:
        local = zarr.open_array(tmp_path / "local.zarr" / level, mode="r")
        np.testing.assert_array_equal(group[level][:], local[:])


@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_versions(source: Path, ngff: Any) -> None:
    report = denoise_file(source, URL, engine="analytic", ngff=ngff)
    assert report.output == Url(URL)
    volume = open_input(Url(URL))
    assert volume.info.shape == (3, 1, 96, 80)
    assert volume.read([0]).any()
    assert denoise_file(source, URL, engine="analytic", ngff=ngff).before


def test_a_server_that_fails_loses_nothing(source: Path, baikal_run: BaikalRun, s3: Server) -> None:
    """A bucket that is not there is told in one line, before anything is measured."""
    there = "s3://none/clean.ome.zarr"
    result = baikal_run(source, there)
    assert result.exit_code == 2
    assert result.stderr == f"error: {there}: there is no such bucket; make it, or correct the address\n"
    client(s3).create_bucket(Bucket="none")
    assert baikal_run(source, there).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["https://example.org/a.zarr"], "can only be read"),
        (["s3://data/a.tif"], "an output at a URL is an OME-Zarr"),
        ([URL, "--format", "tif"], "--format tif: an output at a URL is an OME-Zarr"),
        ([URL, "--journal", "none"], "its folder does not exist"),
        (["a.zarr", "--journal", "."], "--journal .: is for an OUTPUT at a URL"),
        ([URL, "--follow"], "with --follow, write a local .ome.zarr"),
        ([URL, "--draws", "2", "--sampler", "posterior"], "are written to local files"),
        ([URL, "--mask", "s3://data/m.zarr"], "only OUTPUT may be a URL"),
    ],
)
def test_what_cannot_be(source: Path, baikal_run: BaikalRun, arguments: list[str], message: str) -> None:
    result = baikal_run(source, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not objects()


def test_several_images_and_processes(tmp_path: Path, source: Path) -> None:
    config = RunConfig(source, upload=Url(URL), engine="analytic")
    with pytest.raises(ConfigError, match="uploaded by one process"):
        Run(config, shared=True)


@pytest.mark.slow
def test_kills_at_random(tmp_path: Path, source: Path) -> None:
    """Kills of the process itself, one after the other, at growing times."""
    denoise_file(source, URL, engine="analytic")
    whole = objects()
    for key in whole:
        obstore.delete(obstore.store.from_url("s3://data"), key)
    command = [sys.executable, "-m", "baikal_deploy", "run", str(source), URL, "--engine", "analytic"]
    for seconds in (2, 3, 4, 5):
        with subprocess.Popen(command, cwd=tmp_path, env=dict(os.environ)) as process:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    assert objects() == whole
