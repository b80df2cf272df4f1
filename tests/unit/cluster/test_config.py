from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from baikal_deploy.cluster import worker
from baikal_deploy.cluster.client import Cluster
from baikal_deploy.cluster.config import LocalWorkers, RunningScheduler, SlurmJobs, parse_source, read_slurm
from baikal_deploy.cluster.private import keys_in
from baikal_deploy.cluster.schedulers import slurm_cluster
from baikal_deploy.errors import ClusterError, ConfigError
from baikal_deploy.host.extras import install
from baikal_deploy.host.machine import Gpu
from tests.capabilities import require

EXAMPLE = Path(__file__).parents[3] / "examples" / "slurm.toml"
LEAST = {"jobs": "2", "cores": "8", "memory": '"32 GB"', "walltime": '"08:00:00"'}


def write(path: Path, **changes: str | None) -> Path:
    keys = {**LEAST, **changes}
    lines = [f"{key} = {value}" for key, value in keys.items() if value is not None]
    path.write_text("\n".join(["[slurm]", *lines]), encoding="utf-8")
    return path


def test_the_three_sources() -> None:
    assert parse_source("local:3") == LocalWorkers(3)
    assert parse_source("tcp://10.0.0.1:8786") == RunningScheduler("tcp://10.0.0.1:8786")
    assert parse_source("tls://node:8786") == RunningScheduler("tls://node:8786")
    assert parse_source(str(EXAMPLE)) == read_slurm(EXAMPLE)


def test_the_least_file_and_the_example(tmp_path: Path) -> None:
    assert read_slurm(write(tmp_path / "s.toml")) == SlurmJobs(2, 8, "32 GB", "08:00:00")
    example = read_slurm(EXAMPLE)
    assert (example.jobs, example.gpus, example.processes) == (4, 4, 4)
    assert example.directives == ("--constraint=a100",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quue": '"gpu"'}, "slurm has no key 'quue'; there are jobs, cores, memory"),
        ({"memory": None}, "slurm: the key 'memory' is missing"),
        ({"cores": '"8"'}, "slurm: cores = '8': Input should be a valid integer"),
        ({"cores": "0"}, "slurm: cores = 0: must be at least 1"),
        ({"gpus": "-1"}, "slurm: gpus = -1: must be at least 0"),
        ({"jobs": "true"}, "slurm: jobs = True: Input should be a valid integer"),
        ({"memory": '"lots"'}, 'slurm: memory = "lots": write a number and a unit, such as "32 GB"'),
        ({"walltime": '"8 h"'}, 'slurm: walltime = "8 h": write it as "08:00:00" or "1-12:00:00"'),
        ({"queue": "08:00:00", "jobs": "0"}, "slurm: jobs = 0"),
        ({"directives": '"--constraint=a100"'}, "slurm: directives = '--constraint=a100': Input should be"),
        ({"directives": '["--x", 3]'}, "slurm: directives[1] = 3: Input should be a valid string"),
    ],
)
def test_wrong_keys_are_named(tmp_path: Path, changes: dict[str, str | None], message: str) -> None:
    file = write(tmp_path / "s.toml", **changes)
    with pytest.raises(ConfigError) as raised:
        read_slurm(file)
    assert str(raised.value).startswith(f"{file}: {message}")
    assert "\n" not in str(raised.value)


def test_files_that_are_something_else(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    for text, message in {
        "jobs = ": "is not TOML: ",
        "jobs = 3": "must hold the table [slurm] and no more; it holds jobs",
        "": "it holds nothing",
        "[slurm]\n[pbs]": "it holds slurm, pbs",
    }.items():
        file.write_text(text)
        with pytest.raises(ConfigError) as raised:
            read_slurm(file)
        assert message in str(raised.value)


def script(jobs: SlurmJobs) -> list[str]:
    """Lines of the script that sbatch would get; without the address of the scheduler."""
    with TemporaryDirectory() as folder, slurm_cluster(jobs, keys_in(Path(folder))) as cluster:
        lines: list[str] = cluster.job_script().splitlines()
    return [line for line in lines if line.strip()]


def test_the_script_for_sbatch() -> None:
    lines = script(read_slurm(EXAMPLE))
    assert lines[:9] == [
        "#!/usr/bin/env bash",
        "#SBATCH -J baikal",
        "#SBATCH -p gpu",
        "#SBATCH -A microscopy",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=16",
        "#SBATCH --mem=60G",  # 64e9 bytes in GiB, which SLURM's G are
        "#SBATCH -t 08:00:00",
        "#SBATCH --gres=gpu:4",
    ]
    assert lines[9:11] == ["#SBATCH --constraint=a100", "module load cuda"]
    command = lines[11]
    assert len(lines) == 12
    assert command.startswith(f"{sys.executable} -m distributed.cli.dask_worker tls://")
    assert " --nthreads 2 " in command
    assert " --nworkers 4 " in command
    assert " --memory-limit 0 " in command
    assert " --worker-class baikal_deploy.cluster.private.PrivateWorker " in command
    for option, name in {"ca-file": "certificate", "cert": "certificate", "key": "key"}.items():
        assert re.search(rf" --tls-{option} /\S+/{name}\.pem\b", command)


def test_a_script_without_gpus_and_one_that_asks_in_its_own_way() -> None:
    lines = script(SlurmJobs(1, 8, "8 GB", "01:00:00"))
    assert not any("gpu" in line for line in lines)
    assert " --nthreads 2 " in lines[-1]
    assert "--nworkers" not in lines[-1]
    assert "PRIVATE KEY" not in "".join(lines)
    own = script(SlurmJobs(1, 8, "8 GB", "01:00:00", gpus=2, directives=("--gpus-per-node=a100:2",)))
    assert "#SBATCH --gpus-per-node=a100:2" in own
    assert not any("--gres" in line for line in own)
    assert " --nworkers 2 " in own[-1]


def test_jobs_that_slurm_does_not_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require("modes")
    monkeypatch.setenv("PATH", str(tmp_path))
    jobs = write(tmp_path / "s.toml")
    with Cluster(str(jobs)) as cluster, pytest.raises(ClusterError, match=r"sbatch cannot be run \(No such"):
        cluster.connect()
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho 'allocation failure: Invalid account' >&2\nexit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    with (
        Cluster(str(jobs)) as cluster,
        pytest.raises(ClusterError, match="refuse the jobs: allocation failure: Invalid account; correct"),
    ):
        cluster.connect()


@pytest.mark.parametrize(
    ("name", "visible", "gpus", "chosen"),
    [
        ("1", None, 4, "1"),
        ("SLURMCluster-0-3", "4,5,6,7", 8, "7"),
        ("w-5", None, 4, "1"),
        ("w-5", "2", 4, "2"),
        ("tcp://10.0.0.1:8786", None, 4, None),  # no number of a worker
        ("1", None, 0, None),
    ],
)
def test_each_worker_takes_the_gpu_of_its_number(
    monkeypatch: pytest.MonkeyPatch, name: str, visible: str | None, gpus: int, chosen: str | None
) -> None:
    import os

    monkeypatch.setattr(worker, "_name", lambda: name)
    monkeypatch.setattr(worker, "nvidia_gpus", lambda: ([Gpu("gpu", "580", None, None)] * gpus, ""))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    worker._take_gpu()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == chosen


def test_keys_for_other_machines_are_for_this_user_only(tmp_path: Path) -> None:
    require("modes")
    (folder := tmp_path / "keys").mkdir(mode=0o700)
    security = keys_in(folder)
    assert {security.tls_worker_key, security.tls_ca_file} == {str(file) for file in folder.iterdir()}
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in folder.iterdir())
    folder.chmod(0o750)
    with pytest.raises(ClusterError, match=rf"^{re.escape(str(tmp_path))}: keys would not be safe there"):
        keys_in(folder)


@pytest.mark.parametrize(
    ("source", "package"),
    [("local:2", "distributed"), ("local:2", "cryptography"), (str(EXAMPLE), "dask_jobqueue")],
)
def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch, source: str, package: str) -> None:
    monkeypatch.setattr(
        "baikal_deploy.cluster.schedulers.find_spec", lambda name: None if name == package else object()
    )
    with pytest.raises(ConfigError, match=f"{package} is not installed; {re.escape(install('dask'))}"):
        Cluster(source)


def test_dask_is_loaded_when_it_is_needed() -> None:
    code = "import baikal_deploy.cluster.client, sys; print({'dask', 'distributed'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
