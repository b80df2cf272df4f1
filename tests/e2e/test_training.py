"""Training as processes: killed, started in parallel, short of disk space."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from baikal_training.checkpoint import Checkpoint
from tests.capabilities import require
from tests.clean import write_clean

COMMAND = [sys.executable, "-c", "from baikal_training.cli import main; main()"]
OPTIONS = ["--batch", "4", "--crop", "32", "--no-bf16", "--report-every", "1", "--warm-up", "5"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clean images and the shape of a tiny network."""
    folder = tmp_path_factory.mktemp("data")
    write_clean(folder / "clean")
    (folder / "small.toml").write_text("channels = [8, 16]\nblocks = [1, 1]\n")
    return folder


def arguments(data: Path, output: Path, *options: str) -> list[str]:
    return [str(data / "clean"), "-o", str(output), "--unet", str(data / "small.toml"), *OPTIONS, *options]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def losses(output: Path) -> dict[int, float]:
    with (output.with_name(output.stem + "_run") / "log.csv").open() as file:
        rows = [(int(row["iteration"]), float(row["loss"])) for row in csv.DictReader(file)]
    assert [iteration for iteration, _ in rows] == list(range(1, len(rows) + 1))
    return dict(rows)


def kill_halfway(arguments: list[str], output: Path) -> None:
    """Start a training, and kill -9 it after 50 steps."""
    require("signals")
    log = output.with_name(output.stem + "_run") / "log.csv"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*COMMAND, *arguments], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (log.exists() and len(log.read_text().splitlines()) > 50):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_killed_training_resumes_bit_for_bit(data: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.pt", tmp_path / "killed.pt"
    options = ["--iterations", "200", "--save-every", "20"]
    assert run([*COMMAND, *arguments(data, whole, *options)]).returncode == 0
    kill_halfway(arguments(data, killed, *options), killed)
    assert 45 < max(losses(killed)) < 200
    resumed = run([*COMMAND, *arguments(data, killed, *options, "--resume")])
    assert resumed.returncode == 0, resumed.stderr
    assert losses(killed) == losses(whole)
    expected, found = Checkpoint.load(whole).ema, Checkpoint.load(killed).ema
    assert all((found[name] == value).all() for name, value in expected.items())


@pytest.mark.slow  # half a minute
def test_two_processes_train_like_one(data: Path, tmp_path: Path) -> None:
    """Two gloo processes of 2 crops each, and one with the doubled batch of 4."""
    one, two = tmp_path / "one.pt", tmp_path / "two.pt"
    options = ["--iterations", "40", "--learning-rate", "1e-3"]
    assert run([*COMMAND, *arguments(data, one, *options)]).returncode == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    script = tmp_path / "train.py"
    script.write_text("from baikal_training.cli import main\nmain()\n")
    result = run([*torchrun, str(script), *arguments(data, two, *options)])
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(list(losses(two).values()), list(losses(one).values()), rtol=1e-4)
    assert len(losses(two)) == 40
    assert Checkpoint.load(two).training["processes"] == 2
    assert result.stderr.count("wrote ") == 1


def test_full_disk_keeps_the_last_checkpoint(data: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: no file may grow beyond it."""
    require("signals", "limits")
    import resource

    output, last = tmp_path / "net.pt", tmp_path / "net_run" / "last.pt"
    options = arguments(data, output, "--iterations", "200", "--save-every", "20")
    kill_halfway(options, output)
    before = last.read_bytes()

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, len(before) // 2))

    result = subprocess.run(
        [*COMMAND, *options, "--resume"],
        preexec_fn=limit, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 2, result.stderr
    assert "cannot be written" in result.stderr.splitlines()[-1]
    assert last.read_bytes() == before
    assert not output.exists()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_interrupted_training_says_how_to_go_on(workers: str, data: Path, tmp_path: Path) -> None:
    """Ctrl-C of a terminal, which reaches all processes of the command; none is left, and none complains."""
    require("signals")
    output, log = tmp_path / "net.pt", tmp_path / "net_run" / "log.csv"
    options = arguments(data, output, "--iterations", "100000", "--save-every", "20", "--workers", workers)
    process = subprocess.Popen(
        [*COMMAND, *options], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (log.exists() and len(log.read_text().splitlines()) > 50):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, messages = process.communicate(timeout=300)  # ends when no process holds the pipe any more
    assert process.returncode == 130, messages
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert "Traceback" not in messages
    assert messages.splitlines()[-2:] == [
        f"stopped; --resume continues from the last checkpoint in {tmp_path / 'net_run'}",
        "interrupted",
    ]
    assert not output.exists()


@pytest.mark.slow  # half a minute in a C++ compiler
def test_compiled_network_trains_like_the_plain_one(data: Path, tmp_path: Path) -> None:
    plain, compiled = tmp_path / "plain.pt", tmp_path / "compiled.pt"
    options = ["--iterations", "20", "--learning-rate", "1e-3"]
    assert run([*COMMAND, *arguments(data, plain, *options)]).returncode == 0
    result = run([*COMMAND, *arguments(data, compiled, *options, "--compile")])
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(list(losses(compiled).values()), list(losses(plain).values()), rtol=1e-4)
