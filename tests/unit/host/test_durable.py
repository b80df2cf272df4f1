"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from baikal_deploy.host.durable import write_file
from tests.full_disk import full_disk


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"before")
    with full_disk(1000), pytest.raises(OSError, match="too large"):
        write_file(tmp_path / "file", bytes(2000))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"before"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_share_that_syncs_no_folders_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Such shares are made up: a real one needs a server."""
    sync = os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    write_file(tmp_path / "file", b"data")
    assert (tmp_path / "file").read_bytes() == b"data"
