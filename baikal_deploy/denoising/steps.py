"""The steps of a batch of planes through the network, kept where they take long."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.diffusion.samplers.base import FINISHED
from baikal_deploy.engines.base import Engine
from baikal_deploy.pixels.arrays import Planes

LONG = 30.0
"""Seconds of a batch from which on its steps are kept."""
Evaluation = tuple[Planes, Planes | None]


class Memory(Protocol):
    """A place where steps are kept, so that a run continues with them after a kill."""

    @property
    def is_due(self) -> bool:
        """True if enough was computed since something was kept."""

    def recall_step(self, name: str) -> Mapping[str, NDArray[Any]] | None:
        """A step as it was kept; None if it was not.

        Args:
            name: of the step, as ``keep_step`` had it.
        """

    def keep_step(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a step.

        Args:
            name: of the step in its batch of planes.
            arrays: by name.

        Raises:
            VolumeError: a full disk and the like.
        """

    def drop(self, prefix: str) -> None:
        """Forget the steps whose names begin with a prefix.

        Args:
            prefix: "" for all.
        """


class Steps:
    """The steps of one batch; they are kept if all together take longer than LONG.

    A sampler that walks is continued at a visit of its walk. Of any other the evaluations of the network are
    kept, until the result is that they are for.

    Arguments:
        memory: where they are kept.
        engine: of the network, for arrays that lie on a device.
        evaluations: of the network for all of the batch.
        walks: whether the sampler walks.
    """

    def __init__(self, memory: Memory, engine: Engine, evaluations: int, walks: bool) -> None:
        self._memory, self._engine, self._walks = memory, engine, walks
        self._all, self._done, self._started = evaluations, 0, time.monotonic()
        self._result, self._evaluation = 0, 0
        self._long = False

    def evaluation(self, compute: Callable[[], Evaluation]) -> Evaluation:
        """An evaluation of the network, as it was kept or computed.

        Args:
            compute: evaluates the network, if nothing was kept.
        """
        name = f"evaluation{self._result}-{self._evaluation}"
        self._evaluation += 1
        if not self._walks and (kept := self._memory.recall_step(name)) is not None:
            v = kept.get("v")
            return self._engine.upload(kept["eps"]), None if v is None else self._engine.upload(v)
        eps, v = compute()
        self._done += 1
        elapsed = time.monotonic() - self._started
        self._long |= elapsed / self._done * self._all > LONG
        if self._long and not self._walks:
            arrays = {"eps": eps} if v is None else {"eps": eps, "v": v}
            self._memory.keep_step(name, {key: self._engine.download(array) for key, array in arrays.items()})
        return eps, v

    def result(self, compute: Callable[[], Planes]) -> Planes:
        """A result that some evaluations are for, as it was kept or computed: (N, 1, H, W).

        Args:
            compute: makes the result, if none was kept.
        """
        name = f"result{self._result}"
        kept = self._memory.recall_step(name)
        x0: Planes = compute() if kept is None else kept["x0"]
        if kept is None and self._long and not self._walks:
            self._memory.keep_step(name, {"x0": x0})
            self._memory.drop(f"evaluation{self._result}-")
        self._result, self._evaluation = self._result + 1, 0
        return x0

    def walked(self, run: int) -> tuple[int, Planes] | None:
        """Visit and x of a run of the sampler as they were kept; None if nothing was.

        Args:
            run: number of the run.
        """
        kept = self._memory.recall_step(f"walk{run}")
        return None if kept is None else (int(kept["visit"]), self._engine.upload(kept["x"]))

    def keep_walk(self, run: int, visit: int, x: Planes) -> None:
        """Keep visit and x of a run of the sampler, if it takes long and that is due.

        Args:
            run: number of the run.
            visit: FINISHED if x is x_0.
            x: (N, 1, H, W).
        """
        if self._long and (visit == FINISHED or self._memory.is_due):
            self._memory.keep_step(f"walk{run}", {"visit": np.array(visit), "x": self._engine.download(x)})
