"""Dask schedulers: those that run already, and those that are started for a run, with their workers."""

from __future__ import annotations

import logging
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from baikal_deploy.cluster.config import LocalWorkers, RunningScheduler, SlurmJobs, Source
from baikal_deploy.errors import ClusterError, ConfigError
from baikal_deploy.host.extras import install

if TYPE_CHECKING:
    from distributed import Client, Security, SpecCluster

PATIENCE = 15.0
"""Seconds until a scheduler that does not answer counts as unreachable."""
TASKS_AT_ONCE = 2
"""Tasks of a worker process at a time: one computes while another reads or writes."""
NO_LIMIT = "0"
"""Memory limit of a worker: none, as Dask would stop giving it work at 80 %, and say nothing."""
LOOPBACK = "127.0.0.1"


def check_installed(source: Source) -> None:
    """Raise ConfigError if a package is missing that this source of workers needs."""
    needed = ["distributed"]
    needed += [] if isinstance(source, RunningScheduler) else ["cryptography"]
    needed += ["dask_jobqueue"] if isinstance(source, SlurmJobs) else []
    for name in needed:
        if find_spec(name) is None:
            raise ConfigError(f"--dask: {name} is not installed; {install('dask')}")


@contextmanager
def connected(source: Source) -> Iterator[Client]:
    """A client of the workers; those that are started for it are ended with it.

    Raises:
        ClusterError: the scheduler cannot be reached or started.
    """
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    # What goes wrong is said in one line; Dask adds many.
    with silence_logging_cmgr(logging.CRITICAL), ExitStack() as stack:
        match source:
            case RunningScheduler(address):
                client = _reached(address)
            case LocalWorkers(workers):
                client = Client(stack.enter_context(_local(workers)), set_as_default=False)
            case SlurmJobs():
                client = Client(stack.enter_context(_started(source)), set_as_default=False)
        with client:
            if isinstance(source, LocalWorkers):
                client.wait_for_workers(source.workers)
                client.run(_ignore_interrupts)
            yield client


def _ignore_interrupts() -> None:
    """Ignore Ctrl-C, which goes to all processes of a terminal: the client ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _reached(address: str) -> Client:
    from distributed import Client

    security = _configured(address)
    try:
        return Client(address, timeout=PATIENCE, security=security, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"{address}: no Dask scheduler answers there within {PATIENCE:.0f} s; start one "
            "(dask scheduler), or correct the address"
        ) from error


def _configured(address: str) -> Security:
    """Keys that Dask's configuration names. Checked here: Dask would say it with a traceback."""
    from distributed import Security

    try:
        security = Security()
        keys = security.get_connection_args("client")["ssl_context"]
    except (OSError, TypeError, ValueError) as error:
        raise ClusterError(
            f"{address}: the keys that Dask's configuration names in distributed.comm.tls cannot be used "
            f"({error}); correct it"
        ) from error
    if address.startswith("tls:") and keys is None:
        raise ClusterError(
            f"{address}: needs keys; name them in distributed.comm.tls of Dask's configuration"
        )
    if not address.startswith("tls:") and security.require_encryption:
        raise ClusterError(
            f"{address}: Dask's configuration asks for encryption; give a tls:// scheduler, or change "
            "distributed.comm.require-encryption"
        )
    return security


def _local(workers: int) -> SpecCluster:
    from distributed import Nanny, SpecCluster

    from baikal_deploy.cluster.private import PrivateScheduler, PrivateWorker, keys

    try:
        security = keys()
        common = {"host": LOOPBACK, "protocol": "tls://", "security": security}
        worker = {
            "worker_class": PrivateWorker,
            "nthreads": TASKS_AT_ONCE,
            "memory_limit": NO_LIMIT,
            "silence_logs": logging.CRITICAL,
        }
        return SpecCluster(
            scheduler={"cls": PrivateScheduler, "options": {**common, "port": 0}},
            workers={number: {"cls": Nanny, "options": {**common, **worker}} for number in range(workers)},
            security=security,
            silence_logs=logging.CRITICAL,
        )
    except OSError as error:
        raise ClusterError(f"the workers of this machine cannot be started: {error}") from error


@contextmanager
def _started(jobs: SlurmJobs) -> Iterator[SpecCluster]:
    from baikal_deploy.cluster.private import keys_in

    with ExitStack() as stack:
        try:
            # SLURM starts jobs in the folder that they were submitted in, so that they see it.
            folder = stack.enter_context(TemporaryDirectory(prefix=".baikal-keys-", dir=Path.cwd()))
            cluster = stack.enter_context(slurm_cluster(jobs, keys_in(Path(folder))))
        except (OSError, ValueError, RuntimeError) as error:
            raise ClusterError(f"the scheduler for SLURM jobs cannot be started: {error}") from error
        _check_submission(cluster.job_script())
        # Unlike a fixed number, this replaces jobs that have reached their walltime.
        cluster.adapt(minimum_jobs=jobs.jobs, maximum_jobs=jobs.jobs)
        yield cluster


def _check_submission(script: str) -> None:
    """Ask SLURM whether it would take such a job: later, Dask would try again and again in silence."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "job.sh")
        file.write_text(script, encoding="utf-8")
        try:
            done = subprocess.run(
                ["sbatch", "--test-only", file], capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise ClusterError(
                f"sbatch cannot be run ({error.strerror}); start this where SLURM jobs can be submitted"
            ) from error
    if done.returncode:
        said = " ".join(f"{done.stdout} {done.stderr}".split())
        raise ClusterError(f"sbatch would refuse the jobs: {said}; correct the file that describes them")


def slurm_cluster(jobs: SlurmJobs, security: Security) -> Any:
    """dask-jobqueue's cluster of such jobs; none is submitted yet.

    Args:
        security: with the paths of the keys, as the jobs see them.
    """
    from dask_jobqueue import SLURMCluster

    from baikal_deploy.cluster.private import PrivateScheduler, PrivateWorker

    worker = f"{PrivateWorker.__module__}.{PrivateWorker.__qualname__}"
    processes = jobs.processes
    return SLURMCluster(
        cores=TASKS_AT_ONCE * processes,
        job_cpu=jobs.cores,
        processes=processes,
        memory=jobs.memory,
        walltime=jobs.walltime,
        queue=jobs.queue,
        account=jobs.account,
        job_extra_directives=[*_gpu_directives(jobs), *jobs.directives],
        job_script_prologue=list(jobs.prologue),
        worker_extra_args=["--memory-limit", NO_LIMIT, "--worker-class", worker],
        scheduler_cls=PrivateScheduler,
        security=security,
        interface=jobs.interface,
        python=jobs.python,
        log_directory=jobs.log_directory,
        job_name="baikal",
    )


def _gpu_directives(jobs: SlurmJobs) -> list[str]:
    """Lines that ask SLURM for GPUs; sites that ask in another way have a directive of their own."""
    own = any(line.startswith(("--gres", "--gpus")) for line in jobs.directives)
    return [] if own or not jobs.gpus else [f"--gres=gpu:{jobs.gpus}"]
