"""The part of a run that a worker process does: one item at a time."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from baikal_deploy._version import __version__
from baikal_deploy.errors import BaikalError, ConfigError, VolumeError
from baikal_deploy.host.machine import nvidia_gpus
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.items import Work
from baikal_deploy.run.models.asked import Asked
from baikal_deploy.run.outputs import Outputs
from baikal_deploy.run.planner import plan_part
from baikal_deploy.run.recipes import Group
from baikal_deploy.run.resume.journal import is_journal_of
from baikal_deploy.run.resume.kept import Kept
from baikal_deploy.run.resume.session import Session

_opening, _computing, _writing = threading.Lock(), threading.Lock(), threading.Lock()
"""A worker may have several tasks at once, which then read and write while one of them computes."""


@dataclass(frozen=True)
class Job:
    """Everything that a worker must know of a run, beside the number of its item.

    Attributes:
        version: of this package, at the client.
        config: of the run, with absolute paths and nothing left to choose.
        journal, header: of the session that the client holds.
        measurements: what the client knew when it began.
        places: where the outputs grow.
        threads: CPU threads of a worker's engine; None: all cores that it may use.
    """

    version: str
    config: RunConfig
    journal: Path
    header: Mapping[str, Any]
    measurements: Mapping[Group, Mapping[str, Any]]
    places: tuple[Path, ...]
    threads: int | None

    @classmethod
    def of(cls, work: Work, session: Session, threads: int | None) -> Self:
        """The job of a worker that does items of this run."""
        config, journal = session.config, session.journal
        values = {field.name: getattr(config, field.name) for field in fields(config)}
        absolute: dict[str, Any] = {
            name: value.absolute() for name, value in values.items() if isinstance(value, Path)
        }
        engines = {own.denoiser.predictor.engine.name for own in work.recipes.models.used}
        engine = engines.pop() if len(engines) == 1 else config.engine
        model = Asked.of(config.model).absolute()
        return cls(
            __version__,
            replace(config, model=model, engine=engine, **absolute | {"output": config.target.absolute()}),
            journal.path.absolute(),
            journal.header,
            work.recipes.measurements,
            tuple(output.location for output in session.outputs.all),
            threads,
        )

    @property
    def is_current(self) -> bool:
        """True if the outputs are still those of this run, as this machine sees them."""
        return is_journal_of(self.journal, self.header)


@dataclass(frozen=True)
class Done:
    """A finished item, as its worker reports it.

    Attributes:
        tally: of the item.
        evaluated: evaluations of planes that were computed.
        measurements: of the groups that it is part of.
    """

    tally: Tally
    evaluated: int
    measurements: Mapping[Group, Mapping[str, Any]]


@dataclass(frozen=True)
class Opened:
    """A run that this process does items of; opened once."""

    job: Job
    work: Work
    outputs: Outputs


_opened: Opened | None = None


def do_item(job: Job, index: int) -> Done:
    """Read, denoise and write one item; when this returns, it is on disk in all outputs.

    Raises:
        BaikalError: with the worker's name.
    """
    with _named():
        opened = _open(job)
        item = opened.outputs.result.items[index]
        found = opened.work.read(item)
        kept = Kept.of_run(job.journal, job.header["run"]).of(index)
        evaluated: list[int] = []
        with _computing:
            denoised = opened.work.denoise(found, evaluated.append, kept)
        with _writing:
            # A client may have been killed meanwhile, and its outputs given to another run.
            if not job.is_current:
                raise VolumeError(f"{job.config.target}: belongs to another run by now; nothing was written")
            opened.outputs.write(item, denoised)
            opened.outputs.sync(item)
        return Done(denoised.counts, sum(evaluated), dict(opened.work.recipes.measured(item.planes)))


def settle() -> bool:
    """Wait until nothing is being written that was begun before; return True if anything may have been."""
    with _writing:
        return _opened is not None


def _open(job: Job) -> Opened:
    global _opened
    with _opening:
        if _opened is None or _opened.job != job:
            if _opened is not None:
                with _computing:
                    _opened.work.recipes.models.close()
                _opened = None
            _opened = _new(job)
        return _opened


def _new(job: Job) -> Opened:
    if job.version != __version__:
        raise ConfigError(
            f"has baikal-deploy {__version__}, and the client {job.version}; install the same everywhere"
        )
    if not job.is_current:
        raise VolumeError(
            f"{job.journal}: the run's journal cannot be seen; workers need the same paths as the client"
        )
    _take_gpu()
    part = plan_part(job.config, job.header, job.measurements, job.threads)
    try:
        outputs = Outputs.resume(job.config, part.written, part.layout, job.header["run"], job.places)
        return Opened(job, part.work, outputs)
    except BaseException:
        part.work.recipes.models.close()
        raise


def _take_gpu() -> None:
    """Leave this process one GPU of several: by the number at the end of its worker's name."""
    gpus = _visible_gpus()
    number = re.search(r"(?:^|-)(\d+)$", _name())
    if number is not None and len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[int(number[1]) % len(gpus)]


def _visible_gpus() -> list[str]:
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu.strip() for gpu in visible.split(",")]
    return [str(number) for number in range(len(nvidia_gpus()[0]))]


@contextmanager
def _named() -> Iterator[None]:
    """Put the worker's name before every message."""
    try:
        yield
    except BaikalError as error:
        error.__cause__ = error.__context__ = None  # other libraries' errors may not survive the way
        raise type(error)(f"worker {_name()} on {socket.gethostname()}: {error}") from error


def _name() -> str:
    from distributed import get_worker

    return str(get_worker().name)
