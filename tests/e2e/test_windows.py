"""Plates, series and folders by paths that are spelled as on Windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baikal_deploy import Images, RunConfig
from baikal_deploy.volumes import names
from baikal_deploy.volumes.zarr.reader import open_volume
from tests.e2e.conftest import write_zarr
from tests.e2e.test_collection import FIELDS, image, make_plate
from tests.unit.volumes.test_collections import group
from tests.valid import assert_valid
from tests.windows_paths import WindowsLike, needs_posix_pathlib


@pytest.fixture
def plane(counts: np.ndarray) -> np.ndarray:
    """One small plane."""
    return counts[:1, :32, :32]


def denoise(source: Path, target: Path, where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where.mkdir()
    monkeypatch.chdir(where)
    monkeypatch.setattr(names, "WINDOWS", True)
    summary = Images(RunConfig(WindowsLike(source), WindowsLike(target), engine="analytic")).execute()
    assert not summary.failed
    assert not list(where.iterdir())  # where a path that is taken for a name would end


@needs_posix_pathlib
def test_a_plate(tmp_path: Path, plane: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    plate, out = make_plate(tmp_path / "plate.zarr", plane), tmp_path / "out" / "plate.zarr"
    out.parent.mkdir()
    before = sorted(plate.rglob("*"))
    denoise(plate, out, tmp_path / "here", monkeypatch)
    assert_valid(out)
    for number, field in enumerate(FIELDS):
        assert_valid(out / field)
        assert open_volume(out / field).info.name == f"field {field}"
        assert (
            abs(int(open_volume(out / field).read(range(1)).mean()) - int(plane.mean()) - 100 * number) < 30
        )
    assert sorted(plate.rglob("*")) == before
    assert [path.name for path in out.parent.iterdir()] == ["plate.zarr"]


@needs_posix_pathlib
def test_series(tmp_path: Path, plane: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    store, out = tmp_path / "series.zarr", tmp_path / "out.zarr"
    group(store, 3, {"bioformats2raw.layout": 3})
    group(store / "OME", 3, {"series": ["0", "deep/1"]})
    for name in ("0", "deep/1"):
        image(store / name, plane, 3, name)
    denoise(store, out, tmp_path / "here", monkeypatch)
    assert {open_volume(out / name).info.name for name in ("0", "deep/1")} == {"0", "deep/1"}


@needs_posix_pathlib
def test_a_folder(tmp_path: Path, plane: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.zarr", "b.zarr"):
        write_zarr(tmp_path / "in" / name, plane)
    (tmp_path / "in" / "._a.zarr").write_bytes(b"of macOS")
    denoise(tmp_path / "in", tmp_path / "out", tmp_path / "here", monkeypatch)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a_denoised.ome.zarr", "b_denoised.ome.zarr",
    ]  # fmt: skip
