"""What a look at a store of acquire-zarr sees at moments that are made by hand, so that none is missed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.growing.base import Seen
from baikal_deploy.volumes.growing.look import look
from tests.e2e import growing

KINDS = ["acquire", "acquire-flat", "acquire-ngff", "acquire-keyed"]
NOTHING = Seen(None)
STEPS, SPAN = 14, 4
"""Steps of the store, and of a shard."""


@pytest.fixture(scope="module", params=KINDS)
def closed(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    path = tmp_path_factory.mktemp("closed") / "in.zarr"
    subprocess.run([sys.executable, growing.__file__, request.param, path, str(STEPS), "0"], check=True)
    return path


@pytest.fixture
def store(closed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(closed, tmp_path / "in.zarr"))


def array(store: Path) -> Path:
    return store / "0" if (store / "0" / "zarr.json").exists() else store


def shards(store: Path, row: int) -> list[Path]:
    """Files of the same steps."""
    return sorted(file for file in (array(store) / "c" / str(row)).rglob("*") if file.is_file())


def see(store: Path, before: Seen = NOTHING) -> Seen:
    """A look; what it counts is what was written."""
    seen = look(store, None, before, False)
    if seen.volume is not None:
        info = seen.volume.info
        written = growing.steps(info.shape[0])[:, : info.shape[1] if len(info.shape) == 4 else 1]
        np.testing.assert_array_equal(
            seen.volume.read(range(info.num_planes)), written.reshape(-1, *growing.PLANE)
        )
    return seen


def count(seen: Seen) -> int:
    return 0 if seen.volume is None else seen.volume.info.shape[0]


def tells_its_end(store: Path) -> bool:
    """A group without metadata may be one whose metadata is still to come."""
    return array(store) == store or "ome" in (store / "zarr.json").read_text()


def set_length(store: Path, steps: int) -> None:
    file = array(store) / "zarr.json"
    metadata = json.loads(file.read_text())
    metadata["shape"][0] = steps
    file.write_text(json.dumps(metadata, indent=4, sort_keys=True))


def test_a_closed_store_has_ended(store: Path) -> None:
    seen = see(store)
    assert (count(seen), seen.rest) == (STEPS, False)
    assert seen.ended == tells_its_end(store)


def shorten(by: int) -> Callable[[Path], Any]:
    return lambda file: file.write_bytes(file.read_bytes()[:-by])


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


HARMS: dict[str, Callable[[Path], Any]] = {
    "missing": Path.unlink,
    "no byte": lambda file: file.write_bytes(b""),
    "one byte short": shorten(1),
    "half an index": shorten(40),
    "half": halve,
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("number", [0, -1])
def test_more_steps_in_the_shape_than_are_there(store: Path, harm: str, number: int) -> None:
    """The metadata came first: each file of a row that is not whole holds the row back, until it is."""
    file = shards(store, 2)[number]
    whole = file.read_bytes()
    HARMS[harm](file)
    seen = see(store)
    assert (count(seen), seen.ended, seen.rest) == (2 * SPAN, False, True)
    file.write_bytes(whole)
    later = see(store, seen)
    assert (count(later), later.ended) == (STEPS, tells_its_end(store))
    assert later.stamp != seen.stamp


def test_fewer_steps_in_the_shape_than_are_there(store: Path) -> None:
    """The shards came first."""
    set_length(store, 2 * SPAN)
    seen = see(store)
    assert (count(seen), seen.ended, seen.rest) == (2 * SPAN, False, True)


def test_a_shard_that_holds_fewer_steps_than_the_shape(store: Path) -> None:
    set_length(store, STEPS + 2)
    assert count(see(store)) == STEPS // SPAN * SPAN


@pytest.mark.parametrize("size", [0, 1, 200])
def test_metadata_that_is_half_written(store: Path, size: int) -> None:
    file = array(store) / "zarr.json"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(VolumeError):
        see(store)
