"""Files that may not be read: one message each, whatever the format."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tifffile
import zarr

from tests.unit.volumes.test_tiff import counts
from tests.unit.volumes.test_vendors import write_czi, write_ndtiff

SCRIPT = """
import os, sys
from pathlib import Path
import bioio_nd2, ndstorage, pylibCZIrw.czi
from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.tiff import reader
from baikal_deploy.volumes.vendors import czi, nd2, ndtiff
from baikal_deploy.volumes.zarr import reader
from baikal_deploy.volumes.open import open_input
if os.geteuid() == 0:
    os.seteuid(65534)
for path in sys.argv[1:]:
    try:
        open_input(Path(path)).read([0])
    except VolumeError as error:
        print(error)
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others may look into, which those of pytest are not."""
    path = Path(tempfile.mkdtemp(prefix="baikal-tests-"))
    path.chmod(0o755)
    yield path
    for found in path.rglob("*"):
        found.chmod(0o755)
    shutil.rmtree(path)


def errors_of(*paths: Path) -> list[str]:
    """What opening and reading each says to somebody who is not root."""
    command = [sys.executable, "-c", SCRIPT, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_permission_denied(folder: Path) -> None:
    pixels = counts(2, 20, 30)
    tifffile.imwrite(folder / "a.tif", pixels)
    write_czi(folder / "a.czi")
    for name, locked in (("store.zarr", "zarr.json"), ("chunk.zarr", "c/0/0/0")):
        zarr.create_array(folder / name, data=pixels, chunks=(1, 20, 30))
        (folder / name / locked).chmod(0)
    ndtiff = write_ndtiff(folder / "ndtiff")
    (ndtiff / "data_NDTiffStack.tif").chmod(0)
    for name in ("a.tif", "a.czi"):
        (folder / name).chmod(0)
    paths = [*(folder / name for name in ("a.tif", "a.czi", "store.zarr", "chunk.zarr")), ndtiff]
    found = errors_of(*paths)
    assert len(found) == len(paths), found
    for path, message in zip(paths, found, strict=True):
        assert message.startswith(f"{path}: "), message
        assert "ermission" in message
    assert "plane 0 (z=0)" in found[3]
