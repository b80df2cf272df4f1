"""A run that writes a TIFF continues after a kill, as any other."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from baikal_deploy import Run, RunConfig
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.errors import VolumeError
from baikal_deploy.host.locks import locked
from baikal_deploy.run.outputs import Outputs
from baikal_deploy.volumes.formats import is_tiff
from baikal_deploy.volumes.tiff.format import OmeTiff
from baikal_deploy.volumes.tiff.writer import TiffOutput
from baikal_deploy.volumes.zarr.writer import OutputVolume
from tests.capabilities import require
from tests.e2e import killed
from tests.e2e.conftest import BaikalRun, write_zarr

resource = pytest.importorskip("resource")
NAMES = [
    ("out.ome.tif", "std.ome.tif", "mask.ome.tif"),
    ("out.ome.tif", "std.zarr", "mask.zarr"),
    ("out.zarr", "std.zarr", "mask.tif"),
]


class Stopped(Exception):
    """In place of a kill."""


@pytest.fixture
def channels_zarr(tmp_path: Path, counts: np.ndarray) -> Path:
    """Three channels, and so three shards: (3, 1, 96, 80) uint16."""
    path = tmp_path / "in.zarr"
    return write_zarr(path, counts[:, None], chunks=(1, 1, 96, 80), dimension_names=["c", "z", "y", "x"])


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs until a method is called for the n-th time."""

    def run(config: RunConfig, owner: Any, name: str, calls: int) -> None:
        original, left = getattr(owner, name), calls

        def limited(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                raise Stopped
            return original(*args, **kwargs)

        with Run(config) as planned, monkeypatch.context() as patch:
            patch.setattr(owner, name, limited)
            with pytest.raises(Stopped):
                planned.execute()

    return run


def configured(folder: Path, source: Path, names: tuple[str, str, str], **more: Any) -> RunConfig:
    output, std, mask = (folder / name for name in names)
    return RunConfig(source, output, uncertainty=std, mask=mask, engine="analytic", **more)


def finished(config: RunConfig) -> None:
    with Run(config) as run:
        run.execute()


def contents(folder: Path) -> dict[str, Any]:
    """All but the UUID that each OME-TIFF has of its own."""
    found: dict[str, Any] = {
        name: digest for name, digest in killed.digest(folder).items() if not is_tiff(Path(name))
    }
    for path in filter(is_tiff, folder.iterdir()):
        xml = re.sub("urn:uuid:[0-9a-f-]+", "", str(tifffile.tiffcomment(path)))
        found[path.name] = xml, tifffile.imread(path).tolist()
    return found


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("owner", "name", "calls"),
    [
        (Outputs, "create", 1),
        (OmeTiff, "create", 1),
        (Denoiser, "run", 3),
        (Outputs, "finish", 1),
        (TiffOutput, "finish", 1),
        (OutputVolume, "finish", 2),
    ],
)
def test_a_stopped_run_is_finished_by_the_next(
    tmp_path: Path,
    channels_zarr: Path,
    stopped: Callable[..., None],
    names: tuple[str, str, str],
    overwrite: bool,
    owner: Any,
    name: str,
    calls: int,
) -> None:
    if owner is OutputVolume and "std.zarr" not in names:
        pytest.skip("there is no Zarr store among them")
    (tmp_path / "out").mkdir()
    config = configured(tmp_path / "out", channels_zarr, names, overwrite=overwrite)
    finished(config)
    whole = contents(tmp_path / "out")
    if overwrite:
        finished(configured(tmp_path / "out", channels_zarr, names, overwrite=True, seed=9))
    else:
        (tmp_path / "out").rename(tmp_path / "whole")
        (tmp_path / "out").mkdir()
    stopped(config, owner, name, calls)
    finished(config)
    assert sorted(os.listdir(tmp_path / "out")) == sorted(names)
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("names", NAMES)
def test_only_what_is_missing_is_done(
    tmp_path: Path, channels_zarr: Path, stopped: Callable[..., None], names: tuple[str, str, str]
) -> None:
    config = configured(tmp_path, channels_zarr, names)
    stopped(config, Denoiser, "run", 3)
    with Run(config) as run:
        assert run.evaluations_done * 3 == run.evaluations * 2
        assert run.execute().evaluations * 3 == run.evaluations


def test_another_run_is_refused(
    tmp_path: Path, channels_zarr: Path, baikal_run: BaikalRun, stopped: Callable[..., None]
) -> None:
    stopped(configured(tmp_path, channels_zarr, NAMES[0]), Denoiser, "run", 3)
    words = [channels_zarr, tmp_path / "out.ome.tif", "--seed", 3]
    result = baikal_run(*words)
    assert result.exit_code == 2
    assert "seed 0 is now 3" in result.stderr
    assert baikal_run(*words, "--overwrite").exit_code == 0
    assert sorted(os.listdir(tmp_path)) == ["in.zarr", "out.ome.tif"]


def test_what_is_finished_is_not_thrown_away(
    tmp_path: Path, channels_zarr: Path, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the last output and the end of the journal."""
    config = configured(tmp_path, channels_zarr, NAMES[0])
    with Run(config) as run, monkeypatch.context() as patch:
        patch.setattr("baikal_deploy.run.resume.journal.Journal.remove", lambda self: None)
        run.execute()
    before = killed.digest(tmp_path)
    with Run(config) as run:
        assert run.execute().evaluations == 0
    assert killed.digest(tmp_path) == {
        name: text for name, text in before.items() if not name.endswith(".journal")
    }


def test_maps_that_someone_else_put_there_are_kept(
    tmp_path: Path, channels_zarr: Path, stopped: Callable[..., None]
) -> None:
    config = configured(tmp_path, channels_zarr, NAMES[0])
    stopped(config, TiffOutput, "finish", 2)
    (tmp_path / "std.ome.tif").write_text("my own")
    with pytest.raises(VolumeError, match=r"std\.ome\.tif: exists already"):
        Run(config)
    assert (tmp_path / "std.ome.tif").read_text() == "my own"


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_a_link_of_another_name(tmp_path: Path, channels_zarr: Path, stopped: Callable[..., None]) -> None:
    """What is at its end is a TIFF if the link's name says so."""
    require("links")
    (tmp_path / "out.tif").symlink_to(tmp_path / "data.bin")
    (tmp_path / "data.bin").touch()
    config = RunConfig(channels_zarr, tmp_path / "out.tif", engine="analytic", overwrite=True)
    stopped(config, Denoiser, "run", 3)
    finished(config)
    assert sorted(os.listdir(tmp_path)) == ["data.bin", "in.zarr", "out.tif"]
    assert tifffile.imread(tmp_path / "out.tif").shape == (3, 96, 80)


def test_a_file_in_the_way_is_kept(tmp_path: Path, channels_zarr: Path, baikal_run: BaikalRun) -> None:
    (tmp_path / "out.tif.partial").write_text("my own")
    result = baikal_run(channels_zarr, tmp_path / "out.tif")
    assert result.exit_code == 2
    assert "out.tif.partial: is in the way" in result.stderr
    assert (tmp_path / "out.tif.partial").read_text() == "my own"


def test_a_second_run_on_one_tiff_is_refused(
    tmp_path: Path, channels_zarr: Path, baikal_run: BaikalRun
) -> None:
    with locked(tmp_path / "out.tif"):
        result = baikal_run(channels_zarr, tmp_path / "out.tif")
    assert result.exit_code == 2
    assert "out.tif: another run is writing it now" in result.stderr


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """A limit on the size of files stands for a full disk."""
    require("signals")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(("name", "kept"), [("out.tif", False), ("out.zarr", True)])
def test_a_full_disk_promises_nothing_that_is_not_so(
    tmp_path: Path, channels_zarr: Path, name: str, kept: bool
) -> None:
    """There is no room for the planes of the TIFF, which is known before any is denoised."""
    config = RunConfig(channels_zarr, tmp_path / name, engine="analytic")
    with Run(config) as run, small_files(6000), pytest.raises(VolumeError) as caught:
        run.execute()
    assert "free space" in str(caught.value)
    assert ("what was finished before is kept" in str(caught.value)) == kept
    with Run(config) as again:
        again.execute()
    assert sorted(os.listdir(tmp_path)) == sorted(["in.zarr", name])


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_an_interrupted_run_says_what_the_next_will_do(
    tmp_path: Path,
    channels_zarr: Path,
    baikal_run: BaikalRun,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    def interrupted(*args: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Denoiser, "run", interrupted)
    result = baikal_run(channels_zarr, tmp_path / name)
    assert result.exit_code == 130
    told = f"{name}: not complete yet; 0 of 6 network evaluations are kept, and the same command continues"
    assert told in result.stderr
