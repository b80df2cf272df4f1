"""A follower in this process: where a store ends, and how it goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy.errors import VolumeError
from tests.e2e import growing
from tests.e2e.conftest import BaikalRun
from tests.e2e.following import check, follow, result, stop, then, write_steps


def test_a_store_that_is_whole(tmp_path: Path, baikal_run: BaikalRun) -> None:
    path = write_steps(tmp_path / "in.zarr", 6)
    done = baikal_run(path, "--follow", "--follow-timeout", 0.2, "--preview", tmp_path / "look.png")
    assert done.exit_code == 0, done.stderr
    check(result(path), "append", 6)
    assert (tmp_path / "look.png").exists()
    record: Any = zarr.open_group(result(path), mode="r").attrs["baikal"]
    assert record["followed"] == {"axis": "t", "measured on the first": 4}
    again = baikal_run(path, "--follow", "--follow-timeout", 0.2)
    assert again.exit_code == 0
    assert "complete already" in again.stderr
    zarr.open_array(path).append(growing.steps(9)[6:])
    again = baikal_run(path, "--follow", "--follow-timeout", 0.2)
    assert again.exit_code == 2  # it has grown since
    assert "exists already" in again.stderr


def test_fewer_steps_than_are_measured(tmp_path: Path) -> None:
    path = write_steps(tmp_path / "in.zarr", 2)
    with follow(path) as run:
        run.execute()
    check(result(path), "append", 2)


def test_maps_grow_too(tmp_path: Path) -> None:
    path = write_steps(tmp_path / "in.zarr", 6)
    with follow(path, timeout=1000, mask=tmp_path / "mask.zarr") as run:
        run.execute(then(run, lambda: zarr.open_array(path).append(growing.steps(9)[6:])))
    check(result(path), "append", 9)
    assert zarr.open_group(tmp_path / "mask.zarr", mode="r")["0"].shape == (9, 2, 64, 48)


def followed_to_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of 6 steps, and a run on it that stopped when nothing but its end was left to do."""
    path = write_steps(folder / "in.zarr", 6)
    with monkeypatch.context() as patch, follow(path) as run:
        patch.setattr("baikal_deploy.run.resume.session.Session.finish", stop)
        with pytest.raises(RuntimeError):
            run.execute()
    return path


def test_a_settled_end_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the last shard is begun, what comes later is left out, and it is said."""
    path = followed_to_the_end(tmp_path, monkeypatch)
    zarr.open_array(path).append(growing.steps(9)[6:])
    with follow(path) as run:
        report = run.execute()
    check(result(path), "append", 6)
    assert any("after t=5" in note for note in report.notes)


def test_another_store_under_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = followed_to_the_end(tmp_path, monkeypatch)
    array = zarr.open_array(path)
    array[0] = np.asarray(array[0]) + 1
    with pytest.raises(VolumeError, match="first planes"):
        follow(path)


def test_another_end_that_was_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a run which is dropped does not count."""
    path = followed_to_the_end(tmp_path, monkeypatch)
    zarr.open_array(path).append(growing.steps(9)[6:])
    with pytest.raises(VolumeError, match="seed 0 is now 1"):
        follow(path, seed=1)
    with follow(path, seed=1, overwrite=True) as run:
        run.execute()
    check(result(path), "append", 9)


def test_a_store_that_is_shorter_than_its_settled_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = followed_to_the_end(tmp_path, monkeypatch)
    zarr.open_array(path).resize((5, 2, *growing.PLANE))
    with pytest.raises(VolumeError, match=r"is shorter \(5 steps\).*remove the unfinished output"):
        follow(path)
    shutil.rmtree(result(path))
    with follow(path) as run:
        run.execute()
    check(result(path), "append", 5)


def test_what_is_interrupted_is_not_counted_twice(tmp_path: Path) -> None:
    path = write_steps(tmp_path / "in.zarr", 6)
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if len(seen) == 4:
            raise KeyboardInterrupt

    with follow(path, timeout=1000, options={"evaluations": 3}, sampler="matched") as run:
        run.execute(progress)
    assert all(done <= total for done, total in seen)
    assert seen[-1] == (36, 36)


def test_the_output_of_a_part_lies_beside_the_store(tmp_path: Path) -> None:
    """Also as long as the store has no metadata of its own, as while acquire-zarr writes it."""
    (tmp_path / "in.zarr").mkdir()
    path = write_steps(tmp_path / "in.zarr" / "0", 6)

    with follow(path, timeout=1000) as run:
        report = run.execute(then(run, lambda: zarr.create_group(tmp_path / "in.zarr")))
    assert report.output == tmp_path / "in_0_denoised.ome.zarr"
    check(report.output, "append", 6)
