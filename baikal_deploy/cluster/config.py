"""Sources of workers: what --dask may say, and the file that describes a SLURM cluster."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from baikal_deploy.errors import ConfigError

FORMS = "local:N, tcp://HOST:PORT or FILE.toml"


@dataclass(frozen=True)
class LocalWorkers:
    """Worker processes of this machine."""

    workers: int


@dataclass(frozen=True)
class RunningScheduler:
    """A Dask scheduler that somebody has started, with its workers."""

    address: str


@dataclass(frozen=True)
class SlurmJobs:
    """SLURM jobs with worker processes in each; the keys of the table [slurm].

    Attributes:
        jobs: how many are kept queued or running.
        cores: CPU cores of a job.
        memory: of a job, such as "32 GB".
        walltime: of a job, such as "08:00:00" or "1-12:00:00". A job that ends is followed by another.
        gpus: of a job, which has one worker process for each; 0: one worker process on the CPU.
        queue: SLURM's partition; None: the site's default.
        account: that is charged; None: the user's default.
        directives: more lines for sbatch, such as "--constraint=a100".
        prologue: shell lines that are run before the workers, such as "module load cuda".
        interface: network interface that workers and scheduler talk over, such as "ib0".
        python: interpreter on the nodes; None: the path of this one.
        log_directory: for the output of the jobs.
    """

    jobs: int
    cores: int
    memory: str
    walltime: str
    gpus: int = 0
    queue: str | None = None
    account: str | None = None
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    interface: str | None = None
    python: str | None = None
    log_directory: str | None = None

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for name, least in (("jobs", 1), ("cores", 1), ("gpus", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)}: must be at least {least}")
        if not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", self.memory):
            raise ConfigError(f'memory = "{self.memory}": write a number and a unit, such as "32 GB"')
        if not re.fullmatch(r"(\d+-)?\d{1,2}(:\d\d){1,2}", self.walltime):
            raise ConfigError(f'walltime = "{self.walltime}": write it as "08:00:00" or "1-12:00:00"')

    @property
    def processes(self) -> int:
        """Workers of a job."""
        return max(1, self.gpus)


Source = LocalWorkers | RunningScheduler | SlurmJobs


def parse_source(text: str) -> Source:
    """The source of workers that --dask names.

    Raises:
        ConfigError: none of its forms, or a file that is missing or wrong.
    """
    if match := re.fullmatch(r"local:(\d+)", text):
        if int(match[1]) < 1:
            raise ConfigError(f"--dask {text}: give the number of worker processes, such as local:2")
        return LocalWorkers(int(match[1]))
    if re.fullmatch(r"(tcp|tls)://.+:\d+", text):
        return RunningScheduler(text)
    if text.endswith(".toml"):
        return read_slurm(Path(text))
    raise ConfigError(f"--dask {text}: is none of {FORMS}")


def read_slurm(path: Path) -> SlurmJobs:
    """The table [slurm] of a file.

    Raises:
        ConfigError: the file is missing, is not TOML, or has a key that is unknown, missing or wrong.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of the file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    if list(tables) != ["slurm"] or not isinstance(tables["slurm"], dict):
        found = ", ".join(tables) or "nothing"
        raise ConfigError(f"{path}: must hold the table [slurm] and no more; it holds {found}")
    return _validated(path, tables["slurm"])


def _validated(path: Path, table: dict[str, Any]) -> SlurmJobs:
    from pydantic import TypeAdapter, ValidationError  # here, since importing it takes a while

    known = {field.name: field for field in fields(SlurmJobs)}
    for key in table:
        if key not in known:
            raise ConfigError(f"{path}: slurm has no key '{key}'; there are {', '.join(known)}")
    try:
        # As JSON, where strict mode takes lists for tuples; TOML has times beside it, as of a walltime.
        return TypeAdapter(SlurmJobs).validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
    if isinstance(cause := problem.get("ctx", {}).get("error"), ConfigError):
        raise ConfigError(f"{path}: slurm: {cause}")
    key, *more = map(str, problem["loc"])
    if problem["type"] == "missing":
        raise ConfigError(f"{path}: slurm: the key '{key}' is missing")
    where = "".join(f"[{part}]" for part in more)
    raise ConfigError(f"{path}: slurm: {key}{where} = {problem['input']!r}: {problem['msg']}")
