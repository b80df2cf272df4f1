"""Runs whose files another program holds for a moment, as virus scanners and viewers do on Windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baikal_deploy.host import moves
from baikal_deploy.volumes import replacing
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.killed import digest
from tests.e2e.test_collection import make_plate
from tests.held import held_once, refusal


@pytest.fixture
def small_zarr(tmp_path: Path, counts: np.ndarray) -> Path:
    """One plane of (32, 32)."""
    return write_zarr(tmp_path / "small.zarr", counts[:1, :32, :32])


@pytest.mark.parametrize(("suffix", "code"), [(".zarr", 5), (".tif", 32)])
def test_every_file_is_held_once(
    tmp_path: Path, baikal_run: BaikalRun, small_zarr: Path, suffix: str, code: int
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    looks = ["--preview", out / "look.png", "--report", out / "look.html"]
    words = [small_zarr, out / f"out{suffix}", "--mask", out / f"mask{suffix}", *looks]
    found = []
    for more in ([], ["--overwrite"]):  # the second time all is replaced
        with held_once(out, code) as refused:
            result = baikal_run(*words, *more)
        assert result.exit_code == 0, result.output
        assert len(refused) > 5
        found.append(digest(out))
    names = {path.name for path in out.iterdir() if not path.name.endswith(".lock")}
    assert names == {f"out{suffix}", f"mask{suffix}", "look.png", "look.html"}
    assert not list(out.rglob("*.partial"))
    first, second = (
        {name: one for name, one in each.items() if not name.endswith((".lock", ".html"))} for each in found
    )
    assert suffix == ".tif" or first == second  # a TIFF has an id of its own


def test_a_plate_whose_files_are_held_once(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    plate = make_plate(tmp_path / "plate.zarr", counts[:1, :32, :32])
    out = tmp_path / "out"
    out.mkdir()
    with held_once(out) as refused:
        result = baikal_run(plate, out / "plate.zarr")
    assert result.exit_code == 0, result.output
    assert any("zarr.json" in path for path in refused)


def test_what_a_viewer_held_is_swept_when_it_is_closed(
    tmp_path: Path, baikal_run: BaikalRun, small_zarr: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "results" / "out.zarr"
    out.parent.mkdir()
    assert baikal_run(small_zarr, out).exit_code == 0
    wanted = digest(out)
    with (
        monkeypatch.context() as patch
    ):  # its old pixels are on show somewhere, for longer than anybody waits
        patch.setattr(moves, "PATIENCE", 0.01)
        patch.setattr(replacing, "remove_folder", lambda path: moves.patiently(lambda: _open(path)))
        refused = baikal_run(small_zarr, out, "--overwrite")
    assert refused.exit_code == 2
    assert "(the new output is in place)" in refused.stderr
    assert "close that and repeat the command" in refused.stderr
    assert [path.name for path in out.parent.iterdir() if ".replaced-" in path.name]
    again = baikal_run(small_zarr, out, "--overwrite")
    assert again.exit_code == 0, again.output
    assert [path.name for path in out.parent.iterdir()] == ["out.zarr"]
    assert digest(out) == wanted


def _open(path: Path) -> None:
    raise refusal(32, str(path))
