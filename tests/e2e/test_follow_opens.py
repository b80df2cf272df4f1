"""A follower opens metadata only when it has changed, and closes it: Windows replaces no open file."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy.volumes.growing.base import Seen
from baikal_deploy.volumes.growing.look import look
from baikal_deploy.volumes.growing.zarr import FILES
from tests.e2e import growing
from tests.e2e.following import write_steps
from tests.e2e.test_collection import image


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files of metadata that were opened, one after the other."""
    found: list[str] = []
    usual = io.open

    def counting(file: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(file, int) and Path(file).name in (*FILES, "NDTiff.index"):
            found.append(os.fspath(file))
        return usual(file, *args, **kwargs)

    monkeypatch.setattr(io, "open", counting)
    return found


@pytest.mark.parametrize("kind", ["array", "image"])
def test_metadata_is_opened_when_it_has_changed(tmp_path: Path, opened: list[str], kind: str) -> None:
    store, final = tmp_path / "in.zarr", False
    if kind == "array":
        array = write_steps(store, 3)
    else:
        image(store, growing.steps(3)[:, 0], 3, "image")
        array = store / "0"
        small = zarr.create_array(array, data=growing.steps(3)[:, 0], chunks=(1, 64, 48), overwrite=True)
        assert small.shape[0] == 3
    seen = look(store, None, look(store, None, Seen(None), final), final)
    opened.clear()
    for _ in range(3):
        seen = look(store, None, seen, final)
    assert (opened, seen.steps) == ([], 3)
    if os.path.isdir("/proc/self/fd"):
        held = [os.readlink(f"/proc/self/fd/{number}") for number in _descriptors()]
        assert not [path for path in held if path.startswith(str(store))]
    whole = zarr.open_array(array, mode="r+")
    whole.append(np.ascontiguousarray(whole[:1]))
    opened.clear()
    seen = look(store, None, seen, final)
    assert seen.steps == 4
    assert opened
    opened.clear()
    seen = look(store, None, seen, final)
    assert (opened, seen.steps) == ([], 4)
    look(store, None, seen, True)  # in the end all is read once more
    assert opened


def _descriptors() -> list[str]:
    return [number for number in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{number}")]
