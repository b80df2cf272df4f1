"""Runs over a layer: it is denoised plane by plane into an OME-Zarr, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baikal_deploy import Run, RunConfig, RunReport
from baikal_deploy.errors import ConfigError
from baikal_deploy.run.inputs import WholeInput
from baikal_deploy.volumes.selection import SelectedVolume
from baikal_napari.layers import LayerVolume

ENDING = ".ome.zarr"


@dataclass(frozen=True)
class Settings:
    """What is to be made of a layer.

    Attributes:
        model: name of a shipped model, path of a file, or "auto".
        budget: of the sampler.
        channel: number of the only one that is denoised; None: all.
        output: OME-Zarr to write.
        uncertainty, mask: whether these maps are written beside it.
        overwrite: whether what is there is replaced.
    """

    model: str
    budget: str
    channel: int | None
    output: Path
    uncertainty: bool = False
    mask: bool = False
    overwrite: bool = False


class LayerInput(WholeInput):
    """A layer as the input of a run."""

    def __init__(self, config: RunConfig, volume: LayerVolume) -> None:
        super().__init__(config)
        self._volume = volume

    def open(self) -> LayerVolume:
        """The layer's volume."""
        return self._volume

    def contents(self, chosen: SelectedVolume) -> Any:
        """Description of the layer, with a mark of its array: another one, or of another session, is
        another input."""
        info = self._volume.info
        return {"layer": info.name, "shape": list(info.shape), "array": self._volume.mark}


def configured(volume: LayerVolume, settings: Settings) -> RunConfig:
    """The options of a run over a layer.

    Args:
        volume: of the layer.
        settings: what is to be made of it.

    Raises:
        ConfigError: an output that is not an OME-Zarr, or options that do not go together.
    """
    output = settings.output
    if not output.name.endswith(".zarr"):
        raise ConfigError(f"{output}: results are written as OME-Zarr; choose a name that ends in {ENDING}")
    return RunConfig(
        volume.info.path,
        output,
        model=settings.model,
        options={"budget": settings.budget},
        channels=None if settings.channel is None else [settings.channel],
        uncertainty=beside(output, "std") if settings.uncertainty else None,
        mask=beside(output, "mask") if settings.mask else None,
        overwrite=settings.overwrite,
    )


def beside(output: Path, what: str) -> Path:
    """Name of a map beside a result.

    Args:
        output: the result, an OME-Zarr.
        what: short name of the map.
    """
    stem = output.name.removesuffix(".zarr").removesuffix(".ome")
    return output.with_name(f"{stem}_{what}{ENDING}")


def execute(
    volume: LayerVolume, config: RunConfig, check: Callable[[], None], progress: Callable[[int, int], None]
) -> RunReport:
    """Denoise a layer, and write what was asked for.

    Args:
        volume: of the layer.
        config: see ``configured``.
        check: called now and then; what it raises ends the run, which continues from there if it is given
            again while the layer is open.
        progress: is told how many evaluations of planes are done, and how many there are.

    Raises:
        BaikalError: see ``Run``.
    """

    def told(done: int, total: int) -> None:
        check()
        progress(done, total)

    with Run(config, LayerInput(config, volume)) as run:
        check()
        return run.execute(told)
