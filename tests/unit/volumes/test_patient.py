"""A store whose files are held for a moment, key by key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.core.buffer import default_buffer_prototype

from baikal_deploy.host import moves
from baikal_deploy.volumes.zarr.guarded import GuardedFolder, open_guarded
from baikal_deploy.volumes.zarr.patient import PatientFolder
from tests.held import held_once

DATA = default_buffer_prototype().buffer.from_bytes(b"data")


def test_every_way_of_writing_is_patient(tmp_path: Path) -> None:
    store = PatientFolder(tmp_path / "a.zarr")

    async def write() -> None:
        await store.set("zarr.json", DATA)
        await store.set("zarr.json", DATA)
        await store.set_if_not_exists("zarr.json", DATA)
        await store.set_if_not_exists("0/c/0", DATA)
        await store.set("0/c/1", DATA)
        await store.delete("0/c/1")
        await store.delete("0/c/2")  # never there
        await store.delete_dir("1")

    with held_once(tmp_path) as refused:
        store.set_sync("1/c/0", DATA)
        store.set_sync("b", DATA)
        store.delete_sync("b")
        asyncio.run(write())
    files = sorted(
        path.relative_to(store.root).as_posix() for path in store.root.rglob("*") if path.is_file()
    )
    assert files == ["0/c/0", "zarr.json"]
    assert len(refused) >= 6


def test_what_is_held_for_good_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PatientFolder(tmp_path / "a.zarr")
    store.set_sync("c", DATA)
    monkeypatch.setattr(moves, "PATIENCE", 0.0)
    with held_once(tmp_path), pytest.raises(PermissionError, match="another program may hold it"):
        store.set_sync("c", DATA.from_bytes(b"new"))
    assert (store.root / "c").read_bytes() == b"data"


def test_a_folder_in_the_place_of_a_chunk_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to open it as if access were denied."""

    def denied(*args: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=np.ones((2, 2), "u2"), chunks=(1, 2))
    (path / "c" / "0" / "0").unlink()
    (path / "c" / "0" / "0").mkdir()
    store = GuardedFolder(path)
    monkeypatch.setattr("zarr.storage._local._get", denied)
    assert store.get_sync("c/0/0") is None
    monkeypatch.undo()
    found: Any = open_guarded(path)
    assert found[...].tolist() == [[0, 0], [1, 1]]
