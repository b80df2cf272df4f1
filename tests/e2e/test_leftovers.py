"""Whatever lies beside an output, a run removes only what its own record tells of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy import Run, RunConfig
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.errors import VolumeError
from baikal_deploy.run.resume.journal import Journal
from baikal_deploy.volumes import replacing
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.killed import digest


class Stopped(Exception):
    """In place of a kill."""


@pytest.fixture
def plane_zarr(tmp_path: Path, counts: np.ndarray) -> Path:
    return write_zarr(tmp_path / "in.zarr", counts[:1], chunks=(1, 96, 80), dimension_names=["c", "y", "x"])


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs until a function is called with a path like this one."""

    def run(config: RunConfig, owner: Any, name: str, beginning: str = "") -> None:
        original = getattr(owner, name)

        def limited(first: Any, *args: Any, **named: Any) -> Any:
            if not beginning or (isinstance(first, Path) and first.name.startswith(beginning)):
                raise Stopped
            return original(first, *args, **named)

        with Run(config) as planned, monkeypatch.context() as patch:
            patch.setattr(owner, name, limited)
            with pytest.raises(Stopped):
                planned.execute()

    return run


def complete(path: Path) -> bool:
    return bool(zarr.open_group(path, mode="r").attrs["baikal"]["complete"])  # type: ignore[index,call-overload]


@pytest.mark.parametrize("suffix", [".zarr", ".tif"])
def test_what_another_run_left_unfinished_is_refused(
    tmp_path: Path, plane_zarr: Path, baikal_run: BaikalRun, stopped: Callable[..., None], suffix: str
) -> None:
    """Both write the same map, and each has a journal of its own."""
    mask = tmp_path / f"mask{suffix}"
    first = RunConfig(plane_zarr, tmp_path / "a.zarr", mask=mask, engine="analytic", overwrite=True)
    with Run(first) as run:
        run.execute()
    stopped(first, Denoiser, "run")
    before = digest(tmp_path)
    result = baikal_run(plane_zarr, tmp_path / "b.zarr", "--mask", mask, "--overwrite")
    assert result.exit_code == 2
    assert f"mask{suffix}.partial: is in the way" in result.stderr
    assert "move it away, or remove it" in result.stderr
    assert result.stderr.count("\n") == 1
    assert digest(tmp_path) == before
    with Run(first) as again:  # the one whose it is continues
        again.execute()
    assert complete(tmp_path / "a.zarr")
    assert not (tmp_path / f"mask{suffix}.partial").exists()


@pytest.mark.parametrize(
    ("owner", "name", "beginning"),
    [(replacing, "move", "out.zarr.partial"), (replacing, "remove_folder", "out.zarr")],
    ids=["before the new one is in place", "before the old one is removed"],
)
@pytest.mark.parametrize("another", [False, True])
def test_a_kill_while_an_output_is_replaced(
    tmp_path: Path,
    plane_zarr: Path,
    stopped: Callable[..., None],
    owner: Any,
    name: str,
    beginning: str,
    another: bool,
) -> None:
    """The next run, the same or another, removes what was put aside, and nothing of a like name."""
    config = RunConfig(plane_zarr, tmp_path / "out.zarr", engine="analytic", overwrite=True)
    with Run(config) as run:
        run.execute()
    (tmp_path / "out.zarr.replaced-0123abcd").mkdir()
    shutil.copytree(plane_zarr, tmp_path / "out.zarr.replaced-mine" / "out.zarr")
    before = digest(tmp_path / "out.zarr.replaced-mine")
    stopped(config, owner, name, beginning)
    journal = Journal.load(tmp_path / "out.zarr.journal")
    assert journal is not None
    assert (tmp_path / f"out.zarr.replaced-{journal.run[:8]}").exists()
    with Run(RunConfig(**(vars(config) | {"seed": 5})) if another else config) as run:
        run.execute()
    assert complete(tmp_path / "out.zarr")
    kept = ["out.zarr.replaced-0123abcd", "out.zarr.replaced-mine"]
    assert sorted(os.listdir(tmp_path)) == ["in.zarr", "out.zarr", *kept]
    assert digest(tmp_path / "out.zarr.replaced-mine") == before


def test_a_file_that_was_put_into_an_unfinished_output(
    tmp_path: Path, plane_zarr: Path, stopped: Callable[..., None]
) -> None:
    config = RunConfig(plane_zarr, tmp_path / "out.zarr", engine="analytic")
    stopped(config, Denoiser, "run")
    (tmp_path / "out.zarr" / "0" / "notes.txt").write_text("years of work")
    with Run(config) as run, pytest.raises(VolumeError, match=r"notes\.txt is not part of a Zarr store"):
        run.execute()
    (tmp_path / "out.zarr" / "0" / "notes.txt").rename(tmp_path / "notes.txt")
    with Run(config) as run:
        run.execute()
    assert complete(tmp_path / "out.zarr")
