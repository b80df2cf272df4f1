"""An examination of this machine: which engines work, and what would make the rest work.

Nothing here knows an engine by name or imports a vendor's package: what is missing, and the command
that fixes it, is what each engine's ``check`` says.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

from baikal_deploy._version import __version__
from baikal_deploy.denoising.precision import AUTO_PRECISION, take
from baikal_deploy.doctor.licences import conditions
from baikal_deploy.engines import AUTO, FASTEST, engine_class, engine_names, fastest_engine
from baikal_deploy.engines._kept_files import cache_folder
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import BaikalError, ConfigError, EngineUnavailable, ModelError
from baikal_deploy.host import machine
from baikal_deploy.host.groups import cpu_quota
from baikal_deploy.models.manifest import ModelManifest, Precision, find_model, read_manifest, shipped_models
from baikal_deploy.models.onnx_file import file_sha256
from baikal_deploy.models.record import ModelRecord

SCHEMA = 1
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
PACKAGES = ("numpy", "zarr", "onnxruntime", "openvino", "tensorrt", "cupy", "cuda-", "nvidia-")
"""Beginnings of the names of the packages that decide what works here."""


@dataclass(frozen=True)
class Support:
    """The answer to whether an engine, or one of its precisions, works here.

    Attributes:
        works: whether it does.
        reason, fix: why not, and what to do about it.
        caution: what to know all the same.
    """

    works: bool
    reason: str = ""
    fix: str = ""
    caution: str = ""


@dataclass(frozen=True)
class EngineExamination:
    """An engine on this machine.

    Attributes:
        name: of the engine.
        support: that of the first of its precisions that works, or of its first one.
        device: what it computes on.
        version: of its back end; empty unless it works.
        automatic: whether ``--engine auto`` ever takes it.
        precisions: all that its back end can compute in.
        stored: the precisions that a model may be stored in to be computed in each of them.
    """

    name: str
    support: Support
    device: str
    version: str
    automatic: bool
    precisions: dict[Precision, Support]
    stored: dict[Precision, list[Precision]]

    def works_for(self, precision: Precision, stored: Precision) -> bool:
        """True if the engine computes a model of one precision in another, here."""
        return stored in self.stored.get(precision, ()) and self.precisions[precision].works


@dataclass(frozen=True)
class Choice:
    """The engine that ``--engine auto`` takes for a precision.

    Attributes:
        engine: its name, or None where none works.
        reason: why none works.
    """

    engine: str | None
    reason: str = ""


@dataclass(frozen=True)
class Default:
    """The engine and the precision that a run takes by default.

    Attributes:
        engine, precision: their names, or None where none works.
        reason: why this precision, or why none.
    """

    engine: str | None
    precision: Precision | None
    reason: str


@dataclass(frozen=True)
class Examination:
    """Everything that baikal-doctor knows.

    Attributes:
        model: what ``auto`` is asked about.
        engines: in the order in which ``auto`` tries them, then those that it never takes.
        auto: its choice for the model in each precision.
        default: what a run takes that names neither engine nor precision.
        threads: that an engine computes with.
        cpu_quota: cores' time that this container or job may take; None without a limit.
        packages: version of each installed package that matters, by name.
        models: the precision of each shipped model, or what is wrong with it, by name.
        licences: of installed packages whose licences ask more than to be named, by name.
    """

    model: ModelManifest
    engines: list[EngineExamination]
    auto: dict[Precision, Choice]
    default: Default
    system: str
    python: str
    cpu: machine.Cpu
    threads: int
    cpu_quota: float | None
    memory: machine.Memory
    gpus: list[machine.Gpu]
    gpu_problem: str
    cache_folder: Path
    cache_bytes: int
    packages: dict[str, str]
    models: dict[str, str]
    licences: dict[str, str]

    @property
    def works(self) -> bool:
        """True if any network can be computed here in fp32."""
        return any(
            engine.automatic and engine.precisions["fp32"].works
            for engine in self.engines
            if "fp32" in engine.precisions
        )

    def as_dict(self) -> dict[str, Any]:
        """The examination as a dict that is ready for JSON."""
        data = asdict(self) | {
            "model": {"name": self.model.name, "precision": self.model.precision},
            "cache_folder": str(self.cache_folder),
        }
        return {"schema": SCHEMA, "baikal_deploy": __version__, "works": self.works} | data


def examine(model: str | Path) -> Examination:
    """Examine everything; quick, since no model is loaded.

    Args:
        model: shipped name or .onnx file that ``auto`` is to choose for.

    Raises:
        ModelError: no such model, or a damaged one.
    """
    path = find_model(model)
    manifest = read_manifest(path)
    engines = [examine_engine(name) for name in _in_order()]
    gpus, gpu_problem = machine.nvidia_gpus()
    return Examination(
        model=manifest,
        engines=engines,
        auto={precision: _choice(manifest, precision, engines) for precision in PRECISIONS},
        default=_default(path, manifest),
        system=machine.system(),
        python=platform.python_version(),
        cpu=machine.cpu(),
        threads=EngineOptions().cores,
        cpu_quota=cpu_quota(),
        memory=machine.memory(),
        gpus=gpus,
        gpu_problem=gpu_problem,
        cache_folder=cache_folder(),
        cache_bytes=_bytes_in(cache_folder()),
        packages=_packages(),
        models={name: _describe(path) for name, path in shipped_models().items()},
        licences=conditions(),
    )


def examine_engine(name: str) -> EngineExamination:
    """Collect what ``check`` of an engine says for each of its precisions.

    A broken package of a vendor may raise anything at all when it is imported; it ends as a reason.
    """
    automatic = name in FASTEST
    try:
        kind = engine_class(name)
    except BaseException as error:
        return EngineExamination(name, _broken(error), "unknown", "", automatic, {}, {})
    stored: dict[Precision, list[Precision]] = {}
    for of_model, offered in kind.COMPUTES.items():
        for precision in offered:
            stored.setdefault(precision, []).append(of_model)
    precisions = {precision: _support(kind, precision) for precision in PRECISIONS if precision in stored}
    every = list(precisions.values())
    support = next((one for one in every if one.works), every[0])
    version = kind.version() if support.works else ""
    return EngineExamination(name, support, kind.device, version, automatic, precisions, stored)


def _in_order() -> list[str]:
    names = engine_names()
    return [name for name in FASTEST if name in names] + [name for name in names if name not in FASTEST]


def _support(kind: type[Engine], precision: Precision) -> Support:
    try:
        kind.check(precision)
        kind.version()  # shows a package that is installed and cannot be imported
    except EngineUnavailable as error:
        return Support(False, error.reason, error.fix)
    except BaseException as error:
        return _broken(error)
    return Support(True, caution=kind.caution(precision))


def _choice(manifest: ModelManifest, precision: Precision, engines: Sequence[EngineExamination]) -> Choice:
    try:
        name, _ = fastest_engine(manifest, precision)
    except ConfigError:
        return Choice(None, f"needs a model exported with --precision {precision}")
    except EngineUnavailable:
        return Choice(None, "none of the engines that could works here")
    except BaseException as error:
        return Choice(None, _broken(error).reason)
    (taken,) = (engine for engine in engines if engine.name == name)
    if taken.support.works:
        return Choice(name)
    return Choice(None, f"it would take {name}, but {taken.support.reason}")


def _default(path: Path, manifest: ModelManifest) -> Default:
    try:
        taken = take(manifest, ModelRecord.beside(path, file_sha256(path)), AUTO, AUTO_PRECISION)
    except BaikalError as error:
        return Default(None, None, str(error))
    except BaseException as error:
        return Default(None, None, _broken(error).reason)
    return Default(taken.engine, taken.precision, taken.reason)


def _broken(error: BaseException) -> Support:
    if isinstance(error, KeyboardInterrupt):
        raise error
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return Support(False, f"its package is broken ({text})", "remove the package and install it again")


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # another process may be tidying up, or the folder be another user's
            total += path.stat().st_size if path.is_file() else 0
    return total


def _packages() -> dict[str, str]:
    found: dict[str, str] = {}
    for one in metadata.distributions():
        try:
            name: str | None = one.metadata["Name"]
        except FileNotFoundError:  # a package that was removed by hand; older versions say None
            continue
        if name is not None and name.lower().replace("_", "-").startswith(PACKAGES):
            found.setdefault(name, one.version)
    return dict(sorted(found.items()))


def _describe(path: Path) -> str:
    try:
        return read_manifest(path).precision
    except ModelError as error:
        return str(error)
