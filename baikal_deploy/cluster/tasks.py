"""The tasks of a run in the hands of a Dask scheduler."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from baikal_deploy.cluster.worker import Done, Job, do_item
from baikal_deploy.errors import ClusterError
from baikal_deploy.volumes.base import VolumeInfo, WorkItem

if TYPE_CHECKING:
    from distributed import Client, Future

AHEAD = 2
"""Tasks that are handed out for each that can run at once: those that wait keep the workers busy."""
LOOK_AGAIN = 1.0
"""Seconds after which workers that have joined count."""


class Tasks:
    """Items that are done by workers; no more of them are handed out than keep the workers busy."""

    def __init__(self, client: Client, job: Job, info: VolumeInfo) -> None:
        """Begin with nothing handed out.

        Args:
            client: of the scheduler.
            job: what the workers must know.
            info: of the run's input.
        """
        self._client, self._job, self._info = client, job, info
        self._address = client.scheduler.address
        self._name = f"denoise-{uuid4().hex}"  # a scheduler may serve several runs
        self._running: dict[Any, tuple[WorkItem, Future[Done]]] = {}
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._room, self._looked = 0, float("-inf")

    def results(self, items: Iterable[WorkItem]) -> Iterator[tuple[WorkItem, Done]]:
        """Every item and what its worker tells, in the order in which they are finished.

        Raises:
            BaikalError: what a worker met, after everything that is finished has been given out.
            ClusterError: an item that has killed its workers, or a scheduler that is gone.
        """
        left = iter(items)
        while True:
            for item in islice(left, max(0, self._allowed() - len(self._running))):
                self._hand_out(item)
            if not self._running:
                return
            yield from self._finished()

    def cancel(self) -> None:
        """Take back what is not finished; a task that runs already continues to the end of its item."""
        futures = [future for _, future in self._running.values()]
        self._running.clear()
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True)

    def _allowed(self) -> int:
        if time.monotonic() - self._looked > LOOK_AGAIN:
            with self._connection():
                self._room = AHEAD * max(1, sum(self._client.nthreads().values()))
            self._looked = time.monotonic()
        return self._room

    def _hand_out(self, item: WorkItem) -> None:
        key = (self._name, item.index)
        future = self._client.submit(do_item, self._job, item.index, key=key, pure=False)
        self._running[key] = item, future
        future.add_done_callback(lambda done: self._ended.put(done.key))

    def _finished(self) -> Iterator[tuple[WorkItem, Done]]:
        ended = [self._running.pop(key) for key in self._ended_keys()]
        ended.sort(key=lambda pair: pair[1].status != "finished")  # all that is finished is given out first
        for item, future in ended:
            yield item, self._result(item, future)

    def _result(self, item: WorkItem, future: Future[Done]) -> Done:
        from distributed import KilledWorker

        try:
            if future.status == "error":
                raise future.exception()
            with self._connection():
                done: Done = future.result()
                return done
        except KilledWorker as error:  # also of a result that was lost with its worker
            planes, deaths = self._info.describe_range(item.planes), error.allowed_failures + 1
            raise ClusterError(
                f"{deaths} worker processes ended with {planes} in work, the last at "
                f"{error.last_worker.address}; look at its log: often memory is short (fewer workers on a "
                f"machine, a smaller --batch or --tile)"
            ) from error

    def _ended_keys(self) -> list[Any]:
        try:
            keys = [self._ended.get(timeout=LOOK_AGAIN)]
        except Empty:
            return []
        while not self._ended.empty():
            keys.append(self._ended.get())
        return keys

    @contextmanager
    def _connection(self) -> Iterator[None]:
        from distributed import CancelledError

        try:
            yield
        except (OSError, CancelledError) as error:
            raise ClusterError(f"{self._address}: the connection to the scheduler is lost") from error
