"""The precision that an output was begun in, which it keeps wherever the run continues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_args

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.precision import AUTO_PRECISION, SAFE, AskedPrecision
from baikal_deploy.errors import EngineUnavailable, VolumeError
from baikal_deploy.models.manifest import Precision
from baikal_deploy.models.onnx_file import file_sha256
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.resume.session import finished_before
from baikal_deploy.run.resume.unfinished import load_unfinished
from baikal_deploy.volumes.cleanup import Mark


@dataclass(frozen=True)
class Begun:
    """What an output was begun with, as far as the options leave it to choose.

    Attributes:
        config: the options of the run.
        precisions: of each model, by its SHA-256.
    """

    config: RunConfig
    precisions: Mapping[str, Precision]

    @classmethod
    def of(cls, config: RunConfig, record: Any) -> Self:
        """What a fingerprint or a provenance tells; nothing where the precision is asked for by name.

        Args:
            config: the options of the run.
            record: as JSON holds it.
        """
        return cls(config, dict(_precisions(record)) if config.precision == AUTO_PRECISION else {})

    def load(self, path: Path, threads: int | None) -> Denoiser:
        """Load a model in the precision that the output was begun in; in one for the options if it was not.

        Args:
            path: of the model's file.
            threads: CPU threads of an evaluation; None: all cores.

        Raises:
            EngineUnavailable: the engine cannot run here, or not in that precision.
            BaikalError: see ``Denoiser.load``.
        """
        begun = self.precisions.get(file_sha256(path)) if self.precisions else None
        if begun is None:
            return self._loaded(path, threads, self.config.precision)
        try:
            denoiser = self._loaded(path, threads, begun)
        except EngineUnavailable as error:
            if begun == SAFE:
                raise
            if self.config.overwrite:
                return self._loaded(path, threads, self.config.precision)
            raise EngineUnavailable(
                f"{self.config.target}: was begun in {begun}, which cannot be computed here ({error.reason})",
                "continue it on a machine that can, or start anew (--overwrite)",
            ) from error
        denoiser.why_precision = "the output was begun so"
        return denoiser

    def _loaded(self, path: Path, threads: int | None, precision: AskedPrecision) -> Denoiser:
        config = self.config
        return Denoiser.load(
            path,
            config.engine,
            precision=precision,
            threads=threads,
            tile=config.tile,
            overlap=config.overlap,
            batch=config.batch,
            sampler=config.sampler,
        )


def begun_here(config: RunConfig) -> Begun:
    """What the output was begun with that is where the run is to write; it may be finished, too.

    Args:
        config: the options of the run.
    """
    if config.precision != AUTO_PRECISION:
        return Begun(config, {})
    try:
        unfinished = load_unfinished(config)
        if unfinished is not None:
            return Begun.of(config, unfinished.header["fingerprint"])
        mark = Mark.at(config.target) if finished_before(config) else None
    except VolumeError:  # which is told when the output is looked at
        return Begun(config, {})
    return Begun.of(config, {} if mark is None else mark.provenance)


def _precisions(record: Any) -> Iterator[tuple[str, Precision]]:
    """Precision by the SHA-256 of its model, wherever a record names a model with its engine."""
    match record:
        case {"model": {"sha256": str(sha256)}, "engine": {"precision": str(precision)}}:
            yield from ((sha256, one) for one in get_args(Precision) if one == precision)
    inside = record.values() if isinstance(record, Mapping) else record if isinstance(record, list) else ()
    for value in inside:
        yield from _precisions(value)
