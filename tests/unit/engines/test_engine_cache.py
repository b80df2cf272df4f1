"""The cache of engine files: built once, and never loaded unless it is what was built."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from baikal_deploy.engines import _kept_files as files
from baikal_deploy.engines._tensorrt.cache import find_or_build, remove
from baikal_deploy.engines._tensorrt.profile import Profile
from baikal_deploy.errors import EngineError
from tests.engine_keys import KEY, OTHERS

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no owners and modes like these")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAIKAL_CACHE", str(tmp_path / "cache"))
    return files.engine_folder()


class Builder:
    """Gives other contents each time it is called."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> bytes:
        self.count += 1
        return b"engine %d" % self.count * 1000


@pytest.fixture
def build() -> Builder:
    return Builder()


def line(caplog: pytest.LogCaptureFixture) -> str:
    """The one line that was logged."""
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "\n" not in record.getMessage()
    return record.getMessage()


def test_the_second_call_does_not_build(build: Builder, caplog: pytest.LogCaptureFixture) -> None:
    first, second = find_or_build(KEY, build), find_or_build(KEY, build)
    assert (first.built, second.built, build.count) == (True, False, 1)
    assert first.data == second.data == first.path.read_bytes() == b"engine 1" * 1000
    assert first.path == second.path
    assert first.key == second.key == KEY
    assert not caplog.records


def test_each_key_has_its_own_file(build: Builder) -> None:
    for name, value in OTHERS.items():
        assert find_or_build(replace(KEY, **{name: value}), build, exact=True).built
    assert find_or_build(KEY, build, exact=True).built
    assert not find_or_build(KEY, build, exact=True).built


def test_the_sidecar_tells_what_the_file_is(build: Builder) -> None:
    path = find_or_build(KEY, build).path
    entry = json.loads(files.sidecar_path(path).read_text())
    assert entry["key"]["gpu"] == KEY.gpu
    assert entry["key"]["profile"] == "1x8x8,1x64x64,2x64x64"
    assert entry["size"] == 8000
    assert entry["software"].startswith("baikal-deploy ")
    assert entry["date"].startswith("20")


@pytest.mark.parametrize("model", "0123456789")  # each has its own order in the folder
def test_a_file_that_covers_more_is_found(
    model: str, build: Builder, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = replace(KEY, model=model)
    wide = [replace(wanted, profile=Profile((1, 8, 8), (1, 64, 64), (n, 512, 512))) for n in (5, 3, 8, 4)]
    for key in wide:
        find_or_build(key, build, exact=True)
    found = find_or_build(wanted, build)
    assert not found.built
    assert found.key == wide[1]
    assert found.data == b"engine 2" * 1000
    assert find_or_build(wanted, build, exact=True).built
    assert find_or_build(wanted, build).key == wanted
    assert not caplog.records


def test_a_damaged_file_that_covers_more_is_not_used(
    build: Builder, caplog: pytest.LogCaptureFixture
) -> None:
    wide = find_or_build(replace(KEY, profile=Profile((1, 8, 8), (1, 64, 64), (4, 64, 64))), build).path
    wide.write_bytes(b"other")
    assert find_or_build(KEY, build).data == b"engine 2" * 1000
    assert "it is deleted" in line(caplog)
    assert not wide.exists()


@pytest.mark.parametrize("name", ["version", "gpu", "compute_capabilities", "cuda", "system"])
def test_a_file_of_another_version_or_gpu_is_left_alone_and_spoken_of(
    name: str, build: Builder, caplog: pytest.LogCaptureFixture
) -> None:
    other = find_or_build(replace(KEY, **{name: OTHERS[name]}), build)
    found = find_or_build(KEY, build)
    assert found.built
    assert found.data != other.data
    assert other.path.exists()
    text = line(caplog)
    assert str(other.path) in text
    assert f"does not serve here: {name} " in text
    assert str(other.key.as_dict()[name]) in text
    assert str(KEY.as_dict()[name]) in text


# What is refused


Damage = Callable[[Path], object]


def edit(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change what the sidecar says."""

    def edited(path: Path) -> None:
        sidecar = files.sidecar_path(path)
        entry = json.loads(sidecar.read_text())
        change(entry)
        sidecar.write_text(json.dumps(entry))

    return edited


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4000] ^= 1
    path.write_bytes(data)


def put_another_in_its_place(path: Path) -> None:
    """A whole and valid pair, made for another GPU, under this one's name."""
    other = find_or_build(replace(KEY, gpu="NVIDIA RTX A5000"), lambda: b"foreign code")
    shutil.copy(other.path, path)
    shutil.copy(files.sidecar_path(other.path), files.sidecar_path(path))
    remove(other.path)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "truncated": (lambda path: os.truncate(path, 5000), "is not whole: 5000 bytes instead of 8000"),
    "empty": (lambda path: os.truncate(path, 0), "is not whole: 0 bytes"),
    "one bit": (flip_a_bit, "was changed after it had been written"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"x"), "is not whole: 8001 bytes"),
    "gone": (Path.unlink, "is gone, while its sidecar is still there"),
    "no sidecar": (lambda path: files.sidecar_path(path).unlink(), "has no sidecar"),
    "empty sidecar": (lambda path: files.sidecar_path(path).write_text(""), "has a damaged sidecar"),
    "binary sidecar": (
        lambda path: files.sidecar_path(path).write_bytes(b"\xff\x00"),
        "has a damaged sidecar",
    ),
    "list for a sidecar": (lambda path: files.sidecar_path(path).write_text("[1]"), "has a damaged sidecar"),
    "deep sidecar": (lambda path: files.sidecar_path(path).write_text("[" * 10**5), "has a damaged sidecar"),
    "no key": (edit(lambda entry: entry.pop("key")), "has a damaged sidecar"),
    "key of another kind": (edit(lambda entry: entry.update(key=7)), "has a damaged sidecar"),
    "no hash": (edit(lambda entry: entry.pop("sha256")), "has a damaged sidecar"),
    "other hash": (
        edit(lambda entry: entry.update(sha256="0" * 64)),
        "was changed after it had been written",
    ),
    "other size": (edit(lambda entry: entry.update(size=1)), "is not whole: 8000 bytes instead of 1"),
    "other version": (
        edit(lambda entry: entry["key"].update(version="10.16.1.11")),
        "is another one: version 10.16.1.11 instead of 11.4.0.106",
    ),
    "additional field": (edit(lambda entry: entry["key"].update(more=1)), "is another one: other fields"),
    "foreign": (put_another_in_its_place, "is another one: gpu NVIDIA RTX A5000 instead of NVIDIA RTX A4000"),
}
MODES: dict[str, tuple[Damage, str]] = {
    "group may write": (lambda path: path.chmod(0o660), "can be written by other users"),
    "all may write": (lambda path: path.chmod(0o602), "can be written by other users"),
    "all may write the sidecar": (
        lambda path: files.sidecar_path(path).chmod(0o666), "can be written by other users"
    ),
}  # fmt: skip


def check_it_is_built_again(build: Builder, damage: Damage, reason: str, caplog: Any) -> None:
    path = find_or_build(KEY, build).path
    damage(path)
    caplog.clear()
    again = find_or_build(KEY, build)
    assert again.built
    assert again.data == path.read_bytes() == b"engine 2" * 1000
    assert build.count == 2
    assert line(caplog).startswith(f"engine file {path} {reason}")
    assert "it is deleted and built again" in line(caplog)
    assert not find_or_build(KEY, build).built


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_not_as_it_was_written_is_built_again(name: str, build: Builder, caplog: Any) -> None:
    check_it_is_built_again(build, *DAMAGES[name], caplog)


@posix
@pytest.mark.parametrize("name", MODES)
def test_what_others_can_write_is_built_again(name: str, build: Builder, caplog: Any) -> None:
    check_it_is_built_again(build, *MODES[name], caplog)


@posix
@pytest.mark.parametrize("which", ["engine", "sidecar"])
def test_what_belongs_to_another_user_is_built_again(which: str, build: Builder, caplog: Any) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")

    def give_away(path: Path) -> None:
        os.chown(path if which == "engine" else files.sidecar_path(path), 65534, -1)

    check_it_is_built_again(build, give_away, "belongs to another user", caplog)


@posix
@pytest.mark.parametrize("mode", [0o770, 0o777, 0o702])
def test_a_folder_that_others_can_write_to_is_not_used(mode: int, folder: Path, build: Builder) -> None:
    path = find_or_build(KEY, build).path
    folder.chmod(mode)
    for key in (KEY, replace(KEY, gpu="another")):
        with pytest.raises(EngineError, match="can be written by other users") as caught:
            find_or_build(key, build)
        assert str(folder) in str(caught.value)
        assert "chmod go-w" in str(caught.value)
        assert "BAIKAL_CACHE" in str(caught.value)
    assert path.exists()
    assert build.count == 1


@posix
def test_a_folder_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch, build: Builder) -> None:
    find_or_build(KEY, build)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)  # only root could give the folder away
    with pytest.raises(EngineError, match="belongs to another user"):
        find_or_build(KEY, build)


@posix
def test_nobody_else_can_look_into_what_is_written(folder: Path, build: Builder) -> None:
    before = os.umask(0)
    try:
        path = find_or_build(KEY, build).path
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == files.sidecar_path(path).stat().st_mode & 0o777 == 0o600


def test_without_owners_only_contents_are_checked(
    monkeypatch: pytest.MonkeyPatch, folder: Path, build: Builder
) -> None:
    """As on Windows, which has no geteuid."""
    path = find_or_build(KEY, build).path
    folder.chmod(0o777)
    path.chmod(0o666)
    monkeypatch.delattr(os, "geteuid", raising=False)
    assert not find_or_build(KEY, build).built
    flip_a_bit(path)
    assert find_or_build(KEY, build).built


# Building


def test_removed_files_are_built_again(build: Builder, folder: Path) -> None:
    path = find_or_build(KEY, build).path
    remove(path)
    assert [one.name for one in folder.iterdir()] == ["lock"]
    remove(path)
    assert find_or_build(KEY, build).built


def test_a_failing_build_leaves_nothing_and_frees_the_lock(folder: Path, build: Builder) -> None:
    def fail() -> bytes:
        raise EngineError("no such luck")

    for _ in range(2):
        with pytest.raises(EngineError, match="no such luck"):
            find_or_build(KEY, fail)
    assert [one.name for one in folder.iterdir()] == ["lock"]
    assert find_or_build(KEY, build).built


def test_many_threads_build_once(build: Builder) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: find_or_build(KEY, build), range(16)))
    assert build.count == sum(one.built for one in found) == 1
    assert {one.data for one in found} == {b"engine 1" * 1000}


IN_A_PROCESS = """
import json, os, signal, sys, time
from pathlib import Path
from baikal_deploy.engines._tensorrt.cache import EngineKey, find_or_build

key, log, die_at = EngineKey.from_dict(json.loads(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
replace, calls = os.replace, []

def dying(source, target):
    calls.append(target)
    if len(calls) == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

def build():
    with log.open("a") as file:
        file.write("built\\n")
    time.sleep(0.5)
    return b"from a process" * 1000

os.replace = dying
print(find_or_build(key, build).built)
"""


def process(log: Path, die_at: int = 0) -> subprocess.Popen[str]:
    arguments = [json.dumps(KEY.as_dict()), str(log), str(die_at)]
    return subprocess.Popen(
        [sys.executable, "-c", IN_A_PROCESS, *arguments], stdout=subprocess.PIPE, text=True
    )


def test_two_processes_build_once(tmp_path: Path, build: Builder) -> None:
    log = tmp_path / "log"
    processes = [process(log) for _ in range(2)]
    outputs = [one.communicate(timeout=60)[0].strip() for one in processes]
    assert sorted(outputs) == ["False", "True"]
    assert log.read_text() == "built\n"
    assert find_or_build(KEY, build).data == b"from a process" * 1000


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
@pytest.mark.parametrize(("die_at", "left"), [(1, ["partial"]), (2, ["engine", "partial"])])
def test_what_a_killed_process_leaves_is_never_loaded(
    die_at: int, left: list[str], tmp_path: Path, folder: Path, build: Builder
) -> None:
    killed = process(tmp_path / "log", die_at)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    endings = sorted(one.name.rpartition(".")[2] for one in folder.iterdir() if one.name != "lock")
    assert endings == left
    (folder / "tensorrt-11.4.0.106-cu13.timing.abc.partial").touch()
    found = find_or_build(KEY, build)
    assert found.built
    assert found.data == b"engine 1" * 1000
    kept = [found.path.name, files.sidecar_path(found.path).name, "lock"]
    assert sorted(one.name for one in folder.iterdir()) == sorted(kept)
    assert not find_or_build(KEY, build).built


def test_waiting_too_long_is_an_error_that_says_for_what(
    monkeypatch: pytest.MonkeyPatch, folder: Path, build: Builder
) -> None:
    find_or_build(KEY, build)
    monkeypatch.setattr(files, "PATIENCE", 0.05)
    with FileLock(folder / "lock"):
        assert not find_or_build(KEY, build).built  # finding needs no lock
        with pytest.raises(EngineError, match=r"another process has kept the cache .* locked") as caught:
            find_or_build(replace(KEY, gpu="another"), build)
    assert str(folder) in str(caught.value)
    assert find_or_build(replace(KEY, gpu="another"), build).built


@pytest.mark.parametrize("in_the_way", ["cache", "cache/engines"])
def test_a_cache_that_cannot_be_a_folder_is_an_error(in_the_way: str, tmp_path: Path, build: Builder) -> None:
    file = tmp_path / in_the_way
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    with pytest.raises(EngineError, match=r"cannot be (written|read) \(.*set BAIKAL_CACHE") as caught:
        find_or_build(KEY, build)
    assert str(file) in str(caught.value)
    assert build.count == 0


def test_the_closest_of_several_others_is_spoken_of(build: Builder, caplog: pytest.LogCaptureFixture) -> None:
    far = replace(KEY, version="10.16.1.11", cuda=12, gpu="NVIDIA RTX A5000")
    for key in (
        far,
        replace(far, cuda=13),
        replace(KEY, gpu="NVIDIA RTX A5000"),
        replace(far, gpu="a third"),
    ):
        find_or_build(key, build)
    caplog.clear()
    find_or_build(KEY, build)
    assert "does not serve here: gpu NVIDIA RTX A5000 instead of NVIDIA RTX A4000; building" in line(caplog)


@pytest.mark.parametrize("name", ["model", "family", "precision", "profile"])
def test_a_file_of_something_else_is_not_spoken_of(
    name: str, build: Builder, caplog: pytest.LogCaptureFixture
) -> None:
    find_or_build(replace(KEY, **{name: OTHERS[name]}), build)
    find_or_build(KEY, build, exact=True)
    assert not caplog.records


@posix
def test_a_cache_that_may_only_be_read_is_read(folder: Path, build: Builder) -> None:
    find_or_build(KEY, build)
    folder.chmod(0o500)
    try:
        assert not find_or_build(KEY, build).built
        if os.geteuid():  # root may write all the same
            with pytest.raises(EngineError, match="cannot be written"):
                find_or_build(replace(KEY, gpu="another"), build)
    finally:
        folder.chmod(0o700)


def test_a_full_disk_leaves_nothing(monkeypatch: pytest.MonkeyPatch, folder: Path, build: Builder) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)  # a disk that is really full cannot be had here
        with pytest.raises(EngineError, match=r"cannot be written \(No space left on device\)"):
            find_or_build(KEY, build)
    assert [one.name for one in folder.iterdir()] == ["lock"]
    assert find_or_build(KEY, build).built
