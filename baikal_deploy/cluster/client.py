"""The client of a cluster: it holds the session of a run, and hands its items to the workers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from baikal_deploy.cluster.config import LocalWorkers, SlurmJobs, parse_source
from baikal_deploy.cluster.schedulers import check_installed, connected
from baikal_deploy.cluster.tasks import Tasks
from baikal_deploy.cluster.worker import Job, settle
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import BaikalError, ClusterError, ConfigError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.items import Work
from baikal_deploy.run.resume.session import Session
from baikal_deploy.run.workers import Advance
from baikal_deploy.volumes.create import format_of

if TYPE_CHECKING:
    from distributed import Client

GOES_ON = "what was finished before is kept, and the same command continues with it"


class Cluster:
    """Worker processes that share a run's items. Close it, or use it as a context manager.

    >>> with Cluster("local:4") as cluster, Run(config, processes=cluster.processes) as run:
    ...     run.execute(workers=cluster)

    Attributes:
        source: where the workers come from.
    """

    def __init__(self, source: str) -> None:
        """Take the source of the workers; connect to nothing yet.

        Args:
            source: "local:N" for N processes of this machine, "tcp://HOST:PORT" of a Dask scheduler, or the
                path of a .toml file that describes SLURM jobs (see ``config.SlurmJobs``). Processes of this
                machine import the main script again: guard it with ``if __name__ == "__main__"``.

        Raises:
            ConfigError: anything else, a wrong file, or Dask is not installed.
        """
        self.source = parse_source(source)
        check_installed(self.source)
        self._stack = ExitStack()
        self._client: Client | None = None
        self._closed = False

    def prepare(self, config: RunConfig) -> None:
        """Check that such a run can be shared out, and connect.

        Raises:
            ConfigError: it cannot.
            ClusterError: the scheduler cannot be reached.
        """
        self.check(config)
        self.connect()

    def check(self, config: RunConfig) -> None:
        """Raise ConfigError for a run that cannot be shared out: one that writes a single file."""
        for path in config.outputs:
            written = format_of(path)
            if not written.SHARED:
                raise ConfigError(
                    f"{path}: several workers cannot write one {written.NAME} file; write an OME-Zarr "
                    f"({path.name.partition('.')[0]}.ome.zarr), or leave out --dask"
                )

    def connect(self) -> Client:
        """Start or reach the scheduler, if that has not been done yet.

        Raises:
            ClusterError: it does not answer, or the cluster is closed.
        """
        if self._closed:
            raise ClusterError("the cluster is closed; make another one for further runs")
        if self._client is None:
            self._client = self._stack.enter_context(connected(self.source))
        return self._client

    def describe(self) -> str:
        """The workers, for people."""
        client = self.connect()
        count, scheduler = len(client.nthreads()), client.scheduler.address
        workers = f"{count or 'none yet'} at {scheduler}"
        return workers if isinstance(self.source, LocalWorkers) else f"{workers}; others may join at any time"

    def work(self, work: Work, session: Session, advance: Advance) -> None:
        """Hand the items of a run to the workers until all are done; see ``workers.Workers``.

        Raises:
            BaikalError: a worker met one, or workers die again and again.
        """
        client = self.connect()
        # Tasks of a killed client end by themselves, and begin to write nothing once the journal of another
        # run is there; what they had begun before may lie among its outputs.
        if any(client.run(settle, on_error="ignore").values()):
            session.outputs.sweep(session.journal.done)
        tasks = Tasks(client, Job.of(work, session, self._threads), work.volume.info)
        try:
            for item, done in tasks.results(session.left):
                work.recipes.add(done.measurements)
                for group, measurement in done.measurements.items():
                    session.measured(group, measurement)
                session.record(item, done.tally)
                advance(work.evaluations(item), done.evaluated)
        except BaikalError as error:
            raise type(error)(f"{error}; {GOES_ON}") from error
        finally:
            tasks.cancel()

    @property
    def processes(self) -> int:
        """Workers that share the memory of this machine; see ``Run``."""
        return self.source.workers if isinstance(self.source, LocalWorkers) else 1

    @property
    def _threads(self) -> int | None:
        """CPU threads of a worker's engine, where workers share the cores of a machine."""
        match self.source:
            case LocalWorkers(workers):
                return max(1, EngineOptions().cores // workers)
            case SlurmJobs():
                return max(1, self.source.cores // self.source.processes)
        return None

    def close(self) -> None:
        """Disconnect; workers that were started for this are ended."""
        self._closed = True
        self._stack.close()
        self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
