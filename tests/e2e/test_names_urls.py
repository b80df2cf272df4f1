"""As test_names.py, on an S3 server: no name leads to another store of the bucket."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.urls import Url
from baikal_deploy.volumes.zarr.labels import copy_labels
from tests.e2e.conftest import BaikalRun
from tests.e2e.test_labels import labelled
from tests.e2e.test_names import LEFT_OUT, REFUSED, check_one_copied, refused
from tests.e2e.test_urls import Server, s3, server, upload
from tests.unit.volumes.test_collections import group
from tests.unit.volumes.test_names import BAD, BAD_REMOTE

__all__ = ["s3", "server"]
NAMES = {**BAD, **BAD_REMOTE, "a neighbour": "../../x", "a neighbour, encoded": "%2e%2e/%2e%2e/x"}
FIRST = ("a neighbour", "a neighbour, encoded", "absolute", "number")
"""One of each sort; the others are slow, as each makes requests by the dozen."""
all_names = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, id=kind, marks=[] if kind in FIRST else pytest.mark.slow)
        for kind, name in NAMES.items()
    ],
)


def without_pixels(store: Path) -> Path:
    for chunks in list(store.rglob("c")):
        shutil.rmtree(chunks)
    return store


@pytest.fixture
def neighbour(s3: Server, tmp_path: Path, counts: np.ndarray) -> None:
    upload(without_pixels(labelled(tmp_path / "local" / "x", counts, 3)), "x")


@all_names
@pytest.mark.parametrize("kind", REFUSED)
def test_no_name_leads_out_of_a_store(
    neighbour: None, tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray, kind: str, name: Any
) -> None:
    make, change = REFUSED[kind]
    store = make(tmp_path / "local" / "a.zarr", counts, 3)
    change(store, name)
    refused(baikal_run(upload(without_pixels(store), "in/a.zarr"), tmp_path / "out.zarr"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["local"]


@all_names
@pytest.mark.parametrize("kind", LEFT_OUT)
def test_a_label_image_of_a_bad_name_is_left_out(
    neighbour: None, tmp_path: Path, counts: np.ndarray, kind: str, name: Any
) -> None:
    store, output = labelled(tmp_path / "local" / "a.zarr", counts, 3), group(tmp_path / "out.zarr", 3)
    LEFT_OUT[kind](store, name)
    check_one_copied(
        copy_labels(Url(upload(without_pixels(store), "in/a.zarr")) / "labels", output, "0.5"), output
    )


@pytest.mark.parametrize("whose", ["local", "out.zarr"])
def test_no_folder_here_is_removed(
    neighbour: None, tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray, whose: str
) -> None:
    """By the absolute name of one, or from the output's labels upwards."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    store = labelled(tmp_path / "local" / "a.zarr", counts, 3)
    LEFT_OUT["label"](store, str(precious) if whose == "local" else "../../precious")
    result = baikal_run(upload(store, "in/a.zarr"), tmp_path / "out.zarr")
    assert result.exit_code == 0, result.output
    assert (precious / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["0/c/0/0/0", "0/zarr.json"])
def test_nothing_too_large_is_fetched(s3: Server, tmp_path: Path, counts: np.ndarray, name: str) -> None:
    (tmp_path / "local").mkdir()
    store = labelled(tmp_path / "local" / "a.zarr", counts, 3)
    (store / name).parent.mkdir(parents=True, exist_ok=True)
    with (store / name).open("ab") as file:
        file.write(bytes(66 * 2**20))
    url = upload(store, "a.zarr")
    with pytest.raises(VolumeError, match="larger than anything of its kind"):
        open_input(Url(url)).read([0])
