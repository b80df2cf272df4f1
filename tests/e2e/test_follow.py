"""Denoising a store while another process writes it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import ShardingCodec

from baikal_deploy import RunConfig
from baikal_deploy.denoiser import Denoiser
from baikal_deploy.errors import BaikalError, ConfigError, VolumeError
from baikal_deploy.follow import Follow
from baikal_deploy.measurement import Measurement
from baikal_deploy.samplers import make_sampler
from baikal_deploy.volumes.growing import look
from baikal_deploy.workers import ThisProcess
from tests.e2e import growing
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.killed import digest

KINDS = ["acquire", "acquire-flat", "acquire-ngff", "acquire-keyed", "append", "preallocated", "ndtiff"]
CLOSES = ("acquire", "acquire-flat", "acquire-ngff", "ndtiff")
"""Whose store tells that it is closed."""


class Processes:
    """Writers and followers; what is left of them at the end of a test is killed."""

    def __init__(self) -> None:
        self._all: list[subprocess.Popen[str]] = []

    def start(self, *words: Any) -> subprocess.Popen[str]:
        started = subprocess.Popen(
            [str(word) for word in words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._all.append(started)
        return started

    def write(self, kind: str, path: Path, steps: int, seconds: float, last: Any = "") -> Any:
        return self.start(sys.executable, growing.__file__, kind, path, steps, seconds, last)

    def follow(self, path: Path, *words: Any, timeout: float = 3) -> subprocess.Popen[str]:
        code = "from baikal_deploy.cli.run import main; main()"
        options = ["--follow", "--follow-timeout", timeout, "--engine", "analytic"]
        return self.start(sys.executable, "-c", code, path, *options, *words)

    def end(self) -> None:
        for process in self._all:
            process.kill()
            process.communicate()


@pytest.fixture
def processes() -> Iterator[Processes]:
    found = Processes()
    yield found
    found.end()


def store(tmp_path: Path, kind: str) -> Path:
    """Where the writer's store will be."""
    if kind != "ndtiff":
        return tmp_path / "in.zarr"
    pytest.importorskip("ndstorage")
    return tmp_path / "in"


def image(path: Path) -> Path:
    return path / "run_1" if path.name == "in" else path


def result(path: Path) -> Path:
    name = "run_1" if path.name == "in" else "in"
    return image(path).with_name(f"{name}_denoised.ome.zarr")


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return out + err


def denoised(path: Path, kind: str, count: int) -> np.ndarray:
    """What the output must be: whole steps, denoised with what was measured at their beginning."""
    group = zarr.open_group(path, mode="r")
    record: Any = group.attrs["baikal"]
    pixels = growing.steps(count)
    if kind == "acquire-flat":
        pixels = pixels[:, :1]
    planes = pixels.reshape(-1, *growing.PLANE)
    with Denoiser.load(engine="analytic") as denoiser:
        sampler = make_sampler("auto", {}, denoiser.recommended("auto"))
        measured = Measurement.from_record(record["channels"][0]["measurement"])
        assert denoiser.measure(list(planes[:8]), sampler) == measured
        recipe = denoiser.recipe(sampler, measured, 0)
        found, _ = denoiser.run(recipe, planes, range(len(planes)))
    assert record["complete"] is True
    return found.reshape(pixels.shape) if kind != "acquire-flat" else found


def check(path: Path, kind: str, count: int) -> None:
    written: Any = zarr.open_group(path, mode="r")["0"]
    expected = denoised(path, kind, count)
    assert written.shape == expected.shape
    np.testing.assert_array_equal(written[...], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_a_store_is_denoised_as_it_grows(tmp_path: Path, kind: str, processes: Processes) -> None:
    """The follower is there first, and the writer slower than it."""
    path = store(tmp_path, kind)
    follower = processes.follow(image(path), timeout=1000 if kind in CLOSES else 4)
    finish(processes.write(kind, path, 13, 0.2))
    said = finish(follower)
    check(result(path), kind, 13)
    assert f"following {image(path)}" in said
    assert ("not whole" in said) == (kind == "preallocated")
    assert ("has no OME metadata" in said) == (kind not in ("acquire-ngff", "ndtiff"))


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_killed_writer_what_is_whole_is_denoised(
    tmp_path: Path, kind: str, processes: Processes
) -> None:
    path = store(tmp_path, kind)
    writer = processes.write(kind, path, 20, 0.05, 15)
    follower = processes.follow(image(path))
    assert writer.stdout.readline() == "ready\n"
    time.sleep(0.5)
    writer.kill()
    said = finish(follower)
    assert ("has no OME metadata" in said) == (kind != "ndtiff")
    # acquire-zarr shows whole shards of 4 steps; of the NDTiff index, a piece of the last entries is missing.
    count = {"append": 15, "preallocated": 15, "ndtiff": 14}.get(kind, 12)
    check(result(path), kind, count)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_half_written_is_read(tmp_path: Path, kind: str, processes: Processes) -> None:
    """A writer as fast as can be, killed at some moment, and a reader that looks as often as can be."""
    path = store(tmp_path, kind)
    writer = processes.write(kind, path, 100 if kind == "preallocated" else 5000, 0)
    known, looks, ends = 0, 0, None
    while ends is None or time.monotonic() < ends:
        try:
            volume = look(image(path), None, known, False).volume
        except VolumeError:  # metadata that is half written
            continue
        if volume is not None and volume.info.shape[0] > known:
            looks += 1
            per_step = volume.info.num_planes // volume.info.shape[0]
            for number in range(known, min(volume.info.shape[0], known + 20)):
                planes = volume.read(range(number * per_step, (number + 1) * per_step))
                np.testing.assert_array_equal(planes, growing.step(number)[:per_step])
                known = number + 1
        if ends is None and (known > 90 or writer.poll() is not None):
            writer.kill()
            ends = time.monotonic() + 0.3
    assert known > 50
    assert looks > 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["acquire", "ndtiff"])
def test_a_killed_follower_goes_on(tmp_path: Path, kind: str, processes: Processes) -> None:
    path = store(tmp_path, kind)
    writer = processes.write(kind, path, 60, 0.3)
    journal = result(path).with_name(f"{result(path).name}.journal")
    done = 0
    for _ in range(3):
        follower = processes.follow(image(path), timeout=60)
        before = done
        while done == before:
            assert follower.poll() is None, follower.communicate()
            time.sleep(0.05)
            done = journal.read_text().count('"item"') if journal.exists() else 0
        follower.kill()
        follower.wait()
    finish(writer)
    finish(processes.follow(image(path)))
    check(result(path), kind, 60)
    result(path).rename(tmp_path / "pieces.zarr")
    finish(processes.follow(image(path)))
    assert digest(result(path)) == digest(tmp_path / "pieces.zarr")


def test_ctrl_c_finishes_what_is_there(tmp_path: Path, processes: Processes) -> None:
    path = tmp_path / "in.zarr"
    write_steps(path, 10)
    follower = processes.follow(path, timeout=1000)
    while not result(path).exists():
        time.sleep(0.1)
    time.sleep(1)
    follower.send_signal(signal.SIGINT)
    assert "interrupted: finishing what is there" in finish(follower)
    check(result(path), "append", 10)


def write_steps(path: Path, count: int) -> Path:
    names = ["t", "z", "y", "x"]
    return write_zarr(path, growing.steps(count), chunks=(1, 1, *growing.PLANE), dimension_names=names)


def follow(path: Path, timeout: float = 0.2, **options: Any) -> Follow:
    return Follow(RunConfig(path, engine="analytic", **options), timeout)


def then(run: Follow, action: Callable[[], Any]) -> Callable[[int, int], None]:
    """As progress of a run: does something when the output is begun, and nothing comes later."""
    actions = iter([action])

    def progress(done: int, total: int) -> None:
        for act in actions:
            act()
            run.input.timeout = 0.2

    return progress


def test_a_store_that_is_whole(tmp_path: Path, baikal_run: BaikalRun) -> None:
    path = write_steps(tmp_path / "in.zarr", 6)
    done = baikal_run(path, "--follow", "--follow-timeout", 0.2, "--preview", tmp_path / "look.png")
    assert done.exit_code == 0, done.stderr
    check(result(path), "append", 6)
    assert (tmp_path / "look.png").exists()
    record: Any = zarr.open_group(result(path), mode="r").attrs["baikal"]
    assert record["followed"] == {"axis": "t", "measured on the first": 4}
    assert baikal_run(path, "--follow").exit_code == 2  # the output is there


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


def test_a_settled_end_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the last shard is begun, what comes later is left out, and it is said."""
    path = write_steps(tmp_path / "in.zarr", 6)
    monkeypatch.setattr("baikal_deploy.session.Session.finish", stop)
    with follow(path) as run, pytest.raises(RuntimeError):
        run.execute()
    monkeypatch.undo()
    zarr.open_array(path).append(growing.steps(9)[6:])
    with follow(path) as run:
        report = run.execute()
    check(result(path), "append", 6)
    assert any("after t=5" in note for note in report.notes)


def stop(*arguments: Any) -> None:
    raise RuntimeError


def test_another_store_under_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_steps(tmp_path / "in.zarr", 6)
    monkeypatch.setattr("baikal_deploy.session.Session.finish", stop)
    with follow(path) as run, pytest.raises(RuntimeError):
        run.execute()
    monkeypatch.undo()
    array = zarr.open_array(path)
    array[0] = np.asarray(array[0]) + 1
    with pytest.raises(VolumeError, match="first planes"):
        follow(path)


def test_nothing_comes(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="nothing that could be denoised was written"):
        follow(tmp_path / "in.zarr")
    (tmp_path / "in.zarr").mkdir()
    with pytest.raises(VolumeError, match="nothing that could be denoised"):
        follow(tmp_path / "in.zarr")
    (tmp_path / "in.zarr" / "zarr.json").write_text('{"shape": [')
    with pytest.raises(VolumeError, match="damaged, or half written"):
        follow(tmp_path / "in.zarr")
    assert [file.name for file in tmp_path.iterdir()] == ["in.zarr"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"shape": (4, 8, 8), "chunks": (2, 8, 8), "dimension_names": ["t", "y", "x"]},
            "files hold 2 steps",
        ),
        ({"shape": (4, 8, 8), "chunks": (1, 8, 8), "dimension_names": ["c", "y", "x"]}, "axes c, y, x"),
        ({"shape": (8, 8), "chunks": (1, 8)}, "axes y, x"),
        (
            {
                "shape": (4, 8, 8),
                "chunks": (1, 8, 8),
                "dimension_names": ["t", "y", "x"],
                "serializer": ShardingCodec(chunk_shape=(1, 4, 4), index_location="start"),
                "compressors": None,
            },
            "not at their end",
        ),
    ],
)
def test_what_cannot_be_followed(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    array = zarr.create_array(tmp_path / "in.zarr", dtype="u2", **options)
    array[...] = 1
    with pytest.raises(VolumeError, match=message):
        follow(tmp_path / "in.zarr")


def test_several_arrays(tmp_path: Path) -> None:
    """As acquire-zarr writes them, without metadata: nothing tells which one is meant."""
    for number in range(2):
        write_steps(tmp_path / "in.zarr" / str(number), 6)
    with pytest.raises(VolumeError, match=r"holds several arrays; give one of them, such as .*in.zarr/0"):
        follow(tmp_path / "in.zarr", timeout=1000)
    with follow(tmp_path / "in.zarr" / "1") as run:
        assert run.execute().output == tmp_path / "in_1_denoised.ome.zarr"


@pytest.mark.parametrize("change", [{"shape": (9, 2, 64, 50)}, {"dtype": "f4"}, {"shape": (5, 2, 64, 48)}])
def test_a_store_that_changes_otherwise(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write_steps(tmp_path / "in.zarr", 6)
    settings = {"shape": (9, 2, 64, 48), "dtype": "u2", "chunks": (1, 1, 64, 48)} | change
    with follow(path) as run:
        array = zarr.create_array(path, overwrite=True, dimension_names=["t", "z", "y", "x"], **settings)
        array[...] = 1
        with pytest.raises(VolumeError, match="only what grows along its first axis"):
            run.execute()
    assert not result(path).exists()


def test_a_store_that_is_removed(tmp_path: Path) -> None:
    """Its chunks would read as zeros."""
    path = write_steps(tmp_path / "in.zarr", 6)
    with follow(path, timeout=1000) as run, pytest.raises(VolumeError, match=r"c/\d/\d/0/0 is missing"):
        run.execute(then(run, lambda: shutil.rmtree(path)))
    assert not list(result(path).glob("0/c/5/*"))
    with pytest.raises(VolumeError, match="nothing that could be denoised"):
        follow(path)


def test_a_store_that_is_removed_while_it_is_waited_for(tmp_path: Path) -> None:
    path = write_steps(tmp_path / "in.zarr", 6)

    def remove(done: int, total: int) -> None:
        if done == total:
            shutil.rmtree(path)

    with follow(path, timeout=1000) as run, pytest.raises(VolumeError, match="6 steps were there"):
        run.execute(remove)


def test_a_store_that_is_written_anew(tmp_path: Path) -> None:
    """Of the same form, so that its metadata tells nothing."""
    path = write_steps(tmp_path / "in.zarr", 6)

    def write_anew() -> None:
        array = zarr.open_array(path)
        array[...] = np.asarray(array[...]) + 1

    with follow(path, timeout=1000) as run, pytest.raises(VolumeError, match="was written anew"):
        run.execute(then(run, write_anew))
    record: Any = zarr.open_group(result(path), mode="r").attrs["baikal"]
    assert record["complete"] is False


def test_metadata_that_is_damaged_at_the_end(tmp_path: Path) -> None:
    """As by a writer that was killed while it wrote them: what was there before is kept, and it is said."""
    path = write_steps(tmp_path / "in.zarr", 6)
    with follow(path, timeout=1000) as run:
        report = run.execute(then(run, lambda: (path / "zarr.json").write_text("{")))
    check(result(path), "append", 6)
    assert any("could not be looked at when it ended" in note for note in report.notes)


def test_another_end_that_was_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a run which is dropped does not count."""
    path = write_steps(tmp_path / "in.zarr", 6)
    monkeypatch.setattr("baikal_deploy.session.Session.finish", stop)
    with follow(path) as run, pytest.raises(RuntimeError):
        run.execute()
    monkeypatch.undo()
    zarr.open_array(path).append(growing.steps(9)[6:])
    with pytest.raises(VolumeError, match="seed 0 is now 1"):
        follow(path, seed=1)
    with follow(path, seed=1, overwrite=True) as run:
        run.execute()
    check(result(path), "append", 9)


def test_a_store_that_is_shorter_than_its_settled_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_steps(tmp_path / "in.zarr", 6)
    monkeypatch.setattr("baikal_deploy.session.Session.finish", stop)
    with follow(path) as run, pytest.raises(RuntimeError):
        run.execute()
    monkeypatch.undo()
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


def test_what_is_wrong_is_said_before_waiting(tmp_path: Path) -> None:
    path = tmp_path / "in.zarr"
    for options, message in (
        ({"output": tmp_path / "none" / "out.zarr"}, "its folder does not exist"),
        ({"model": "none"}, "model 'none'"),
        ({"sampler": "matched", "options": {"evaluations": "x"}}, "evaluations"),
    ):
        with pytest.raises(BaikalError, match=message):
            follow(path, timeout=1000, **options)
    write_steps(result(path), 1)
    with pytest.raises(VolumeError, match="exists already"):
        follow(path, timeout=1000)


def test_the_output_of_a_part_lies_beside_the_store(tmp_path: Path) -> None:
    """Also as long as the store has no metadata of its own, as while acquire-zarr writes it."""
    (tmp_path / "in.zarr").mkdir()
    path = write_steps(tmp_path / "in.zarr" / "0", 6)

    with follow(path, timeout=1000) as run:
        report = run.execute(then(run, lambda: zarr.create_group(tmp_path / "in.zarr")))
    assert report.output == tmp_path / "in_0_denoised.ome.zarr"
    check(report.output, "append", 6)


def test_workers_are_refused(tmp_path: Path) -> None:
    with follow(write_steps(tmp_path / "in.zarr", 6)) as run, pytest.raises(ConfigError, match="one process"):
        run.execute(workers=ThisProcess())


def test_options_that_are_not_for_it(tmp_path: Path, baikal_run: BaikalRun) -> None:
    path = write_steps(tmp_path / "in.zarr", 6)
    for words, message in {
        ("--dask", "local:2"): "--dask local:2: is not for --follow",
        ("--draws", "2"): "--draws 2: is not for --follow",
        ("--t", "0:3"): "--t: is the axis along which the input grows",
        ("--guide", str(path)): "--guide: cannot be followed",
        ("--follow-timeout", "0"): "--follow-timeout 0: must be more than 0",
        (str(tmp_path / "out.tif"),): "a TIFF cannot grow",
    }.items():
        done = baikal_run(path, *words, "--follow")
        assert (done.exit_code, message in done.stderr) == (2, True), done.stderr
    done = baikal_run(path, "--follow-timeout", "5")
    assert (done.exit_code, "--follow-timeout 5: is for --follow" in done.stderr) == (2, True), done.stderr
    (tmp_path / "in.tif").write_bytes(b"II")
    done = baikal_run(tmp_path / "in.tif", "--follow")
    assert "files cannot be followed while they are written" in done.stderr
    done = baikal_run("s3://bucket/in.zarr", "--follow", tmp_path / "out.zarr")
    assert "only local stores can be followed" in done.stderr
