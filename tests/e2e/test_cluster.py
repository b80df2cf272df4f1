"""A run that is shared out to real worker processes, which die, join late, and differ from the client."""

from __future__ import annotations

import os
import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy import Run, RunConfig
from baikal_deploy.cluster.client import Cluster
from baikal_deploy.errors import BaikalError, ClusterError
from baikal_deploy.models.manifest import SHIPPED
from baikal_deploy.run.items import Work
from baikal_deploy.run.resume.session import Session
from baikal_deploy.run.workers import Advance
from tests.capabilities import require
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.hand_cluster import HandCluster, items_done, said, start_run, wait_until
from tests.e2e.killed import digest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills processes as POSIX does")

ITEMS = 12
SLOW = """
import functools, time
from baikal_deploy.run.items import Work

def slowed(denoise):
    @functools.wraps(denoise)
    def slow(*arguments):
        time.sleep(0.3)
        return denoise(*arguments)
    return slow

if not hasattr(Work.denoise, "__wrapped__"):  # Dask runs such code twice
    Work.denoise = slowed(Work.denoise)
"""
"""Makes runs last long enough to be interfered with."""


KILLER = """
import os
from baikal_deploy.run.items import Work

def killing(read):
    return lambda run, item: os._exit(9) if item.index == 5 else read(run, item)

if Work.read.__name__ == "read":
    Work.read = killing(Work.read)
"""
"""One item ends every worker that reads it."""


@pytest.fixture
def source(tmp_path: Path, counts: np.ndarray) -> Path:
    """12 channels, and so 12 shards: (12, 1, 96, 80) uint16."""
    pixels = np.concatenate([np.roll(counts, shift, -1) for shift in range(ITEMS // 3)])[:, None]
    return write_zarr(
        tmp_path / "in.zarr", pixels, chunks=(1, 1, 96, 80), dimension_names=["c", "z", "y", "x"]
    )


@pytest.fixture
def wanted(tmp_path: Path, source: Path, baikal_run: BaikalRun) -> dict[str, str]:
    """All files of the outputs of the run that nobody shares out."""
    (tmp_path / "wanted").mkdir()
    result = baikal_run(*arguments(source, tmp_path / "wanted"))
    assert result.exit_code == 0, result.output
    return written(tmp_path / "wanted")


def arguments(source: Path, folder: Path) -> list[str]:
    maps = ["--uncertainty", str(folder / "std.zarr"), "--mask", str(folder / "mask.zarr")]
    return [str(source), str(folder / "result.zarr"), *maps, "--engine", "analytic"]


def written(folder: Path) -> dict[str, str]:
    """Every file but what tells where the outputs lie."""
    paths = digest(folder)
    for name in ("result.zarr", "std.zarr", "mask.zarr"):
        text = (folder / name / "zarr.json").read_text().replace(str(folder), "")
        paths[f"{name}/zarr.json"] = re.sub('"fingerprint": "[0-9a-f]{64}"', "", text)
    return paths


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandCluster]:
    with HandCluster(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


@pytest.fixture
def hand_cluster(scheduler: HandCluster) -> Iterator[HandCluster]:
    """A scheduler that has no workers yet."""
    yield scheduler
    scheduler.end_workers()


def test_processes_of_this_machine_write_the_same_bytes(
    tmp_path: Path, source: Path, wanted: dict[str, str], out: Path
) -> None:
    run = start_run(tmp_path, *arguments(Path("in.zarr"), Path("out")), "--dask", "local:2")
    text = said(run)
    assert run.returncode == 0, text
    assert "workers   2 at tls://127.0.0.1" in text
    assert written(out) == wanted


def test_a_worker_that_joins_late_goes_on_when_the_first_is_killed(
    tmp_path: Path, source: Path, wanted: dict[str, str], out: Path, hand_cluster: HandCluster
) -> None:
    first = hand_cluster.add_worker("first", preload=SLOW)
    run = start_run(tmp_path, *arguments(source, out), "--dask", hand_cluster.address)
    wait_until(lambda: items_done(out / "result.zarr") >= 2, "the first items")
    hand_cluster.add_worker("second", preload=SLOW)
    first.kill()
    text = said(run)
    assert run.returncode == 0, text
    assert written(out) == wanted


def test_a_client_that_was_killed_goes_on(
    tmp_path: Path, source: Path, wanted: dict[str, str], out: Path, hand_cluster: HandCluster
) -> None:
    hand_cluster.add_worker("only", preload=SLOW)
    command = (*arguments(source, out), "--dask", hand_cluster.address)
    run = start_run(tmp_path, *command)
    wait_until(lambda: items_done(out / "result.zarr") >= 2, "the first items")
    run.kill()
    run.communicate()
    assert 2 <= items_done(out / "result.zarr") < ITEMS
    again = start_run(tmp_path, *command)
    text = said(again)
    assert again.returncode == 0, text
    assert "continues an unfinished run" in text
    assert written(out) == wanted


def test_one_process_goes_on_with_what_a_cluster_began(
    tmp_path: Path, source: Path, wanted: dict[str, str], out: Path, baikal_run: BaikalRun
) -> None:
    require("signals")
    run = start_run(tmp_path, *arguments(source, out), "--dask", "local:1", preload=SLOW)
    wait_until(lambda: items_done(out / "result.zarr") >= 2, "the first items")
    os.killpg(run.pid, signal.SIGINT)
    text = said(run)
    assert run.returncode == 130, text
    assert "network evaluations are kept, and the same command continues from there" in text
    assert "Traceback" not in text
    assert 2 <= items_done(out / "result.zarr") < ITEMS
    result = baikal_run(*arguments(source, out))
    assert "continues an unfinished run" in result.stderr
    assert written(out) == wanted


@pytest.mark.slow
def test_a_local_worker_that_was_killed_is_replaced(
    tmp_path: Path, source: Path, wanted: dict[str, str], out: Path
) -> None:
    import psutil

    run = start_run(tmp_path, *arguments(source, out), "--dask", "local:1", preload=SLOW)
    wait_until(lambda: items_done(out / "result.zarr") >= 2, "the first items")
    children = psutil.Process(run.pid).children(recursive=True)
    workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    assert len(workers) == 1
    workers[0].kill()
    text = said(run)
    assert run.returncode == 0, text
    assert written(out) == wanted


SBATCH = """#!/bin/sh
cd "$(dirname "$0")"
[ "$1" = --test-only ] && exec sh -n "$2"
cp "$1" "job$$.sh"
setsid sh "job$$.sh" > "job$$.log" 2>&1 &
echo $! > "job$$.pid"
echo "Submitted batch job $$"
"""
SCANCEL = """#!/bin/sh
kill -- -"$(cat "$(dirname "$0")/job$1.pid")"
"""


@pytest.mark.slow
def test_jobs_of_a_stand_in_for_slurm(
    tmp_path: Path, source: Path, wanted: dict[str, str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sbatch runs the script, without a queue and without what #SBATCH lines ask for."""
    require("modes")
    (tmp_path / "bin").mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    file = tmp_path / "slurm.toml"
    file.write_text('[slurm]\njobs = 2\ncores = 2\nmemory = "2 GB"\nwalltime = "00:10:00"\n')
    run = start_run(tmp_path, *arguments(source, out), "--dask", file, preload=SLOW)
    wait_until(lambda: items_done(out / "result.zarr") >= 2, "the first items")
    (keys,) = tmp_path.glob(".baikal-keys-*")
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    text = said(run)
    assert run.returncode == 0, text
    assert "others may join at any time" in text
    assert not keys.exists()
    assert written(out) == wanted
    logs = [log.read_text() for log in (tmp_path / "bin").glob("job*.log")]
    assert len(logs) == 2
    assert all("Registered to" in log for log in logs)
    assert all("dashboard at" not in log and "tcp://" not in log for log in logs)


@pytest.mark.slow
def test_an_item_that_kills_its_workers_ends_the_run(
    tmp_path: Path, source: Path, out: Path, baikal_run: BaikalRun, wanted: dict[str, str]
) -> None:
    run = start_run(tmp_path, *arguments(source, out), "--dask", "local:1", preload=KILLER)
    text = said(run)
    assert run.returncode == 2, text
    error = text.splitlines()[-1]
    # It had another item in work beside the one that killed it, and may be blamed for that.
    assert re.match(
        r"error: 4 worker processes ended with plane \d+ \(c=\d+ z=0\) in work, the last at tls://", error
    )
    assert "what was finished before is kept, and the same command continues with it" in error
    assert "Traceback" not in text
    assert baikal_run(*arguments(source, out)).exit_code == 0
    assert written(out) == wanted


def test_a_scheduler_that_is_gone_ends_the_run(tmp_path: Path, source: Path, out: Path) -> None:
    with HandCluster(tmp_path) as cluster:
        cluster.add_worker("only", preload=SLOW)
        run = start_run(tmp_path, *arguments(source, out), "--dask", cluster.address)
        wait_until(lambda: items_done(out / "result.zarr") >= 2, "the first items")
        cluster.scheduler.kill()
        text = said(run)
    assert run.returncode == 2, text
    assert f"error: {cluster.address}: the connection to the scheduler is lost; what was" in text
    assert "Traceback" not in text


OTHERS = {
    "version": ("worker.__version__ = '0.0.9'", "has baikal-deploy 0.0.9, and the client 0."),
    "engine": (
        "analytic.Analytic.version = classmethod(lambda cls: 'other 3')",
        "would not make the same pixels: engine version baikal-deploy 0.1.0 but here other 3",
    ),
    "model": (
        "denoiser.file_sha256 = lambda path: 64 * 'f'",
        f"{SHIPPED / 'general.json'}: is the record of another file than general.onnx",
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_worker_with_something_else_is_refused(
    source: Path, out: Path, hand_cluster: HandCluster, other: str, baikal_run: BaikalRun
) -> None:
    change, words = OTHERS[other]
    modules = "from baikal_deploy.denoising import denoiser\nfrom baikal_deploy.engines import analytic\n"
    hand_cluster.add_worker("odd", preload=f"{modules}from baikal_deploy.cluster import worker\n{change}\n")
    result = baikal_run(*arguments(source, out), "--dask", hand_cluster.address)
    assert result.exit_code == 2
    assert f"error: worker odd on {os.uname().nodename}: {words}" in result.stderr
    assert result.stderr.count("\n") == len(result.stderr.splitlines())
    assert "Traceback" not in result.stderr


class AfterMoving(Cluster):
    """A cluster whose workers do not see what the client sees."""

    def hide(self, path: Path) -> AfterMoving:
        self._hidden = path
        return self

    def work(self, work: Work, session: Session, advance: Advance) -> None:
        aside = self._hidden.with_name("aside")
        self._hidden.rename(aside)
        try:
            super().work(work, session, advance)
        finally:
            aside.rename(self._hidden)


@pytest.mark.parametrize("hidden", ["in.zarr", "my.onnx", "out/result.zarr.journal", "out/std.zarr"])
def test_what_a_worker_does_not_see_is_named(
    tmp_path: Path, source: Path, out: Path, hand_cluster: HandCluster, hidden: str
) -> None:
    from baikal_deploy.models.manifest import find_model

    hand_cluster.add_worker("blind")
    model = tmp_path / "my.onnx"
    model.write_bytes(find_model("nuclei").read_bytes())
    config = RunConfig(
        source, out / "result.zarr", model=str(model), engine="analytic", uncertainty=out / "std.zarr"
    )
    with (
        AfterMoving(hand_cluster.address).hide(tmp_path / hidden) as cluster,
        Run(config) as run,
        pytest.raises(BaikalError, match=f"worker blind on .*{Path(hidden).name}"),
    ):
        run.execute(workers=cluster)
    with Cluster(hand_cluster.address) as seeing, Run(config) as run:
        run.execute(workers=seeing)


def test_one_cluster_serves_a_folder(
    tmp_path: Path, counts: np.ndarray, hand_cluster: HandCluster, baikal_run: BaikalRun
) -> None:
    (tmp_path / "in").mkdir()
    for number, name in enumerate(["a.zarr", "b.zarr"]):
        write_zarr(tmp_path / "in" / name, np.roll(counts, number, -1), chunks=(1, 96, 80))
    hand_cluster.add_worker("only")
    shared = baikal_run(tmp_path / "in", tmp_path / "shared", "--dask", hand_cluster.address)
    assert shared.exit_code == 0, shared.output
    assert baikal_run(tmp_path / "in", tmp_path / "alone").exit_code == 0
    assert digest(tmp_path / "shared") == digest(tmp_path / "alone")


def test_tiff_outputs_and_what_is_no_cluster_are_refused(
    tmp_path: Path, source: Path, baikal_run: BaikalRun
) -> None:
    before: dict[str, Any] = digest(tmp_path)
    result = baikal_run(source, tmp_path / "out.ome.tif", "--dask", "local:2")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "out.ome.tif: several workers cannot write one TIFF file" in result.stderr
    for words, message in {
        "local:0": "give the number of worker processes",
        "somewhere": "is none of local:N, tcp://HOST:PORT or FILE.toml",
        "none.toml": "none.toml: cannot be read (No such file",
    }.items():
        result = baikal_run(source, tmp_path / "out.zarr", "--dask", words)
        assert result.exit_code == 2
        assert message in result.stderr
    assert digest(tmp_path) == before


def test_a_scheduler_that_does_not_answer(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baikal_deploy.cluster.schedulers.PATIENCE", 0.5)
    config = RunConfig(source, tmp_path / "out.zarr", engine="analytic")
    silent = pytest.raises(ClusterError, match=r"tcp://127.0.0.1:9: no Dask scheduler answers there")
    with Cluster("tcp://127.0.0.1:9") as cluster, Run(config) as run, silent:
        run.execute(workers=cluster)
    assert not (tmp_path / "out.zarr").exists()


def test_workers_take_a_model_for_each_channel(
    source: Path, out: Path, hand_cluster: HandCluster, baikal_run: BaikalRun
) -> None:
    (out.parent / "alone").mkdir()
    hand_cluster.add_worker("only")
    models = "--model", "3=tribolium,4=skip,*=nuclei"
    shared = baikal_run(*arguments(source, out), *models, "--dask", hand_cluster.address)
    assert shared.exit_code == 0, shared.output
    assert baikal_run(*arguments(source, out.parent / "alone"), *models).exit_code == 0
    assert written(out) == written(out.parent / "alone")
